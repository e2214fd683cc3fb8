"""What several tables say of the same images: which of them counts, and where.

Everything here is a pure function of names and table cells.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from common.errors import InputError
from data.class_names import uniform_labels
from data.label_table import LabelTable
from data.match import FileIndex, index_files
from data.part_names import OTHER, TRAIN, part_of_table
from data.parts import Folders
from data.table_use import OTHER_PARTS, Columns, TableUse, use_table

UNKNOWN_CLASS = "images of classes without training images"

# a table gives the labels if it names this share of the images, or if there are no class folders
_ENOUGH = 0.5


def use_tables(
    tables: Mapping[str, LabelTable | str],
    images: Sequence[str],
    folders: Folders,
    columns: Columns,
    chosen: str | None,
    classes: set[str],
) -> dict[str, TableUse]:
    """Return what each table says; if two tables label the same images in different ways, the surer one counts.

    A name is searched below the folder of its table first, then in the part that the table is called after.
    """
    if not tables:
        return {}
    indexes = {part: index_files(files) for part, files in {**folders.parts, "beside": folders.beside}.items()}
    ordered, below = sorted(images), {}
    uses = {}
    for path, table in tables.items():
        if isinstance(table, str):
            if path == chosen:
                raise InputError(table)
            uses[path] = TableUse(f"not used: {table.removeprefix(path).lstrip(':, ').rstrip('.')}")
            continue
        own_part = part_of_table(path)
        by_part = [indexes[part] for part in sorted(indexes, key=lambda part: (part != own_part, part != TRAIN))]
        folder = path.rpartition("/")[0]
        if folder not in below:
            below[folder] = _index_below(f"{folder}/", ordered) if folder else None
        near = below[folder]
        searched = by_part if near is None else [near, *by_part]
        uses[path] = use_table(path, table, searched, columns, path == chosen, classes)
    return _without_rivals(uses)


def _index_below(folder: str, ordered: Sequence[str]) -> FileIndex | None:
    files = ordered[bisect_left(ordered, folder) : bisect_left(ordered, f"{folder[:-1]}0")]
    return index_files(files) if 0 < len(files) < len(ordered) else None


def _without_rivals(uses: Mapping[str, TableUse]) -> dict[str, TableUse]:
    """Take the labels from a table if most of them differ from those of a surer table for the same images."""
    if sum(bool(use.labels) for use in uses.values()) < 2:
        return dict(uses)
    known: dict[str, set[str]] = {}
    kept = dict(uses)
    for path in sorted(uses, key=lambda path: (uses[path].rank, -len(uses[path].labels))):
        labels = uses[path].labels
        flat = [label for found in labels.values() for label in found]
        spelled = dict(zip(flat, uniform_labels(flat)[0], strict=True))
        found = {file: {spelled[label] for label in several} for file, several in labels.items()}
        both = found.keys() & known.keys()
        differ = sum(found[file].isdisjoint(known[file]) for file in both)
        if both and 2 * differ > len(both):
            taken_for = f"not used: its labels differ from those of a surer table for {differ} of {len(both)} images"
            kept[path] = replace(uses[path], labels={}, names={}, missing=[], problems={}, taken_for=taken_for)
        else:
            known |= found
    return kept


def labels_of_all(uses: Mapping[str, TableUse]) -> dict[str, list[str]]:
    labels: dict[str, list[str]] = {}
    for use in uses.values():
        for path, found in use.labels.items():
            known = labels.setdefault(path, [])
            known += [label for label in found if label not in known]
    return labels


def labels_beside(use: TableUse, classes: Mapping[str, str], known: set[str]) -> TableUse:
    """Keep of the labels of a table those of images outside the class folders, if they are classes of the folders."""
    if not use.labels:
        return use
    outside = {path: found for path, found in use.labels.items() if path not in classes}
    beside = {path: found for path, found in outside.items() if set(found) <= known}
    inside = len(use.labels) - len(outside)
    parts = sorted(set(use.parts.values()) - {OTHER})
    why = f"it names {inside} of the images, which lie in class folders"
    if beside:
        taken_for = use.taken_for + (f"; not used for {inside} images in class folders" if inside else "")
    elif parts:
        taken_for = f"a list of the {' and '.join(parts)} images; its labels are not used: {why}"
    else:
        taken_for = f"not used: {why}"
    problems = {
        OTHER_PARTS: use.problems.get(OTHER_PARTS, []),
        UNKNOWN_CLASS: [f"{path}: {', '.join(found)}" for path, found in outside.items() if path not in beside],
    }
    return replace(use, taken_for=taken_for, labels=beside, names={}, missing=[], ambiguous={}, problems=problems)


def tables_label(
    labels: Mapping[str, list[str]], classes: Mapping[str, str], part_of: Mapping[str, str], is_chosen: bool
) -> bool:
    """Say whether the labels come from tables rather than from class folders."""
    if is_chosen or len(set(classes.values())) < 2:
        return bool(labels)
    train = [path for path, part in part_of.items() if part == TRAIN]
    return sum(path in labels for path in train) >= _ENOUGH * len(train) > 0


def check_ambiguous(uses: Mapping[str, TableUse]) -> None:
    for path, use in uses.items():
        for name, files in use.ambiguous.items():
            raise InputError(
                f"{path}: {name} fits {len(files)} files, {' and '.join(files[:2])}. "
                "Write their folders into the table, or remove all but one."
            )


def problems_of_rows(uses: Mapping[str, TableUse]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path, use in uses.items():
        for reason, rows in use.problems.items():
            found[reason] += [f"{path}, {row}" for row in rows]
    return found


def notes_on_lists(trained: Sequence[str], uses: Mapping[str, TableUse]) -> list[str]:
    """Return a note if tables list the training images, but not all that are used as such."""
    listed = {path for use in uses.values() for path, part in use.parts.items() if part == TRAIN}
    labelled = {path for use in uses.values() for path in use.labels}
    others = [path for path in trained if path not in listed and path not in labelled] if listed else []
    if not others:
        return []
    return [f"{len(others)} training images stand in no list of the training images, such as {others[0]}"]
