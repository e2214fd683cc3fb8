"""Predict images with a trained checkpoint, or several averaged: predictions.csv and, beside it, how it was made."""

import argparse
from pathlib import Path

from cli.early_checks import check_images, check_pipeline
from cli.entry import ArgumentParser, file_path, run_script, show, split_overrides
from cli.pipeline_flags import add_format_flag, add_pipeline_flags, read_prediction_options
from common.errors import InputError
from prediction.options import OVERRIDABLE_KEYS
from prediction.output_files import OutputFiles


def main(arguments: list[str]) -> int:
    """Predict and write the files, or time the pipeline."""
    words, overrides = split_overrides(arguments)
    flags = build_parser().parse_args(words)

    if flags.benchmark and (flags.save_probabilities or flags.top_k or flags.output):
        raise InputError("--benchmark only times; --output, --save-probabilities and --top-k belong to a prediction.")
    predictions = flags.output or Path("results/predictions.csv")
    output = OutputFiles(predictions, flags.format, flags.save_probabilities, flags.top_k)
    if not flags.benchmark:
        # tried before the models are loaded, which may take minutes
        output.check([*flags.checkpoint, *(flags.input or ())])
    check_pipeline(flags, overrides, OVERRIDABLE_KEYS)
    check_images(flags.input)

    from cli.inference_text import describe_benchmark, describe_prediction
    from common.distributed import processes
    from prediction.latency import benchmark
    from prediction.pipeline import load_pipeline
    from prediction.predict import predict_to_files

    with processes():
        pipeline = load_pipeline(flags.checkpoint, read_prediction_options(flags), overrides)
        if flags.benchmark:
            lines = describe_benchmark(pipeline, benchmark(pipeline, flags.input))
        else:
            lines = describe_prediction(pipeline, predict_to_files(pipeline, flags.input, output))
        show(lines)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands beside the overrides."""
    parser = ArgumentParser(
        prog="inference.py",
        usage="python inference.py --checkpoint P [P ...] [--input DIR|CSV|IMAGE ...] [--output F] [--tta [VIEWS]] "
        "[options] [key=value ...]",
        description=f"{__doc__} Keys: device, dataset.test_dir, dataset.batch_size, dataset.num_workers, "
        "competition.max_latency_ms, competition.input_size.",
        allow_abbrev=False,
    )
    add_pipeline_flags(parser)
    parser.add_argument("--input", type=Path, nargs="+", help="default: the checkpoint's dataset.test_dir")
    parser.add_argument("--output", type=file_path, help="default: results/predictions.csv")
    add_format_flag(parser)
    parser.add_argument("--save-probabilities", type=file_path, metavar="F", help="all probabilities, as .npz")
    parser.add_argument("--top-k", type=int, metavar="K", help="write the K best classes of each image to a file too")
    parser.add_argument("--benchmark", action="store_true", help="time decode + resize + forward for single images")
    return parser


if __name__ == "__main__":
    run_script(main)
