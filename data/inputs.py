"""The images to predict: a folder, a CSV of names, or single files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.csv_files import read_rows
from common.errors import InputError
from data.images import IMAGE_SUFFIXES, list_images
from data.table import check_image_id, folders_beside

ID_COLUMNS = ("image_id", "filename", "img_name", "id")


@dataclass(frozen=True)
class Inputs:
    """Images to predict, sorted by id. A path may not exist; the image is then unreadable."""

    image_ids: list[str]
    paths: list[Path]


def find_inputs(paths: Sequence[Path]) -> Inputs:
    """Return the images of one folder (with its subfolders), of one CSV, or the given image files.

    Ids are paths relative to the folder, the names in the CSV, or the file names. Raises InputError for what is
    missing, is no image, is empty, or would give one id to two images.
    """
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: not found. The input is a folder, a CSV of image names, or image files.")
    if len(paths) == 1 and paths[0].is_dir():
        found = {image_id: paths[0] / image_id for image_id in list_images(paths[0])}
        if not found:
            raise InputError(f"{paths[0]}: no images in this folder ({', '.join(IMAGE_SUFFIXES)}).")
    elif len(paths) == 1 and paths[0].suffix.lower() == ".csv":
        found = _named_in(paths[0])
    else:
        found = _single_files(paths)
    image_ids = sorted(found)
    return Inputs(image_ids, [found[image_id] for image_id in image_ids])


def _named_in(table: Path) -> dict[str, Path]:
    rows = read_rows(table, [])
    column = next((name for name in ID_COLUMNS if name in rows[0]), None)
    if column is None:
        raise InputError(f"{table}: no column of image names; it must be called {' or '.join(ID_COLUMNS)}.")
    image_ids: dict[str, None] = {}
    for line, row in enumerate(rows, start=2):
        check_image_id(row[column], f"{table}, line {line}")
        if row[column] in image_ids:
            raise InputError(f"{table}, line {line}: {row[column]} stands in the table twice.")
        image_ids[row[column]] = None
    candidates = folders_beside(table)
    for folder in candidates:
        if any((folder / image_id).is_file() for image_id in image_ids):
            return {image_id: folder / image_id for image_id in image_ids}
    raise InputError(f"{table}: none of its {len(image_ids)} images is in {', '.join(map(str, candidates))}.")


def _single_files(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        if path.is_dir() or path.suffix.lower() not in IMAGE_SUFFIXES:
            kind = "a folder" if path.is_dir() else "no image"
            raise InputError(f"{path}: {kind}. The input is one folder, one CSV, or any number of image files.")
        if path.name in found:
            raise InputError(f"{path}: two files are called {path.name}; their rows could not be told apart.")
        found[path.name] = path
    return found
