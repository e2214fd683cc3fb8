"""The tables of a prepared data set: train.csv (image_id,label) and classes.csv (label,category_id,name)."""

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from common.classes import ImageClass
from common.csv_files import read_rows, write_rows
from common.csv_stream import stream_rows
from common.errors import InputError
from data.image_ids import ImageIds, first_repeated

MAX_UNNAMED_LABEL = 100_000

_TRIED_FILES = 20

# a table that is read in a blink; of a larger one a look before the work reads nothing
_QUICK_BYTES = 500_000

# an image id without a sign that needs a closer look, for speed
_PLAIN_ID = re.compile(r"[^\0-\x20./\\:][^\0-\x1f/\\:]*(/[^\0-\x1f./\\:][^\0-\x1f/\\:]*)*")


@dataclass(frozen=True)
class Corrections:
    """What corrections.csv did to a table: labels that it `changed`, images that it `dropped`.

    `kept_rows` int64 (K,) are the rows whose labels a person looked at and left as they are. `sha256` is that of the
    file. `effect` is the sha256 of the changed and dropped images alone, empty if there are none: a decision to keep a
    label changes nothing for a model.
    """

    changed: int
    dropped: int
    kept_rows: np.ndarray
    sha256: str
    effect: str


@dataclass(frozen=True)
class ImageTable:
    """Labelled images: `labels` int64 (N,) in 0..C-1; the file of an image is `image_dir / image_id`.

    `val_rows` int64 (M,) are the rows that a table of their own holds back for validation, or None. `corrections` are
    those that the labels hold already, or None if there is no corrections.csv.
    """

    image_ids: ImageIds | list[str]
    labels: np.ndarray
    classes: list[ImageClass]
    image_dir: Path
    val_rows: np.ndarray | None = None
    corrections: Corrections | None = None


def read_table(train_csv: Path, image_dir: Path, classes_csv: Path | None = None) -> ImageTable:
    """Read labelled images. Without `classes_csv` the names and ids of the classes are their labels.

    Labels are as the table has them: `data.corrected` applies corrections.csv. Raises InputError, naming file and line,
    for labels that are not 0..C-1, repeated images, and paths that leave `image_dir`; and if none of the first
    images is in `image_dir`.
    """
    classes = read_classes(classes_csv) if classes_csv is not None and classes_csv.is_file() else None
    image_ids, labels = _read_rows(train_csv, None if classes is None else (len(classes), classes_csv))
    if classes is None:
        # without classes.csv there is one name per label; a mistyped huge label would fill the memory
        if labels.max() > MAX_UNNAMED_LABEL:
            raise InputError(f"{train_csv}: label {labels.max()}; above {MAX_UNNAMED_LABEL} it needs a classes.csv.")
        classes = [ImageClass(label, str(label), str(label)) for label in range(labels.max() + 1)]
    if len(classes) < 2:
        raise InputError(f"{train_csv}: only one class; a classifier needs two or more.")
    tried = image_ids[:_TRIED_FILES]
    if not any((image_dir / image_id).is_file() for image_id in tried):
        raise InputError(
            f"{image_dir}: none of the first {len(tried)} images of {train_csv} is there, such as {tried[0]}."
        )
    return ImageTable(image_ids, labels, classes, image_dir)


def _read_rows(train_csv: Path, known: tuple[int, Path | None] | None) -> tuple[ImageIds, np.ndarray]:
    """Return image ids and labels; `known` is the number of classes and their file. Raises InputError."""
    rows, labels, faults = stream_rows(train_csv, ["image_id", "label"]), array("q"), []

    def checked_ids() -> Iterator[str]:
        label_of: dict[str, int] = {}
        for line, (image_id, text) in enumerate(rows, start=2):
            try:
                if not _PLAIN_ID.fullmatch(image_id):
                    check_image_id(image_id, f"{train_csv}, line {line}")
                yield image_id
                if text not in label_of:
                    label_of[text] = _read_known_label(text.strip(), f"{train_csv}, line {line}", known)
            except InputError as error:
                faults.append(error)
                break
            labels.append(label_of[text])
        # a fault of the file itself is said before those of its cells
        for _ in rows:
            pass

    image_ids = ImageIds(checked_ids())
    repeated = first_repeated(image_ids)
    if repeated is not None:
        raise InputError(f"{train_csv}, line {repeated + 2}: {image_ids[repeated]} stands in the table twice.")
    if faults:
        raise faults[0]
    return image_ids, np.array(labels, dtype=np.int64)


def _read_known_label(text: str, where: str, known: tuple[int, Path | None] | None) -> int:
    label = _read_label(text, where)
    if known is not None and label >= known[0]:
        raise InputError(f"{where}: label {label} is not in {known[1]}, which has 0 to {known[0] - 1}.")
    return label


def is_quick(path: Path) -> bool:
    """Say whether a table is so small that it may be read twice."""
    return path.stat().st_size <= _QUICK_BYTES


def read_classes(path: Path) -> list[ImageClass]:
    """Read classes.csv, sorted by label. Without a column category_id the labels are the ids.

    Further columns are ignored.
    """
    rows = read_rows(path, ["label", "name"])
    classes = [
        ImageClass(_read_label(row["label"], f"{path}, line {line}"), row.get("category_id", row["label"]), row["name"])
        for line, row in enumerate(rows, start=2)
    ]
    classes.sort(key=lambda image_class: image_class.label)
    if [image_class.label for image_class in classes] != list(range(len(classes))):
        raise InputError(f"{path}: its labels must be 0 to {len(classes) - 1}, each once.")
    if len({image_class.category_id for image_class in classes}) < len(classes):
        raise InputError(f"{path}: a category_id stands in it twice.")
    return classes


def write_table(path: Path, image_ids: Iterable[str], labels: Iterable[int]) -> None:
    """Write `image_id,label` in the given order."""
    write_rows(path, ["image_id", "label"], zip(image_ids, labels, strict=True))


def write_classes(path: Path, classes: Iterable[ImageClass]) -> None:
    """Write `label,category_id,name`."""
    rows = [(image_class.label, image_class.category_id, image_class.name) for image_class in classes]
    write_rows(path, ["label", "category_id", "name"], rows)


def check_image_id(image_id: str, where: str) -> None:
    """Raise InputError for an image id that is empty, or that leads out of the image folder on any system."""
    windows = PureWindowsPath(image_id)
    if not image_id.strip() or "\0" in image_id:
        raise InputError(f"{where}: no image_id.")
    if any(ord(character) < 32 for character in image_id):
        raise InputError(f"{where}: the image_id {image_id[:80]!r} holds a line feed or another control character.")
    if windows.drive or windows.root or ".." in windows.parts or PurePosixPath(image_id).is_absolute():
        raise InputError(f"{where}: {image_id} leads out of the image folder.")


def _read_label(text: str, where: str) -> int:
    if not text:
        raise InputError(f"{where}: no label.")
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise InputError(f"{where}: label '{text[:40]}' is not a whole number from 0 on.")
    return int(text)
