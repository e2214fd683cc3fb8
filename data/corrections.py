"""corrections.csv beside train.csv: what a person decided on doubtful labels; nothing else of the data is changed."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from common.classes import ImageClass
from common.csv_files import known_as, read_rows, write_rows
from common.csv_stream import stream_rows
from common.errors import InputError, check_choice
from common.files import as_path
from common.locks import locked
from data.table import read_classes

CORRECTIONS_FILE = "corrections.csv"

COLUMNS = ("image_id", "action", "label", "time")

KEEP, RELABEL, DROP = "keep", "relabel", "drop"

ACTIONS = (KEEP, RELABEL, DROP)

# for how long a writer waits for another one
_SECONDS = 20


@dataclass(frozen=True)
class Decision:
    """What is done with one image: `action` is one of `ACTIONS`, `label` the new one of `relabel`, else None.

    `image_id` is written as in train.csv, or `val/<image_id of val.csv>`. `time` is ISO 8601 in UTC. `file` is the path
    of the image below the prepared folder by its usual layout, such as `train/1.jpg`.
    """

    image_id: str
    action: str
    label: int | None = None
    time: str = ""
    file: str = ""


def read_decisions(folder: str | Path) -> list[Decision]:
    """Return all rows of corrections.csv in a prepared folder, oldest first; none if there is no such file.

    Raises InputError, naming file and line, for another header, an unknown image, action or label, a relabel without
    a label, and a label of another action.
    """
    folder = as_path(folder)
    path = folder / CORRECTIONS_FILE
    if not path.is_file():
        return []
    rows = read_rows(path, COLUMNS)
    if set(rows[0]) != set(COLUMNS):
        raise InputError(f"{path}, line 1: its columns are {','.join(rows[0])[:200]}, expected {','.join(COLUMNS)}.")
    known = files_of_images(folder, {cell for row in rows for cell in (row["image_id"], row["image_id"].strip())})
    classes = classes_of(folder)
    decisions = []
    for line, row in enumerate(rows, start=2):
        where, cell = f"{path}, line {line}", row["label"].strip()
        if cell and not (cell.isascii() and cell.isdigit()):
            raise InputError(f"{where}: label '{cell[:40]}' is not a whole number from 0 on.")
        name, action = known_as(row["image_id"], known), row["action"].strip()
        decision = Decision(name, action, int(cell) if cell else None, row["time"].strip())
        decisions.append(_checked(decision, where, known, classes))
    return decisions


def newest(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Return the decision that counts for each image id: the last one."""
    return {decision.image_id: decision for decision in decisions}


def append_decisions(folder: str | Path, decisions: Sequence[Decision]) -> list[Decision]:
    """Add rows to corrections.csv, all or none, and return them with the time of now.

    The ids of the images are taken as they stand in train.csv, also with `train/` before them. Other processes may
    write at the same time. Raises InputError as `read_decisions`, and if the folder has no train.csv.
    """
    folder = as_path(folder)
    new = _completed(folder, decisions)
    with locked_corrections(folder):
        write_decisions(folder, [*read_decisions(folder), *new])
    return new


def decide_first(folder: str | Path, decision: Decision) -> tuple[Decision, bool]:
    """Add a row for an image that has none yet; return the decision that counts, and whether it is the new one.

    So of two people who decide on one image at once, the second learns of the first. Raises InputError as
    `append_decisions`.
    """
    folder = as_path(folder)
    (new,) = _completed(folder, [decision])
    with locked_corrections(folder):
        decisions = read_decisions(folder)
        earlier = newest(decisions).get(new.image_id)
        if earlier is not None:
            return earlier, False
        write_decisions(folder, [*decisions, new])
    return new, True


def undo_decision(folder: str | Path, decision: Decision | None = None) -> Decision | None:
    """Remove the last row of corrections.csv, or the last one that is `decision`, and return it; None if there is none.

    A decision before it on the same image counts again. Raises InputError as `append_decisions`.
    """
    folder = as_path(folder)
    check_prepared(folder)
    with locked_corrections(folder):
        decisions = read_decisions(folder)
        places = [place for place, found in enumerate(decisions) if decision in (None, found)]
        if not places:
            return None
        undone = decisions.pop(places[-1])
        write_decisions(folder, decisions)
        return undone


