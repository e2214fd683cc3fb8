"""flower_cli.py oof: the models of a cross-validation together, each image answered by the one that never saw it."""

import argparse
from pathlib import Path

HELP = "join the out-of-fold predictions of dataset.fold=0,1,...: one honest estimate, and a calibrated temperature"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("folder", type=Path, help="of the sweep, or any folder whose subfolders hold the runs")
    parser.add_argument("--tta", nargs="?", const="identity,hflip", metavar="VIEWS", help="as in evaluate.py")
    parser.add_argument("--output", type=Path, default=Path("results/oof"), help="default: %(default)s")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the figures and write the tables."""
    from prediction.views import parse_views
    from tools.cross_validation import join_folds

    for line in join_folds(arguments.folder, parse_views(arguments.tta), arguments.output, overrides):
        print(line)
    print(f"Tables: {arguments.output}")
    return 0
