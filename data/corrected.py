"""A table of images as corrections.csv has it: labels changed, images dropped, and both counted aloud."""

import hashlib
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from common.classes import ImageClass
from common.errors import InputError, print_warning
from data.corrections import CORRECTIONS_FILE, DROP, Decision, classes_of, newest, read_decisions
from data.image_ids import ImageIds, find_positions
from data.table import Corrections, ImageTable


def corrected(table: ImageTable, path: Path, images: str | None = None) -> ImageTable:
    """Return the table of the file `path` with the decisions of the corrections.csv beside it.

    A decision is about a photograph: it holds in each table of the folder that names the same file. `images` is the
    part, `train` or `val`, whose images `table.image_dir` holds by the config; None finds it by the usual folders.
    Raises InputError for a file of corrections that is wrong, and if no image is left.
    """
    folder = path.parent
    file = folder / CORRECTIONS_FILE
    if not file.is_file():
        return table
    if not (folder / "train.csv").is_file():
        _warn_once(f"{file}: not used, because there is no train.csv beside it.")
        return table
    prefix = _folder_below(table.image_dir, folder) if images is None else f"{images}/"
    decisions = newest(read_decisions(folder)).values()
    found = {it.file.removeprefix(prefix): it for it in decisions if prefix is not None and it.file.startswith(prefix)}
    places = find_positions(table.image_ids, list(found))
    rows = {place: it for place, it in zip(places.tolist(), found.values(), strict=True) if place >= 0}
    return _apply(table, rows, path, classes_of(folder), hashlib.sha256(file.read_bytes()).hexdigest())


def _apply(
    table: ImageTable, decisions: dict[int, Decision], path: Path, known: list[ImageClass], sha256: str
) -> ImageTable:
    """Return the table with the decision of each row; `known` are the classes that their labels mean."""
    classes, labels = list(table.classes), table.labels.copy()
    label_of = {image_class.category_id: image_class.label for image_class in classes}
    dropped, effects = np.zeros(len(labels), dtype=bool), []
    for row, decision in decisions.items():
        if decision.action == DROP:
            dropped[row] = True
        elif decision.label is not None:
            category = known[decision.label]
            if category.category_id not in label_of:
                label_of[category.category_id] = len(classes)
                classes.append(replace(category, label=len(classes)))
            labels[row] = label_of[category.category_id]
        if dropped[row] or labels[row] != table.labels[row]:
            effects.append(f"{decision.file}\t{decision.label}")
    changed = labels != table.labels
    kept = np.zeros(len(labels), dtype=bool)
    kept[list(decisions)] = True
    kept &= ~changed & ~dropped
    stay = np.flatnonzero(~dropped)
    if not len(stay):
        raise InputError(f"{path.parent / CORRECTIONS_FILE}: drops all {len(labels)} images of {path.name}.")
    _name_empty_classes(table, np.bincount(labels[stay], minlength=len(classes)), path)
    effect = hashlib.sha256("\n".join(sorted(effects)).encode("utf-8", "surrogateescape")).hexdigest()
    corrections = Corrections(
        changed=int(changed.sum()),
        dropped=int(dropped.sum()),
        kept_rows=np.flatnonzero(kept[stay]),
        sha256=sha256,
        effect=effect if effects else "",
    )
    ids = ImageIds(table.image_ids[row] for row in stay.tolist()) if dropped.any() else table.image_ids
    return replace(table, image_ids=ids, labels=labels[stay], classes=classes, corrections=corrections)


def joined_corrections(first: ImageTable, second: ImageTable) -> Corrections | None:
    """Return the corrections of two tables whose rows follow one another."""
    one, two = first.corrections, second.corrections
    if one is None:
        one, two, offset = two, None, len(first.labels)
    else:
        offset = 0
    if one is None:
        return None
    kept = one.kept_rows + offset
    if two is None:
        return replace(one, kept_rows=kept)
    return Corrections(
        changed=one.changed + two.changed,
        dropped=one.dropped + two.dropped,
        kept_rows=np.concatenate([kept, two.kept_rows + len(first.labels)]),
        sha256="+".join(dict.fromkeys([one.sha256, two.sha256])),
        effect="+".join(filter(None, [one.effect, two.effect])),
    )


def say_corrections(table: ImageTable, name: str = "") -> None:
    """Print what corrections.csv did, once per run and table, where it does not mix with results.

    `name` is that of a table besides the usual ones.
    """
    done = table.corrections
    if done is None:
        return
    of = f" of {name}" if name else ""
    line = (
        f"{CORRECTIONS_FILE}: {_counted(done.changed, 'label')} changed, {_counted(done.dropped, 'image')} dropped, "
        f"{len(done.kept_rows)} kept as they are{of}."
    )
    _say_once(line, done.sha256, table.image_dir)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _name_empty_classes(before: ImageTable, counts: np.ndarray, path: Path) -> None:
    had = np.bincount(before.labels, minlength=len(before.classes))
    empty = [f"{it.name} ({it.label})" for it in before.classes if had[it.label] and not counts[it.label]]
    if empty:
        _warn_once(f"{CORRECTIONS_FILE} leaves no image of {', '.join(empty)} in {path}.")


def _folder_below(image_dir: Path, folder: Path) -> str | None:
    """Return what stands before an id of the table in the path of its file below `folder`; None for other images."""
    for part in ("train", "val"):
        if image_dir.resolve() == (folder / part).resolve():
            return f"{part}/"
    if image_dir.resolve() != folder.resolve():
        return None
    return "" if (folder / "train").is_dir() else "train/"


@cache
def _say_once(line: str, _sha256: str, _image_dir: Path) -> None:
    if _is_main():
        print(line, file=sys.stderr, flush=True)


@cache
def _warn_once(text: str) -> None:
    if _is_main():
        print_warning(text)


def _is_main() -> bool:
    # processes that share their work have imported this; importing it would import torch, which takes seconds
    distributed = sys.modules.get("common.distributed")
    return distributed is None or distributed.is_main()
