"""flower_cli.py probe: the accuracy of a linear classifier on a frozen backbone, the baseline of ten minutes."""

import argparse
from pathlib import Path

HELP = "top-1 of logistic regression on the features of a frozen pretrained backbone: model=... dataset.root=..."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--data", type=Path, help="measure on this table or prepared folder (default: the validation split)"
    )


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the figures; features are cached below output_dir, so that a second call takes seconds."""
    from configs.compose import compose
    from tools.probe_baseline import probe

    for line in probe(compose("config", overrides), arguments.data):
        print(line)
    return 0
