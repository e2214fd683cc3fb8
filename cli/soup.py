"""flower_cli.py soup: one model of the averaged weights of several runs."""

import argparse
from pathlib import Path

HELP = "average the weights of runs of one architecture, all and greedily; kept only where validation gains"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="P", help="best_model.pt of two or more runs")
    parser.add_argument("--data", type=Path, help="choose on this table or prepared folder (default: validation)")
    parser.add_argument("--output", type=Path, default=Path("results/soup.pt"), help="default: %(default)s")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the table and write the soup, an ordinary checkpoint."""
    from common.errors import InputError
    from evaluation.labelled_images import KEYS
    from prediction.pipeline import load_pipeline
    from tools.soup import soup

    if len(arguments.checkpoints) < 2:
        raise InputError("A soup needs two checkpoints or more.")
    for line in soup(
        load_pipeline(arguments.checkpoints, overrides=overrides, keys=KEYS), arguments.data, arguments.output
    ):
        print(line)
    return 0
