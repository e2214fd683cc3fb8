"""Evaluate a checkpoint, or several averaged, on labelled images: metrics with intervals, tables, pictures."""

import argparse
from pathlib import Path

from cli.entry import ArgumentParser, add_pipeline_flags, run_script, split_overrides

SPLITS = ("val", "test", "train", "all")


def main(arguments: list[str]) -> int:
    """Evaluate and print the figures and where the files are."""
    words, overrides = split_overrides(arguments)
    flags = build_parser().parse_args(words)

    from engine.distributed import processes
    from engine.evaluation import KEYS, evaluate
    from engine.pipeline import load_pipeline
    from engine.tta import parse_views

    views = parse_views(flags.tta)
    with processes():
        pipeline = load_pipeline(flags.checkpoint, views, flags.average, flags.precision, overrides, KEYS)
        evaluation = evaluate(pipeline, flags.output_dir, flags.split, flags.data)
        for line in evaluation.lines:
            print(line)
        print(f"Tables and pictures: {flags.output_dir}")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands beside the overrides."""
    parser = ArgumentParser(
        prog="evaluate.py",
        usage="python evaluate.py --checkpoint P [P ...] [--split S | --data DIR_OR_CSV] [--tta [VIEWS]] "
        "[--output-dir D] [options] [key=value ...]",
        description=f"{__doc__} Keys: device, dataset.root, dataset.batch_size, dataset.num_workers.",
        allow_abbrev=False,
    )
    add_pipeline_flags(parser)
    parser.add_argument("--split", choices=SPLITS, help="images of the checkpoint's own data set (default: val)")
    parser.add_argument("--data", type=Path, help="other labelled images: a prepared folder, or a table image_id,label")
    parser.add_argument("--output-dir", type=Path, default=Path("results/evaluation"), help="default: %(default)s")
    return parser


if __name__ == "__main__":
    run_script(main)
