"""The decisions of corrections.csv when prepare-data writes the tables beside it anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.csv_files import read_rows, write_rows
from data.corrections import (
    CORRECTIONS_FILE,
    Decision,
    check_prepared,
    classes_of,
    files_of_images,
    locked_corrections,
    read_decisions,
    write_decisions,
)

UNMATCHED_FILE = "corrections_unmatched.csv"

_UNMATCHED_COLUMNS = ("image_id", "action", "category_id", "time")


@dataclass(frozen=True)
class Matched:
    """How many rows of corrections.csv fit the tables of a folder that was prepared anew, and the ids of the others."""

    kept: int
    unmatched: list[str]


def carried_decisions(folder: Path) -> list[tuple[Decision, str]]:
    """Return the decisions of a folder whose tables are about to be written anew, with the ids of their categories.

    Raises InputError as `read_decisions`.
    """
    if not (folder / CORRECTIONS_FILE).is_file():
        return []
    check_prepared(folder)
    classes = classes_of(folder)
    return [
        (decision, "" if decision.label is None else classes[decision.label].category_id)
        for decision in read_decisions(folder)
    ]


def match_decisions(folder: Path, carried: Sequence[tuple[Decision, str]]) -> Matched:
    """Write corrections.csv for new tables: labels may have other numbers, images and classes may be gone.

    Rows that no longer match are added to corrections_unmatched.csv, with the category id of their label.
    """
    if not carried:
        return Matched(0, [])
    known = files_of_images(folder, {decision.image_id for decision, _ in carried})
    label_of = {image_class.category_id: image_class.label for image_class in classes_of(folder)}
    fitting, others = [], []
    for decision, category in carried:
        if decision.image_id in known and (decision.label is None or category in label_of):
            fitting.append(replace(decision, label=label_of[category] if category else None))
        else:
            others.append((decision.image_id, decision.action, category, decision.time))
    with locked_corrections(folder):
        if others:
            _add_unmatched(folder / UNMATCHED_FILE, others)
        write_decisions(folder, fitting)
    return Matched(len(fitting), [row[0] for row in others])


def _add_unmatched(path: Path, rows: list[tuple[str, str, str, str]]) -> None:
    before = read_rows(path, _UNMATCHED_COLUMNS) if path.is_file() else []
    write_rows(path, _UNMATCHED_COLUMNS, [*([row[name] for name in _UNMATCHED_COLUMNS] for row in before), *rows])
