"""flower_cli.py audit: copies, copies with different labels, and labels that look wrong."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.entry import show

if TYPE_CHECKING:
    from data.table import ImageTable
    from tools.data_audit import Audit, DuplicatePair, Suspect

HELP = "look for near-duplicates and wrong labels: dataset.root=... --label-errors --embeddings"

_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--label-errors", action="store_true", help="rank doubtful labels, by features of model=...")
    parser.add_argument(
        "--embeddings", action="store_true", help="add pairs that model=... sees as one picture to duplicates.csv"
    )
    parser.add_argument("--output", type=Path, default=Path("results/audit"), help="default: %(default)s")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the findings and the paths of the tables. In the data set only duplicates.csv is changed."""
    from cli.early_checks import check_data_of, check_folder
    from configs.compose import compose

    config = compose("config", overrides)
    check_folder(arguments.output)
    check_data_of(config)

    from tools.data_audit import audit

    found = audit(config, arguments.output, arguments.embeddings, arguments.label_errors)
    show(describe(found, arguments.output))
    print(f"Tables: {arguments.output}")
    return 0


def describe(found: Audit, folder: Path) -> list[str]:
    """Return the counts, and the first findings of each kind."""
    from tools.label_errors import LABEL_ERRORS

    table = found.table
    lines = [f"images            {len(table.image_ids)} in {len(table.classes)} classes, {found.readable} readable"]
    if found.new_pairs is not None:
        lines.append(f"by embedding      {found.new_pairs} further pairs, added to {found.pairs_file}")
    lines.append(
        f"near-duplicates   {len(found.pairs)} pairs, {len(found.contradictory)} of them with different labels"
    )
    lines += [f"  {_describe_pair(table, pair)}" for pair in found.contradictory[:_SHOWN]]
    if found.suspects is not None:
        lines.append(f"doubtful labels   {len(found.suspects)}, the most doubtful first in {folder / LABEL_ERRORS}")
        if found.kept:
            lines.append(f"  {found.kept} others are left out: corrections.csv keeps their labels")
        lines += [f"  {_describe_suspect(table, suspect)}" for suspect in found.suspects[:_SHOWN]]
    return lines


def _describe_pair(table: ImageTable, pair: DuplicatePair) -> str:
    names = [f"{table.image_ids[row]} ({table.classes[table.labels[row]].name})" for row in (pair.first, pair.second)]
    return f"{' = '.join(names)}: {pair.found_by}"


def _describe_suspect(table: ImageTable, suspect: Suspect) -> str:
    given, suggested = table.classes[table.labels[suspect.row]], table.classes[suspect.suggested]
    return (
        f"{table.image_ids[suspect.row]}: {given.name} ({suspect.given_probability:.2f}), or "
        f"{suggested.name} ({suspect.suggested_probability:.2f})? {suspect.reason}"
    )
