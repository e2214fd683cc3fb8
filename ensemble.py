"""Average several models, or their saved probabilities, to one predictions.csv."""

import argparse
from pathlib import Path

from cli.early_checks import check_images, check_labels, check_pipeline, check_saved
from cli.entry import ArgumentParser, file_path, run_script, show, split_overrides
from cli.pipeline_flags import add_format_flag, add_pipeline_flags, read_prediction_options
from common.errors import InputError
from prediction.options import LABELLED_KEYS, OVERRIDABLE_KEYS
from prediction.output_files import OutputFiles

_KEYS = tuple(dict.fromkeys([*LABELLED_KEYS, *OVERRIDABLE_KEYS]))


def main(arguments: list[str]) -> int:
    """Predict and write predictions.csv with its provenance."""
    words, overrides = split_overrides(arguments)
    flags = build_parser().parse_args(words)
    if bool(flags.checkpoint) == bool(flags.probabilities):
        raise InputError("Give --checkpoint A B ..., or --probabilities a.npz b.npz ...")
    if len(flags.checkpoint or flags.probabilities) < 2:
        raise InputError("An ensemble has two members or more; inference.py takes one checkpoint.")
    prediction_flags = (flags.tta, flags.average, flags.precision, flags.runtime)
    if flags.probabilities and (flags.input or overrides or any(prediction_flags)):
        raise InputError("--probabilities: the answers are those of the files; only --weights or --fit change them.")
    if flags.fit and flags.weights:
        raise InputError("--fit finds the weights; --weights gives them. Give one of them.")
    if flags.data and not flags.fit:
        raise InputError("--data: the labelled images of --fit. Give both.")
    if flags.fit and flags.probabilities and not flags.data:
        raise InputError("--fit: saved probabilities have no labels. Give --data <table image_id,label>.")

    OutputFiles(flags.output).check([*(flags.checkpoint or flags.probabilities), *(flags.input or ())])
    if flags.checkpoint:
        check_pipeline(flags, overrides, _KEYS)
    else:
        check_saved(flags.probabilities, flags.weights)
    check_images(flags.input)
    check_labels(flags.data)
    show(_average_saved(flags) if flags.probabilities else _average_checkpoints(flags, overrides))
    return 0


def _average_saved(flags: argparse.Namespace) -> list[str]:
    from cli.ensemble_text import describe_average, describe_fit
    from tools.ensemble import average_saved, fit_saved, read_members

    members = read_members(flags.probabilities)
    fit = fit_saved(members, flags.data) if flags.fit else None
    weights = fit.weights if fit else flags.weights
    average = average_saved(members, flags.probabilities, weights, flags.output, flags.format)
    return [*(describe_fit(fit) if fit else ()), *describe_average(average), f"Wrote {flags.output}"]


def _average_checkpoints(flags: argparse.Namespace, overrides: list[str]) -> list[str]:
    from cli.ensemble_text import describe_fit
    from cli.inference_text import describe_prediction
    from common.distributed import processes
    from prediction.pipeline import load_pipeline, reweighted
    from prediction.predict import predict_to_files
    from tools.ensemble import fit_checkpoints

    with processes():
        options = read_prediction_options(flags)
        pipeline = load_pipeline(flags.checkpoint, options, overrides, _KEYS)
        lines = []
        if flags.fit:
            fit = fit_checkpoints(pipeline, flags.data)
            lines, pipeline = describe_fit(fit), reweighted(pipeline, fit.weights)
        result = predict_to_files(pipeline, flags.input, OutputFiles(flags.output, flags.format))
        return lines + describe_prediction(pipeline, result)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands beside the overrides."""
    parser = ArgumentParser(
        prog="ensemble.py",
        usage="python ensemble.py (--checkpoint A B ... [--input DIR|CSV|IMAGE ...] | --probabilities a.npz b.npz ...) "
        "[--weights W ... | --fit [--data DIR_OR_CSV]] [--output F] [options] [key=value ...]",
        description=f"{__doc__} Classes are matched by category id. Keys: device, dataset.test_dir, "
        "dataset.batch_size, dataset.num_workers, competition.max_latency_ms, competition.input_size; "
        "with --fit dataset.root, dataset.train_csv, dataset.train_dir and dataset.val_csv too.",
        allow_abbrev=False,
    )
    add_pipeline_flags(parser, required=False)
    parser.add_argument(
        "--probabilities", type=Path, nargs="+", metavar="F", help="of inference.py --save-probabilities"
    )
    parser.add_argument(
        "--fit", action="store_true", help="find the weights by log loss on validation images that no member has seen"
    )
    parser.add_argument("--data", type=Path, help="with --fit: other labelled images, a prepared folder or a table")
    parser.add_argument("--input", type=Path, nargs="+", help="default: the first checkpoint's test_dir")
    parser.add_argument(
        "--output", type=file_path, default=Path("results/predictions.csv"), help="default: %(default)s"
    )
    add_format_flag(parser)
    return parser


if __name__ == "__main__":
    run_script(main)
