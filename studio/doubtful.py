"""The doubtful labels that flower_cli.py audit listed, and which of them comes next."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.csv_files import read_rows
from common.errors import InputError
from data.corrections import classes_of, ids_in_tables
from data.table import ImageTable
from tools.label_errors import LABEL_ERROR_COLUMNS, LABEL_ERRORS

# rows of a class that are looked through for examples
_LOOKED_AT = 200


@dataclass(frozen=True)
class Doubt:
    """A photograph whose label is doubtful.

    `image_id` is that of corrections.csv, `name` that of the table. `label` is the given one, `suggested` another;
    their probabilities are from 0 to 1. `reason` is one of those in `tools.data_audit`.
    """

    image_id: str
    name: str
    label: int
    suggested: int
    given_probability: float
    suggested_probability: float
    reason: str


def read_doubts(audit: Path, labels: Path) -> tuple[list[Doubt], int] | None:
    """Return the list in the folder `audit`, the most doubtful first, and how many of its rows are of other data.

    `labels` is the folder of train.csv. Returns None if there is no list. Raises InputError if the file is another one.
    """
    path = audit / LABEL_ERRORS
    if not path.is_file():
        return None
    if path.read_bytes().strip() == ",".join(LABEL_ERROR_COLUMNS).encode():
        # the audit found nothing
        return [], 0
    rows = read_rows(path, LABEL_ERROR_COLUMNS)
    ids = ids_in_tables(labels, {row["image_id"] for row in rows})
    named = {(str(it.label), it.name) for it in classes_of(labels)}
    fitting = [
        row
        for row in rows
        if row["image_id"] in ids
        and {(row["label"], row["name"]), (row["suggested_label"], row["suggested_name"])} <= named
    ]
    try:
        doubts = [_doubt(row, ids[row["image_id"]]) for row in fitting]
    except ValueError as error:
        raise InputError(f"{path}: not the list of flower_cli.py audit: {error}.") from error
    return doubts, len(rows) - len(fitting)


def doubtful_names(audit: Path, labels: Path) -> set[str]:
    """Return the names of the table's photographs that the list holds; none if there is no list, or another file."""
    try:
        listed = read_doubts(audit, labels)
    except InputError:
        # the tab of the list says what is wrong with it
        listed = None
    return set() if listed is None else {doubt.name for doubt in listed[0]}


def _doubt(row: dict[str, str], image_id: str) -> Doubt:
    return Doubt(
        image_id=image_id,
        name=row["image_id"],
        label=int(row["label"]),
        suggested=int(row["suggested_label"]),
        given_probability=float(row["given"]),
        suggested_probability=float(row["suggested"]),
        reason=row["reason"],
    )


def next_doubt(doubts: Sequence[Doubt], decided: Container[str], skipped: Sequence[str]) -> Doubt | None:
    """Return the first that is not decided; those that were skipped come after all others, in the order of skipping."""
    left = [doubt for doubt in doubts if doubt.image_id not in decided]
    fresh = [doubt for doubt in left if doubt.image_id not in skipped]
    return next(iter(fresh or sorted(left, key=lambda doubt: skipped.index(doubt.image_id))), None)


def examples(table: ImageTable, label: int, doubtful: Container[str], count: int) -> list[str]:
    """Return names of photographs of a class whose labels nobody doubts."""
    rows = np.flatnonzero(table.labels == label)[:_LOOKED_AT].tolist()
    return [table.image_ids[row] for row in rows if table.image_ids[row] not in doubtful][:count]
