"""The images to predict: a folder, a CSV of names, or single files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from data.images import IMAGE_SUFFIXES
from data.label_table import IMAGE_COLUMNS, TABLE_SUFFIXES
from data.listing import FOREIGN, count_by_suffix, escaped, image_names, images_by_id, list_folder
from data.named_files import find_named_files, image_column, read_label_table
from data.table import check_image_id, is_quick


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
    _check_there(paths)
    if _is_folder(paths):
        found = _in_folder(paths[0])
    elif _is_table(paths):
        found = _named_in(paths[0])
    else:
        found = _single_files(paths)
    image_ids = sorted(found)
    return Inputs(image_ids, [found[image_id] for image_id in image_ids])


def check_inputs(paths: Sequence[Path]) -> None:
    """Raise InputError as `find_inputs`; a large table is not read. It is the look before the work."""
    _check_there(paths)
    if _is_folder(paths):
        _check_some(paths[0], image_names(paths[0]))
    elif not _is_table(paths):
        _single_files(paths)
    elif is_quick(paths[0]):
        _named_in(paths[0])


def _check_there(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: not found. The input is a folder, a CSV of image names, or image files.")


def _is_folder(paths: Sequence[Path]) -> bool:
    return len(paths) == 1 and paths[0].is_dir()


def _is_table(paths: Sequence[Path]) -> bool:
    return len(paths) == 1 and paths[0].suffix.lower() in TABLE_SUFFIXES


def _check_some(folder: Path, images: Sequence[str]) -> None:
    if not images:
        raise InputError(f"{folder}: no images in this folder ({', '.join(IMAGE_SUFFIXES)}).")


def _in_folder(folder: Path) -> dict[str, Path]:
    listing = list_folder(folder)
    for reason, names in listing.left_aside.items():
        told = f" ({count_by_suffix(names)})" if reason == FOREIGN else ""
        print(f"warning: {folder}: {len(names)} {reason}{told}, such as {escaped(names[0])}: no row", flush=True)
    _check_some(folder, listing.images)
    found = images_by_id(listing.images, folder)
    renamed = sorted({escaped(name) for name in listing.images} - set(listing.images))
    if renamed:
        print(f"warning: {len(renamed)} names are not UTF-8; they are written as {renamed[0]}", flush=True)
    return found


def _named_in(table: Path) -> dict[str, Path]:
    rows = read_label_table(table)
    column = image_column(rows, table)
    named = [(line, name) for line, name in zip(rows.lines, rows.cells(column), strict=True) if name.strip()]
    if not named:
        raise InputError(f"{table}: its column {rows.titles[column]} names no image.")
    if len(rows.columns) == 1 and rows.columns[column] not in IMAGE_COLUMNS:
        # a list of names alone may lack the line of titles; this one is none if there is such a file
        named = [(rows.lines[0] - 1, rows.titles[column]), *named]
    names = [name for _, name in named]
    folder, files = find_named_files(table, names)
    if len(named) > len(rows.lines) and files[0] is None:
        named, names, files = named[1:], names[1:], files[1:]
    found: dict[str, Path] = {}
    for (line, name), file in zip(named, files, strict=True):
        image_id = _image_id(name, file, f"{table}, line {line}")
        found.setdefault(image_id, folder / (image_id if file is None else file))
    if len(found) < len(names):
        print(f"warning: {table}: {len(names) - len(found)} images stand in it twice; they get one row", flush=True)
    return found


def _image_id(name: str, file: str | None, where: str) -> str:
    """Return the name as the table has it; for a path of another machine, the file's path in its folder."""
    try:
        check_image_id(name, where)
    except InputError:
        if file is None:
            raise
        return escaped(file)
    return name


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
