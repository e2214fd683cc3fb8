"""Average several models, or their saved probabilities, to one predictions.csv."""

import argparse
from pathlib import Path

from cli.entry import ArgumentParser, add_format_flag, add_pipeline_flags, run_script, split_overrides
from configs.errors import InputError


def main(arguments: list[str]) -> int:
    """Predict and write predictions.csv with its recipe."""
    words, overrides = split_overrides(arguments)
    flags = build_parser().parse_args(words)
    if bool(flags.checkpoint) == bool(flags.probabilities):
        raise InputError("Give --checkpoint A B ..., or --probabilities a.npz b.npz ...")
    if len(flags.checkpoint or flags.probabilities) < 2:
        raise InputError("An ensemble has two members or more; inference.py takes one checkpoint.")
    if flags.probabilities and (flags.input or overrides):
        raise InputError("--probabilities: the images are those of the files; --input and keys have no effect.")

    from engine.distributed import processes
    from engine.ensemble import average_saved
    from engine.inference import Output, infer
    from engine.pipeline import load_pipeline
    from engine.tta import parse_views

    if flags.probabilities:
        lines = average_saved(flags.probabilities, flags.output, flags.format)
    else:
        with processes():
            views = parse_views(flags.tta)
            pipeline = load_pipeline(flags.checkpoint, views, flags.average, flags.precision, overrides)
            lines = infer(pipeline, flags.input, Output(flags.output, flags.format))
    for line in lines:
        print(line)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands beside the overrides."""
    parser = ArgumentParser(
        prog="ensemble.py",
        usage="python ensemble.py (--checkpoint A B ... [--input DIR|CSV|IMAGE ...] | --probabilities a.npz b.npz ...) "
        "[--output F] [options] [key=value ...]",
        description=f"{__doc__} Members count equally; classes are matched by category id.",
        allow_abbrev=False,
    )
    add_pipeline_flags(parser, required=False)
    parser.add_argument(
        "--probabilities", type=Path, nargs="+", metavar="F", help="of inference.py --save-probabilities"
    )
    parser.add_argument("--input", type=Path, nargs="+", default=[], help="default: the first checkpoint's test_dir")
    parser.add_argument("--output", type=Path, default=Path("results/predictions.csv"), help="default: %(default)s")
    add_format_flag(parser)
    return parser


if __name__ == "__main__":
    run_script(main)
