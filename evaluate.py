"""Evaluate a checkpoint on labelled images: metrics with intervals, per-class table, pictures."""

import argparse
from pathlib import Path

from cli.entry import ArgumentParser, run_script, split_overrides

SPLITS = ("val", "train", "all")


def main(arguments: list[str]) -> int:
    """Evaluate and print the figures and where the files are."""
    words, overrides = split_overrides(arguments)
    flags = build_parser().parse_args(words)

    from engine.evaluation import evaluate

    evaluation = evaluate(flags.checkpoint, flags.output_dir, flags.split, flags.data, overrides)
    for line in evaluation.lines:
        print(line)
    print(f"Tables and pictures: {flags.output_dir}")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands beside the overrides."""
    parser = ArgumentParser(
        prog="evaluate.py",
        usage="python evaluate.py --checkpoint P [--split S | --data DIR_OR_CSV] [--output-dir D] [key=value ...]",
        description=f"{__doc__} Keys: device, dataset.root, dataset.batch_size, dataset.num_workers, training.use_amp.",
        allow_abbrev=False,
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="best_model.pt of a run")
    parser.add_argument("--split", choices=SPLITS, help="images of the checkpoint's own data set (default: val)")
    parser.add_argument("--data", type=Path, help="other labelled images: a prepared folder, or a table image_id,label")
    parser.add_argument("--output-dir", type=Path, default=Path("results/evaluation"), help="default: %(default)s")
    return parser


if __name__ == "__main__":
    run_script(main)
