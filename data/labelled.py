"""Labelled images outside a run: a prepared folder, a folder per class, or a table of names and labels."""

from pathlib import Path

import numpy as np

from common.classes import ImageClass
from common.errors import InputError
from data.class_names import is_missing, natural_order, uniform_labels
from data.corrected import corrected, say_corrections
from data.label_table import LABEL_COLUMNS, LabelTable, label_column, one_hot_columns, one_hot_labels, part_column
from data.layout import understand
from data.listing import escaped, image_names
from data.named_files import find_named_files, image_column, read_label_table
from data.part_names import TRAIN
from data.table import ImageTable, check_image_id, is_quick, read_classes, read_table


def read_labelled(path: Path) -> ImageTable:
    """Return the images of a prepared folder (its train.csv), of a folder per class, or of a table with its images.

    The labels of a table are the category ids. Only a column called `label` beside a classes.csv holds the labels of
    this file. The corrections.csv of a prepared folder is applied to each table in it, and counted aloud. Raises
    InputError for what is missing, and for an image with two labels.
    """
    file = _table_at(path)
    if file is None:
        return _read_class_folders(path)
    table = corrected(_read_table(file, path), file)
    say_corrections(table, file.name)
    return table


def check_labelled(path: Path) -> None:
    """Raise InputError as `read_labelled` for what is not there, and for a wrong table if it is small.

    It is the look before the work, and needs no torch.
    """
    file = _table_at(path)
    if file is None:
        _images_of_classes(path)
    elif is_quick(file):
        _read_table(file, path)


def _table_at(path: Path) -> Path | None:
    """Return the table of labelled images, None for a folder per class. Raises InputError if nothing is there."""
    if path.is_dir():
        return path / "train.csv" if (path / "train.csv").is_file() else None
    if not path.is_file():
        raise InputError(
            f"{path}: not found. Labelled images are a prepared folder (with train.csv), a folder per class, or a "
            "table image_id,label."
        )
    return path


def _read_table(file: Path, path: Path) -> ImageTable:
    """Read the table `file`, as it is given, of the prepared folder `path` or of a person."""
    if file == path:
        return _read_table_of_a_person(path)
    return read_table(file, path / "train", path / "classes.csv")


def _images_of_classes(folder: Path) -> list[str]:
    images = image_names(folder)
    if not images:
        raise InputError(f"{folder}: no images, and no train.csv.")
    return images


def _read_class_folders(folder: Path) -> ImageTable:
    images = _images_of_classes(folder)
    layout = understand(images, {})
    part = layout.parts[TRAIN]
    for name, other in layout.parts.items():
        if name != TRAIN:
            print(
                f"warning: {folder}: these are the images of {part.folder or 'all other folders'}; the "
                f"{len(other.labels) + len(other.unlabelled)} of {other.folder or name} are left out",
                flush=True,
            )
    for reason, found in layout.left_out.items():
        print(f"warning: {folder}: {len(found)} {reason}, such as {escaped(found[0])}: left out", flush=True)
    files = [path for path in images if path in part.labels]
    return _table_of(files, [part.labels[path] for path in files], None, folder)


def _read_table_of_a_person(path: Path) -> ImageTable:
    table = read_label_table(path)
    names_column = image_column(table, path)
    labels, are_numbers = _labels_of(table, names_column, path)
    names = table.cells(names_column)
    if part_column(table, names_column) is not None:
        print(f"warning: {path}: the rows of all its parts are used, those for training too", flush=True)
    folder, files = find_named_files(path, names)
    label_of: dict[str, str] = {}
    for line, name, file, label in zip(table.lines, names, files, labels, strict=True):
        image_id = name if file is None else file
        check_image_id(image_id, f"{path}, line {line}")
        if is_missing(label):
            raise InputError(f"{path}, line {line}: no label.")
        if label_of.setdefault(image_id, label) != label:
            raise InputError(f"{path}, line {line}: {image_id} has two labels, {label_of[image_id]} and {label}.")
    if len(label_of) < len(names):
        print(f"warning: {path}: {len(names) - len(label_of)} rows stand in it twice, with the same label", flush=True)
    classes_csv = path.parent / "classes.csv"
    classes = read_classes(classes_csv) if are_numbers and classes_csv.is_file() else None
    return _table_of(list(label_of), list(label_of.values()), classes, folder, str(path))


def _labels_of(table: LabelTable, names_column: int, path: Path) -> tuple[list[str], bool]:
    """Return the label of each row, and whether their column is called `label`. Raises InputError for none."""
    column = label_column(table, names_column)
    if column is None:
        marks = one_hot_columns(table, names_column)
        if not marks:
            raise InputError(
                f"{path}: no column of labels; it must be called {' or '.join(LABEL_COLUMNS[:3])}. "
                f"Its columns are {table.told_titles}."
            )
        return one_hot_labels(table, marks), False
    if table.columns[column] not in LABEL_COLUMNS:
        print(f"warning: {path}: its column {table.titles[column]} is taken for the labels", flush=True)
    return uniform_labels(table.cells(column))[0], table.columns[column] == "label"


def _table_of(
    files: list[str], labels: list[str], classes: list[ImageClass] | None, folder: Path, where: str = ""
) -> ImageTable:
    if classes is None:
        categories = sorted(set(labels), key=natural_order)
        classes = [ImageClass(label, category, category) for label, category in enumerate(categories)]
        number = {image_class.category_id: image_class.label for image_class in classes}
    else:
        number = {str(image_class.label): image_class.label for image_class in classes}
    for label in labels:
        if label not in number:
            raise InputError(f"{where}: label {label} is not in classes.csv, which has 0 to {len(classes) - 1}.")
    return ImageTable(files, np.array([number[label] for label in labels], dtype=np.int64), classes, folder)
