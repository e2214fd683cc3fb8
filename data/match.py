"""Names of images in a table, matched with the files that there are."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from data.class_names import as_number
from data.listing import is_image_name, shared_folder

# more files of one name than this are told apart by their folders first
_MANY = 8

# characters
_FIRST_LINES = 200_000


@dataclass(frozen=True)
class Matches:
    """`files`: the file of each name, or None; `ambiguous`: names that fit several files equally well.

    `by_number` holds the file of each name that fits it as a number alone, such as 7 and 007.jpg.
    """

    files: list[str | None]
    ambiguous: dict[str, list[str]]
    by_number: dict[str, str] = field(default_factory=dict)


@dataclass
class FileIndex:
    """The files of a group, prepared for `match_names`.

    `names`, `stems` and `numbers` hold files by the last parts of their paths, in lower case: `c.jpg`, and `c.jpg/b`
    where many files are called so. `shared` counts the folders that all files are in.
    """

    files: Sequence[str]
    shared: int
    names: dict[str, list[str]]
    stems: dict[str, list[str]] | None = None
    numbers: dict[str, list[str]] | None = None
    refined: set[tuple[int, str]] = field(default_factory=set)


def index_files(files: Sequence[str]) -> FileIndex:
    """Prepare a group of files for `match_names`."""
    return FileIndex(files, shared_folder(files).count("/"), _by(files, [_name_key(file) for file in files]))


def match_names(names: Sequence[str], indexes: Sequence[FileIndex]) -> Matches:
    """Find the file of each name by the longest tail of its path.

    Names may be written with `\\`, `./`, an absolute path of another machine, another Unicode form or case, or without
    the suffix; numbers also without the zeros before them. A file belongs to a name if it is the name's whole path, or
    lies whole, below the folder that the files of its group share, at the end of the name. Of equal files in several
    groups, the first group's is taken.
    """
    matches = Matches([], {})
    for name in names:
        if name in matches.ambiguous:
            matches.files.append(None)
            continue
        file = _at_once(name, indexes)
        if file is not None:
            matches.files.append(file)
            continue
        candidates, is_number = _best(name, indexes)
        if len(candidates) > 1:
            matches.ambiguous[name] = candidates
        elif is_number and candidates:
            matches.by_number[name] = candidates[0]
        matches.files.append(candidates[0] if len(candidates) == 1 else None)
    return matches


def names_any(text: str, files: Iterable[str]) -> bool:
    """Say whether the first lines of a text name one of the files; that is quicker than to read a table."""
    cells = {cell.strip().rpartition("/")[2] for cell in re.split(r'[,;|"\s]', text[:_FIRST_LINES].replace("\\", "/"))}
    lines = {cell.strip() for cell in re.split(r'[,;|"\t\r\n]', text[:_FIRST_LINES])}
    known = {_plain_key(cell) for cell in cells | lines if cell}
    return any(_plain_key(file) in known for file in files)


def _plain_key(name: str) -> str:
    stem = _name_key(name)
    stem = _stem(stem) if is_image_name(stem) else stem
    return stem.lstrip("0") if stem.isdecimal() else stem


def plain_name(name: str) -> str:
    """Return a name with `/`, without `./` and drive, in Unicode form NFC."""
    text = name if name.isascii() else unicodedata.normalize("NFC", name)
    text = re.sub(r"^[A-Za-z]:", "", text.replace("\\", "/"))
    return "/".join(part for part in text.split("/") if part not in ("", "."))


def _at_once(name: str, indexes: Sequence[FileIndex]) -> str | None:
    """Return the file if the first group that has the last name has it once, and its path ends with the whole name."""
    key = name.rpartition("/")[2]
    lower = key.casefold()
    for index in indexes:
        files = index.names.get(lower)
        if files:
            is_end = len(files) == 1 and (files[0] == name or files[0].endswith(f"/{name}"))
            return files[0] if is_end and key else None
    return None


def _best(name: str, indexes: Sequence[FileIndex]) -> tuple[list[str], bool]:
    """Return the files that fit best, and whether they do as numbers alone."""
    spellings = dict.fromkeys((name, name.strip()))
    for kind in (_names, _stems, _numbers):
        for spelling in spellings:
            parts = plain_name(spelling).split("/")
            if kind is not _names and is_image_name(parts[-1]):
                continue
            best: list[str] = []
            highest = (-1, False)
            for index in indexes:
                rank, found = kind(parts, index)
                if found and rank > highest:
                    highest, best = rank, found
            if best:
                return best, kind is _numbers
    return [], False


def _names(parts: list[str], index: FileIndex) -> tuple[tuple[int, bool], list[str]]:
    return _longest_tail(parts, index, 0, index.names, parts[-1].casefold())


def _stems(parts: list[str], index: FileIndex) -> tuple[tuple[int, bool], list[str]]:
    if index.stems is None:
        index.stems = _by(index.files, [_stem(_name_key(file)) for file in index.files])
    return _longest_tail(parts, index, 1, index.stems, parts[-1].casefold())


def _numbers(parts: list[str], index: FileIndex) -> tuple[tuple[int, bool], list[str]]:
    number = as_number(parts[-1])
    if number is None or number.denominator != 1 or number < 0:
        return (-1, False), []
    if index.numbers is None:
        stems = [_stem(_name_key(file)) for file in index.files]
        plain = [(file, str(int(stem))) for file, stem in zip(index.files, stems, strict=True) if stem.isdecimal()]
        index.numbers = _by([file for file, _ in plain], [key for _, key in plain])
    return _longest_tail(parts, index, 2, index.numbers, str(number))


def _longest_tail(
    parts: list[str], index: FileIndex, kind: int, table: dict[str, list[str]], key: str
) -> tuple[tuple[int, bool], list[str]]:
    """Return the files whose path has the longest tail in common with `parts`, and their rank.

    The rank is the number of equal folders, and whether the last name is spelled in the same case.
    """
    files, depth = table.get(key, []), 0
    ended: list[str] = []
    while len(files) > _MANY and depth < len(parts) - 1:
        _refine(index, kind, table, key, files, depth)
        ended += table.get(f"{key}//", [])
        key, depth = f"{key}/{parts[-2 - depth].casefold()}", depth + 1
        files = table.get(key, [])
    files = [*files, *ended]
    ranked = [(rank, file) for file in files if (rank := _rank(parts, file, index.shared)) is not None]
    highest = max((rank for rank, _ in ranked), default=(-1, False))
    return highest, list(dict.fromkeys(file for rank, file in ranked if rank == highest))


def _refine(
    index: FileIndex, kind: int, table: dict[str, list[str]], key: str, files: Sequence[str], depth: int
) -> None:
    """Sort the many files of a key by their next folder; those that may belong to a longer name go below `key//`."""
    if (kind, key) in index.refined:
        return
    index.refined.add((kind, key))
    for file in files:
        folders = _folders(file)
        if len(folders) > depth:
            table.setdefault(f"{key}/{folders[-1 - depth].casefold()}", []).append(file)
        if len(folders) - index.shared <= depth:
            table.setdefault(f"{key}//", []).append(file)


def _rank(parts: list[str], file: str, shared: int) -> tuple[int, bool] | None:
    """Return the length of the common tail and whether the case is equal, or None if `file` is not meant."""
    folders = _folders(file)
    wanted = parts[:-1]
    tail = 0
    while tail < min(len(wanted), len(folders)) and wanted[-1 - tail].casefold() == folders[-1 - tail].casefold():
        tail += 1
    if tail < len(wanted) and tail < len(folders) - shared:
        return None
    last = file.rpartition("/")[2]
    last = last if last.isascii() else unicodedata.normalize("NFC", last)
    return tail, last == parts[-1] or last.startswith(f"{parts[-1]}.")


def _folders(file: str) -> list[str]:
    text = file if file.isascii() else unicodedata.normalize("NFC", file)
    return text.split("/")[:-1]


def _name_key(file: str) -> str:
    name = file.rpartition("/")[2]
    return (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold()


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _by(files: Sequence[str], keys: Sequence[str]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for file, key in zip(files, keys, strict=True):
        table.setdefault(key, []).append(file)
    return table
