"""flower_cli.py shortlist: the models that can be used here, and how well each reads these photographs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.early_checks import check_file, check_shortlist
from cli.entry import file_path

if TYPE_CHECKING:
    from configs.schema import CompetitionConfig
    from tools.shortlist_file import Row, Shortlist

HELP = "which models keep the limits, have weights here, and read these photographs best: dataset.root=..."

_WIDEST_TABLE = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--models", metavar="A,B", help="options of model= (default: all)")
    parser.add_argument(
        "--weights-dir",
        type=Path,
        default=Path("weights"),
        metavar="DIR",
        help="files <option>.safetensors, or .pt or .pth, or named by the architecture (default: %(default)s)",
    )
    parser.add_argument(
        "--images", type=int, default=1500, metavar="N", help="training images of the probe (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds-per-model",
        type=float,
        default=120.0,
        metavar="S",
        help="rough limit; with few, fewer images are read (default: %(default)g)",
    )
    parser.add_argument("--json", type=file_path, metavar="FILE", help="all figures; the same command goes on with it")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print a line as each model is known, then the table. 1 if no model is in."""
    from cli.entry import show
    from configs.compose import compose

    names = None if arguments.models is None else [name.strip() for name in arguments.models.split(",")]
    if arguments.json is not None:
        check_file(arguments.json, suffix=".json")
    check_shortlist(overrides, names, arguments.images, arguments.seconds_per_model)

    from tools.shortlist import shortlist

    found = shortlist(
        overrides,
        names,
        arguments.weights_dir,
        arguments.images,
        arguments.seconds_per_model,
        arguments.json,
        lambda row, reused: show_now(describe_row(row, reused)),
    )
    print_table(found, compose("config", overrides, allow_unused=True).competition)
    show(describe(found))
    return 0 if any(row.is_in for row in found.rows) else 1


def show_now(line: str) -> None:
    """Print a line at once, so that it is seen while the next model is measured."""
    from cli.entry import show

    show([line])
    sys.stdout.flush()


def describe_row(row: Row, reused: bool) -> str:
    """Return the line of a model that was just measured, or read from the file of an earlier call."""
    verdict = f"top-1 {_percent(row)}" if row.is_in else f"out: {row.reason}"
    return f"{row.option}: {verdict}{' (measured by an earlier call)' if reused else ''}"


def print_table(found: Shortlist, limits: CompetitionConfig) -> None:
    """Print a line for each model; a narrow terminal wraps lines, and nothing is cut off."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for heading in ("model=", "px", "MB", "latency ms", "images/s", "last", "probe top-1 %", "in or out"):
        table.add_column(heading, justify="left" if heading in ("model=", "in or out") else "right", no_wrap=True)
    for row in found.rows:
        table.add_row(*cells(row))
    Console(width=_WIDEST_TABLE, markup=False).print(table, soft_wrap=True)
    print(
        f"Limits of {limits.name}: {limits.max_model_mb:g} MB, {limits.max_parameters:.0e} parameters, "
        f"{limits.max_latency_ms:g} ms. Measured on {found.device}."
    )


def cells(row: Row) -> list[str]:
    """Return the cells of a model's line; a hyphen is what was not measured."""
    remarks = [f"out: {row.reason}"] if row.reason else ["in", *([" ".join(row.keys)] if row.keys else []), *row.notes]
    return [
        row.option,
        str(row.input_size),
        f"{row.megabytes:.1f} {row.precision}",
        _figure(row.latency_ms),
        _figure(row.images_per_second),
        _figure(row.images_per_second_last),
        _percent(row),
        "; ".join(remarks),
    ]


def describe(found: Shortlist) -> list[str]:
    """Return what the table does not say: what was reused, and the best model, or that there is none."""
    lines = []
    if found.reused:
        lines.append(f"Not measured again, because an earlier call did: {', '.join(found.reused)}.")
    if not found.rows[0].is_in:
        return [*lines, "No model can be used here: the table says of each why it is out."]
    best = found.rows[0]
    return [
        *lines,
        "The probe's top-1 is out of fold, on training images; fine-tuning may order close models in another way.",
        f"Best model: {' '.join([f'model={best.option}', *best.keys])}",
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _percent(row: Row) -> str:
    if row.probe_top1 is None or row.probe_interval is None:
        return "-"
    low, high = row.probe_interval
    return f"{100 * row.probe_top1:.1f} ({100 * low:.1f} to {100 * high:.1f})"
