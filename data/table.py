"""The tables of a prepared data set: train.csv (image_id,label) and classes.csv (label,category_id,name)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from common.classes import ImageClass
from common.csv_files import read_rows, write_rows
from common.errors import InputError

MAX_UNNAMED_LABEL = 100_000

_TRIED_FILES = 20


@dataclass(frozen=True)
class ImageTable:
    """Labelled images: `labels` int64 (N,) in 0..C-1; the file of an image is `image_dir / image_id`.

    `val_rows` int64 (M,) are the rows that a table of their own holds back for validation, or None.
    """

    image_ids: list[str]
    labels: np.ndarray
    classes: list[ImageClass]
    image_dir: Path
    val_rows: np.ndarray | None = None


def read_table(train_csv: Path, image_dir: Path, classes_csv: Path | None = None) -> ImageTable:
    """Read labelled images. Without `classes_csv` the names and ids of the classes are their labels.

    Raises InputError, naming file and line, for labels that are not 0..C-1, repeated images, and paths that leave
    `image_dir`; and if none of the first images is in `image_dir`.
    """
    rows = read_rows(train_csv, ["image_id", "label"])
    classes = read_classes(classes_csv) if classes_csv is not None and classes_csv.is_file() else None
    image_ids: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        where = f"{train_csv}, line {line}"
        image_id = row["image_id"]
        check_image_id(image_id, where)
        if image_id in image_ids:
            raise InputError(f"{where}: {image_id} stands in the table twice.")
        image_ids[image_id] = _read_label(row["label"], where)
        if classes is not None and image_ids[image_id] >= len(classes):
            raise InputError(
                f"{where}: label {image_ids[image_id]} is not in {classes_csv}, which has 0 to {len(classes) - 1}."
            )
    labels = np.array(list(image_ids.values()), dtype=np.int64)
    if classes is None:
        # without classes.csv there is one name per label; a mistyped huge label would fill the memory
        if labels.max() > MAX_UNNAMED_LABEL:
            raise InputError(f"{train_csv}: label {labels.max()}; above {MAX_UNNAMED_LABEL} it needs a classes.csv.")
        classes = [ImageClass(label, str(label), str(label)) for label in range(labels.max() + 1)]
    if len(classes) < 2:
        raise InputError(f"{train_csv}: only one class; a classifier needs two or more.")
    tried = list(image_ids)[:_TRIED_FILES]
    if not any((image_dir / image_id).is_file() for image_id in tried):
        raise InputError(
            f"{image_dir}: none of the first {len(tried)} images of {train_csv} is there, such as {tried[0]}."
        )
    return ImageTable(list(image_ids), labels, classes, image_dir)


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
    if not image_id or "\0" in image_id:
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
