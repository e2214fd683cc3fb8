"""flower_cli.py models: the model options with their sizes, and which of them fit the limits."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configs.schema import CompetitionConfig

HELP = "list the model options, or with --search those of timm, with their sizes, and whether they fit the limits"

_WIDEST_TABLE = 400

_NUMBERS = ("pixels", "parameters", "MB fp32", "MB fp16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--classes", type=int, default=100, help="classes of the classifier (default: %(default)s)")
    parser.add_argument("--search", metavar="WORD", help="list timm's pretrained models with this word in their name")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the table."""
    from common.errors import InputError
    from configs.compose import compose

    foreign = [override for override in overrides if not override.startswith("competition")]
    if foreign:
        raise InputError(f"{foreign[0]}: 'models' takes no other override than competition=... and its keys.")
    if not 2 <= arguments.classes <= 100_000:
        raise InputError(f"--classes {arguments.classes}: expected 2 to 100000.")
    limits = compose("config", overrides).competition
    if arguments.search is None:
        _print_options(arguments.classes, limits)
    else:
        _print_matches(arguments.search, arguments.classes, limits)
    print(f"Limits of {limits.name}: {limits.max_model_mb:g} MB and {limits.max_parameters:.0e} parameters in all.")
    return 0


def _print_options(classes: int, limits: CompetitionConfig) -> None:
    from models.catalog import model_options

    rows = [
        (
            option.option,
            option.architecture,
            str(option.input_size),
            *_sizes(option.parameters, option.megabytes_fp32, option.megabytes_fp16, limits),
            option.licence,
        )
        for option in model_options(classes)
    ]
    _print_table(("model=", "timm architecture", *_NUMBERS, "fits", "licence"), rows)
    print("model=timm model.architecture=<name> trains any other model of timm; --search WORD lists them.")


def _print_matches(word: str, classes: int, limits: CompetitionConfig) -> None:
    from models.timm_search import search

    matches, count = search(word, classes)
    rows = [
        (
            match.name,
            match.input_size,
            *_sizes(match.parameters, match.megabytes, match.megabytes / 2, limits),
            match.licence,
            match.origin,
        )
        for match in matches
    ]
    _print_table(("model=timm model.architecture=", *_NUMBERS, "fits", "licence", "origin"), rows)
    if count > len(matches):
        print(f"The first {len(matches)} of {count}: a longer word shows others.")


def _sizes(parameters: int, fp32: float, fp16: float, limits: CompetitionConfig) -> tuple[str, str, str, str]:
    """Return parameters, the megabytes in both precisions, and in which of them the limits are kept."""
    fitting = [
        name
        for name, megabytes in (("fp32", fp32), ("fp16", fp16))
        if megabytes <= limits.max_model_mb and parameters <= limits.max_parameters
    ]
    return f"{parameters / 1e6:.1f} M", f"{fp32:.1f}", f"{fp16:.1f}", " and ".join(fitting) or "neither"


def _print_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # a narrow terminal wraps lines; nothing is cut off
    Console(width=_WIDEST_TABLE).print(table, soft_wrap=True)
