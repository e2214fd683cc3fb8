"""flower_cli.py calibrate: the temperature of a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.early_checks import check_file, check_labels, check_models, check_temperature_source
from cli.entry import file_path
from prediction.options import LABELLED_KEYS

if TYPE_CHECKING:
    from tools.calibrate_checkpoint import CalibratedCheckpoint

HELP = "fit the temperature by which a checkpoint's probabilities match how often it is right; no label changes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--checkpoint", type=file_path, required=True, metavar="P", help="best_model.pt")
    parser.add_argument("--data", type=Path, help="labelled images: a table or a prepared folder (default: validation)")
    parser.add_argument("--folds", type=Path, help="take the temperature of the cross-validation below this folder")
    parser.add_argument("--output", type=file_path, help="write here (default: into the checkpoint itself)")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the calibration error before and after, and write the checkpoint."""
    check_temperature_source(arguments.data, arguments.folds)
    check_file(arguments.output or arguments.checkpoint, suffix=".pt")
    check_models([arguments.checkpoint], overrides, LABELLED_KEYS)
    check_labels(arguments.data)

    from tools.calibrate_checkpoint import calibrate_checkpoint

    found = calibrate_checkpoint(arguments.checkpoint, arguments.data, arguments.folds, arguments.output, overrides)
    print("\n".join(describe(found)))
    return 0


def describe(found: CalibratedCheckpoint) -> list[str]:
    """Return the figures and warnings."""
    fitted = found.calibration
    lines = [
        f"images             {fitted.images} ({found.source})",
        f"temperature        {fitted.temperature:.3f} (before: {found.temperature_before:.3f})",
        f"calibration error  {100 * fitted.error_before:.2f} % at temperature 1, {100 * fitted.error_after:.2f} % in "
        f"{fitted.folds} folds, each with the temperature of the others",
        f"Wrote {found.path}. No label changes.",
    ]
    if found.other_architectures:
        lines.append(
            f"warning: the folds are of {', '.join(found.other_architectures)}; another architecture may need another "
            "temperature."
        )
    if found.seen_in_training:
        lines.append(
            f"warning: {found.seen_in_training} of these images were seen in training; on new images the probabilities "
            "will be too high."
        )
    if found.unreadable:
        lines.append(f"warning: {found.unreadable} images could not be read.")
    return lines
