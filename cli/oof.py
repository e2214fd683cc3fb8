"""flower_cli.py oof: out-of-fold predictions of a cross-validation, joined to one estimate."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.early_checks import check_folder, check_folds

if TYPE_CHECKING:
    from tools.cross_validation import CrossValidation

HELP = "join the out-of-fold predictions of dataset.fold=0,1,...: one honest estimate, and a calibrated temperature"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("folder", type=Path, help="of the sweep, or any folder whose subfolders hold the runs")
    parser.add_argument("--tta", nargs="?", const="identity,hflip", metavar="VIEWS", help="as in evaluate.py")
    parser.add_argument("--output", type=Path, default=Path("results/oof"), help="default: %(default)s")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the figures and write the tables."""
    from prediction.view_names import parse_views

    views = parse_views(arguments.tta)
    check_folder(arguments.output)
    check_folds(arguments.folder, overrides)

    from tools.cross_validation import join_folds

    found = join_folds(arguments.folder, views, arguments.output, overrides)
    for line in describe(found):
        print(line)
    print(f"Tables: {arguments.output}")
    return 0


def describe(found: CrossValidation) -> list[str]:
    """Return the figures of all folds together and of each, and warnings about missing images."""
    from cli.evaluate_text import metric_lines

    folds = [100 * top1 for top1 in found.top1_of_folds]
    lines = [
        f"images             {found.metrics.images}, each answered by the one of {len(folds)} models that never saw it",
        *metric_lines(found.metrics),
        f"top-1 of the folds {', '.join(f'{top1:.2f}' for top1 in folds)} %, spread {100 * found.spread:.2f}",
        f"temperature        {found.temperature:.3f}: fitted on the other folds, the calibration error is "
        f"{100 * found.calibrated_error:.2f} %, the loss {found.calibrated_loss:.4f}",
        "note: each model's best epoch was chosen on its own fold, so expect a little less on new images.",
    ]
    if found.not_held_back:
        lines.append(
            f"warning: {found.not_held_back} of {found.images_of_runs} images were held back by none of these models."
        )
    if found.unreadable:
        lines.append(f"warning: {found.unreadable} images could not be read.")
    return lines
