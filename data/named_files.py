"""The files of the images that a table names: the one reader of names for prediction and evaluation."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import InputError
from data.class_names import as_number
from data.label_table import IMAGE_COLUMNS, LabelTable, may_be_images, parse_table, table_text
from data.listing import escaped, image_names, is_image_name
from data.match import index_files, match_names

_FOLDERS_BESIDE = ("train", "test", "images", ".")

_TRIED_NAMES = 1000


def read_label_table(path: Path) -> LabelTable:
    """Read a table that a person wrote; see `parse_table`. Raises InputError, naming the file."""
    if not path.is_file():
        raise InputError(f"{path}: not found.")
    return parse_table(table_text(path.read_bytes(), str(path)), str(path))


def image_column(table: LabelTable, path: Path) -> int:
    """Return the column of image names: by its usual names, else by its first row, else the only one.

    A column of numbers, such as `id`, gives way to one with names of images. Raises InputError for none.
    """
    first = table.rows[0]
    named = [table.columns.index(name) for name in IMAGE_COLUMNS if name in table.columns]
    words = [place for place in named if as_number(first[place]) is None]
    images = [place for place, cell in enumerate(first) if is_image_name(cell.strip()) and may_be_images(table, place)]
    only = [0] if len(first) == 1 else []
    found = next(iter([*words, *images, *named, *only]), None)
    if found is None:
        raise InputError(
            f"{path}: no column of image names; it must be called {' or '.join(IMAGE_COLUMNS[:4])}. "
            f"Its columns are {table.told_titles}."
        )
    return found


def find_named_files(table: Path, names: Sequence[str]) -> tuple[Path, list[str | None]]:
    """Return the folder of the images that `table` names, and the file of each name below it; None for a missing one.

    Images are searched in a folder of the table's own name, in train/, test/ and images/ beside it, and in the table's
    own folder. Names are matched as in `match_names`. Raises InputError if none is there, or a name fits several files.
    """
    candidates = folders_beside(table)
    folder = next((folder for folder in candidates if any(_is_file(folder, n) for n in names[:_TRIED_NAMES])), None)
    if folder is not None:
        files: list[str | None] = [name if _is_file(folder, name) else None for name in names]
        if None in files:
            found = _match(table, folder, [name for name, file in zip(names, files, strict=True) if file is None])
            rest = iter(found)
            files = [next(rest) if file is None else file for file in files]
        return folder, files
    for folder in candidates:
        files = _match(table, folder, names) if folder.is_dir() else []
        if any(file is not None for file in files):
            return folder, files
    raise InputError(
        f"{table}: none of its {len(names)} images is in {', '.join(map(str, candidates))}, such as {names[0]}."
    )


def folders_beside(table: Path) -> list[Path]:
    """Return the folders where the images of a table are searched, in order."""
    return [table.parent / table.stem, *(table.parent / folder for folder in _FOLDERS_BESIDE)]


def _match(table: Path, folder: Path, names: Sequence[str]) -> list[str | None]:
    matches = match_names(names, [index_files(image_names(folder))])
    for name, files in matches.ambiguous.items():
        told = escaped(" and ".join(files[:2]))
        raise InputError(
            f"{table}: {name} fits {len(files)} files in {folder}, {told}. Write the folder into the table."
        )
    for name, file in list(matches.by_number.items())[:1]:
        count = len(matches.by_number)
        print(
            f"warning: {table}: {count} names fit a file only as a number, such as {name} and {escaped(file)}",
            flush=True,
        )
    return matches.files


def _is_file(folder: Path, name: str) -> bool:
    try:
        return bool(name) and ".." not in name and not Path(name).is_absolute() and (folder / name).is_file()
    except (OSError, ValueError):
        return False
