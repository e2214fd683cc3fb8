"""flower_cli.py soup: one model with the averaged weights of several runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.early_checks import check_labels, check_models
from cli.entry import file_path, with_figures

if TYPE_CHECKING:
    from tools.soup import SoupComparison

HELP = "average the weights of runs of one architecture, all and greedily; kept only where validation gains"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="P", help="best_model.pt of two or more runs")
    parser.add_argument("--data", type=Path, help="choose on this table or prepared folder (default: validation)")
    parser.add_argument("--output", type=file_path, default=Path("results/soup.pt"), help="default: %(default)s")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the table and write the soup as an ordinary checkpoint."""
    from common.errors import InputError, RunError
    from common.files import check_writable
    from prediction.options import LABELLED_KEYS

    if len(arguments.checkpoints) < 2:
        raise InputError("A soup needs two checkpoints or more.")
    check_writable(arguments.output, arguments.checkpoints, ".pt")
    check_models(arguments.checkpoints, overrides, LABELLED_KEYS)
    check_labels(arguments.data)

    from prediction.pipeline import load_pipeline
    from tools.soup import soup

    pipeline = load_pipeline(arguments.checkpoints, overrides=overrides, keys=LABELLED_KEYS)
    try:
        found = soup(pipeline, arguments.data, arguments.output)
    except RunError as error:
        raise with_figures(error, describe) from error
    print("\n".join([*describe(found), describe_written(found, arguments.output)]))
    return 0


def describe_written(found: SoupComparison, output: Path) -> str:
    """Return the line on the file, with the temperature of its probabilities."""
    if found.temperature == 1:
        told = f"{found.images} images are too few to fit a temperature"
    else:
        told = f"its temperature, {found.temperature:.3f}, was fitted on these images"
    return f"Wrote {output}: the {found.written} soup; {told}"


def describe(found: SoupComparison) -> list[str]:
    """Return the table: each model alone, then both soups against the best of them."""
    lines = [f"{found.images} images ({found.source})"]
    lines += [
        f"model {number}     {100 * top1:.2f} %  {path}"
        for number, (top1, path) in enumerate(zip(found.top1_of_members, found.paths, strict=True), start=1)
    ]
    for item in found.soups:
        members = ", ".join(str(place + 1) for place in item.members)
        lines.append(
            f"{item.kind:<11} {100 * item.top1:.2f} %  models {members}; "
            f"{item.gain.points:+.2f} against the best (95 %: {item.gain.low:+.2f} to {item.gain.high:+.2f})"
        )
    return lines
