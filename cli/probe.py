"""flower_cli.py probe: the accuracy of a linear classifier on a frozen backbone, a baseline in ten minutes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.early_checks import check_labels, check_run, name_keys_of_training

if TYPE_CHECKING:
    from tools.probe_baseline import ProbeResult

HELP = "top-1 of logistic regression on the features of a frozen pretrained backbone: model=... dataset.root=..."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--data", type=Path, help="measure on this table or prepared folder (default: the validation split)"
    )


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the figures; features are cached below output_dir, so a second call takes seconds."""
    from configs.compose import compose

    config = compose("config", overrides)
    check_run(config)
    check_labels(arguments.data)
    name_keys_of_training(overrides)

    from tools.probe_baseline import probe

    print("\n".join(describe(probe(config, arguments.data))))
    return 0


def describe(found: ProbeResult) -> list[str]:
    """Return the lines: the backbone, what the classifier was fitted on, and its accuracy."""
    low, high = found.top1_interval
    warnings = [f"warning: {found.unreadable} images could not be read: left out."] if found.unreadable else []
    return [
        *warnings,
        f"backbone  {found.architecture} at {found.input_size} px, frozen",
        f"fitted    on {found.training_images} images, {found.classes} classes; "
        f"C={found.regularisation:g} by cross-validation",
        f"top-1     {100 * found.top1:.2f} %  (95 %: {100 * low:.2f} to {100 * high:.2f}) "
        f"of {found.images} images ({found.source})",
        f"top-5     {100 * found.top5:.2f} %",
    ]
