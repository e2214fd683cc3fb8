"""What the tab Data shows of a prepared data set; of its images none is opened here but by the search for pairs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError
from data.table import ImageTable
from studio.texts import Say

# left-out files and notes that are named one by one
_NAMED = 5


@dataclass(frozen=True)
class Page:
    """Some of many things: `items` are positions int64 (M,), the page is `number` of `count`, from 1 on."""

    items: np.ndarray
    number: int
    count: int


def page_of(items: np.ndarray, number: int, size: int) -> Page:
    """Return a page of `items` with `size` things; a number beyond the ends is the first or the last page."""
    count = max(-(-len(items) // size), 1)
    number = min(max(number, 1), count)
    return Page(items[(number - 1) * size : number * size], number, count)


def first_images(table: ImageTable) -> np.ndarray:
    """Return the row of the first image of each class, int64 (C,); -1 for a class without images."""
    rows = np.full(len(table.classes), -1, dtype=np.int64)
    labels, first = np.unique(table.labels, return_index=True)
    rows[labels] = first
    return rows


def image_counts(table: ImageTable) -> np.ndarray:
    """Return the number of images of each class, int64 (C,)."""
    return np.bincount(table.labels, minlength=len(table.classes))


def image_path(table: ImageTable, row: int) -> Path:
    """Return the file of a row."""
    return table.image_dir / table.image_ids[row]


def duplicate_pairs(table: ImageTable, folder: Path) -> np.ndarray:
    """Return (row, row, differing bits) of near-duplicates, int64 (P, 3), the most similar first.

    The hashes are cached in `folder`; the first call reads every image.
    """
    # imported here, because it imports scipy, for which the page need not wait
    from data.duplicates import image_hashes, near_duplicates

    pairs = near_duplicates(image_hashes(table, folder))
    return pairs[np.argsort(pairs[:, 2], kind="stable")]


def read_summary(folder: Path) -> dict[str, Any] | None:
    """Return what `prepare-data` wrote into summary.json, None if there is no such file.

    Raises InputError if it is something else.
    """
    path = folder / "summary.json"
    if not path.is_file():
        return None
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not the summary of prepare-data.") from error
    if not isinstance(summary, dict):
        raise InputError(f"{path}: not the summary of prepare-data.")
    return summary


def summary_rows(summary: dict[str, Any], say: Say) -> list[tuple[str, str]]:
    """Return (what, value) of each fact of a summary that it holds, for a table."""
    rows = [(say(key), str(summary[key])) for key in ("images", "classes") if key in summary]
    if "images_per_class" in summary:
        rows.append((say("images_per_class"), say("per_class_value", **summary["images_per_class"])))
    if "sizes" in summary:
        common = ", ".join(f"{size} ({count})" for size, count in summary["sizes"].get("most_common", {}).items())
        rows.append((say("sizes"), say("sizes_value", **{**summary["sizes"], "common": common})))
    if "duplicates" in summary:
        rows.append((say("same_bytes"), str(len(summary["duplicates"]))))
    return [*rows, *_understood_rows(summary.get("understood", {}), say)]


def _understood_rows(understood: dict[str, Any], say: Say) -> list[tuple[str, str]]:
    parts = [say("part_value", name=name, **part) for name, part in understood.get("parts", {}).items()]
    left_out = [f"{reason}: {_some(names)}" for reason, names in understood.get("left_out", {}).items()]
    tables = [f"{name}: {use}" for name, use in understood.get("tables", {}).items()]
    found = {
        "layout": understood.get("layout", ""),
        "tables": _some(tables),
        "parts": "; ".join(parts),
        "left_out": "; ".join(left_out),
        "notes": _some(understood.get("notes", [])),
    }
    return [(say(key), value) for key, value in found.items() if value]


def _some(names: list[str]) -> str:
    more = f" (+{len(names) - _NAMED})" if len(names) > _NAMED else ""
    return "; ".join(names[:_NAMED]) + more