def ids_in_tables(folder: Path, names: Collection[str]) -> dict[str, str]:
    """Return the image ids that corrections.csv uses for those `names` that the folder has; `train/` may stand before.

    Raises InputError for tables that cannot be read.
    """
    known = files_of_images(folder, {form for name in names for form in (name, name.removeprefix("train/"))})
    ids = {name: name if name in known else name.removeprefix("train/") for name in names}
    return {name: image_id for name, image_id in ids.items() if image_id in known}


def _completed(folder: Path, decisions: Sequence[Decision]) -> list[Decision]:
    """Return the decisions with the time of now, and ids and files as the tables of the folder have them."""
    check_prepared(folder)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    ids = ids_in_tables(folder, {decision.image_id for decision in decisions})
    known, classes = files_of_images(folder, set(ids.values())), classes_of(folder)
    named = [replace(decision, image_id=ids.get(decision.image_id, decision.image_id)) for decision in decisions]
    return [_checked(replace(decision, time=now), str(folder), known, classes) for decision in named]


def classes_of(folder: Path) -> list[ImageClass]:
    """Return the classes of a prepared folder, by label; without classes.csv they are called by their labels."""
    path = folder / "classes.csv"
    if path.is_file():
        return read_classes(path)
    texts = {text.strip() for _, text in stream_rows(folder / "train.csv", ["image_id", "label"])}
    count = max((int(text) for text in texts if text.isascii() and text.isdigit()), default=-1) + 1
    return [ImageClass(label, str(label), str(label)) for label in range(count)]


def _checked(decision: Decision, where: str, known: dict[str, str], classes: Collection[ImageClass]) -> Decision:
    """Return the decision with the file of its image. Raises InputError for one that cannot be carried out."""
    check_choice(f"{where}: action '{decision.action[:40]}'", decision.action, ACTIONS)
    if decision.image_id not in known:
        raise InputError(f"{where}: {decision.image_id[:200]} is no image of train.csv or val.csv there.")
    if decision.action == RELABEL and decision.label is None:
        raise InputError(f"{where}: relabel needs the new label of {decision.image_id}.")
    if decision.action != RELABEL and decision.label is not None:
        raise InputError(f"{where}: {decision.action} takes no label; relabel does.")
    if decision.label is not None and not 0 <= decision.label < len(classes):
        raise InputError(f"{where}: label {decision.label} is unknown; the labels are 0 to {len(classes) - 1}.")
    return replace(decision, file=known[decision.image_id])


def files_of_images(folder: Path, wanted: set[str]) -> dict[str, str]:
    """Return those of the `wanted` image ids that the folder has, with the paths of their files below it."""
    found = {}
    for part, prefix in (("val", "val/"), ("train", "")):
        table = folder / f"{part}.csv"
        if table.is_file():
            for image_id, _ in stream_rows(table, ["image_id", "label"]):
                if prefix + image_id in wanted:
                    found[prefix + image_id] = f"{part}/{image_id}"
    return found


def check_prepared(folder: Path) -> None:
    """Raise InputError for a folder without train.csv."""
    if not (folder / "train.csv").is_file():
        raise InputError(f"{folder}: no train.csv here; corrections.csv stands beside it, in a prepared folder.")


def locked_corrections(folder: Path) -> AbstractContextManager[None]:
    """Lock corrections.csv of a folder for reading it again and writing it."""
    return locked(folder, "another process", "Try again.", _SECONDS)


def write_decisions(folder: Path, decisions: Sequence[Decision]) -> None:
    """Write corrections.csv whole; the caller holds `locked_corrections`."""
    path = folder / CORRECTIONS_FILE
    if not decisions:
        # a table without rows is refused by every reader
        path.unlink(missing_ok=True)
        return
    rows = [(it.image_id, it.action, "" if it.label is None else it.label, it.time) for it in decisions]
    write_rows(path, COLUMNS, rows)
