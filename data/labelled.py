"""Labelled images that stand apart from a training set: a prepared folder, or a table with its images beside it."""

from pathlib import Path

from configs.errors import InputError
from data.table import ImageTable, read_rows, read_table

_IMAGE_FOLDERS = ("train", "test", "images", ".")


def read_labelled(path: Path) -> ImageTable:
    """Return the images of a prepared folder (its train.csv), or of a table `image_id,label`.

    The images of a table are looked for in train/, test/ and images/ beside it, in a folder of the table's own name,
    and in the table's own folder.
    """
    if path.is_dir():
        path = path / "train.csv"
    if not path.is_file():
        raise InputError(
            f"{path}: not found. --data takes a prepared folder (with train.csv) or a table image_id,label."
        )
    first = read_rows(path, ["image_id", "label"])[0]["image_id"]
    candidates = folders_beside(path)
    for folder in candidates:
        if (folder / first).is_file():
            return read_table(path, folder, path.parent / "classes.csv")
    raise InputError(f"{path}: its first image {first} is not in {', '.join(str(folder) for folder in candidates)}.")


def folders_beside(table: Path) -> list[Path]:
    """Return where the images of a table are looked for, in this order."""
    return [table.parent / table.stem, *(table.parent / folder for folder in _IMAGE_FOLDERS)]
