"""Names of images in a table, matched with the files that there are."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from data.listing import is_image_name

# last part of a path, in lower case, to files
_Index = dict[str, list[str]]

# files by name and by stem, and how many folders the files share
FileIndex = tuple[_Index, _Index, int]


@dataclass(frozen=True)
class Matches:
    """`files`: the file of each name, or None; `ambiguous`: names that fit several files equally well."""

    files: list[str | None]
    ambiguous: dict[str, list[str]]


def index_files(groups: Sequence[Sequence[str]]) -> list[FileIndex]:
    """Prepare groups of files for `match_names`."""
    return [(*_index(files), _shared_folder(files)) for files in groups]


def match_names(names: Sequence[str], indexes: Sequence[FileIndex]) -> Matches:
    """Find the file of each name by the longest tail of its path.

    Names may be written with `\\`, `./`, an absolute path of another machine, another Unicode form or case, or without
    the suffix. A file belongs to a name if it is the name's whole path, or lies whole, below the folder that the files
    of its group share, at the end of the name. Of equal files in several groups, the first group's is taken.
    """
    found: list[str | None] = []
    ambiguous: dict[str, list[str]] = {}
    for name in names:
        candidates = _best(name, indexes)
        if len(candidates) > 1:
            ambiguous[name] = candidates
        found.append(candidates[0] if len(candidates) == 1 else None)
    return Matches(found, ambiguous)


def plain_name(name: str) -> str:
    """Return a name with `/`, without `./` and drive, in Unicode form NFC."""
    text = re.sub(r"^[A-Za-z]:", "", unicodedata.normalize("NFC", name).replace("\\", "/"))
    return "/".join(part for part in text.split("/") if part not in ("", "."))


def _index(files: Sequence[str]) -> tuple[_Index, _Index]:
    by_name: _Index = defaultdict(list)
    by_stem: _Index = defaultdict(list)
    for file in files:
        name = unicodedata.normalize("NFC", PurePosixPath(file).name).casefold()
        by_name[name].append(file)
        by_stem[name[: name.rindex(".")] if "." in name else name].append(file)
    return by_name, by_stem


def _shared_folder(files: Sequence[str]) -> int:
    """Return how many folders, from the top, all files have in common."""
    if not files:
        return 0
    first, last = min(files).split("/")[:-1], max(files).split("/")[:-1]
    depth = 0
    while depth < min(len(first), len(last)) and first[depth] == last[depth]:
        depth += 1
    return depth


def _best(name: str, indexes: Sequence[FileIndex]) -> list[str]:
    """Return the files with the longest common tail; the exact spelling wins over another case."""
    for spelling in dict.fromkeys((name, name.strip())):
        parts = plain_name(spelling).split("/")
        key = parts[-1].casefold()
        best: list[str] = []
        highest = (-1, False)
        for by_name, by_stem, shared in indexes:
            candidates = by_name.get(key) or ([] if is_image_name(key) else by_stem.get(key, []))
            ranked = [(rank, file) for file in candidates if (rank := _rank(parts, file, shared)) is not None]
            here = max((rank for rank, _ in ranked), default=highest)
            if here > highest:
                highest, best = here, [file for rank, file in ranked if rank == here]
        if best:
            return best
    return []


def _rank(parts: list[str], file: str, shared: int) -> tuple[int, bool] | None:
    """Return the length of the common tail and whether the case is equal, or None if `file` is not meant."""
    folders = unicodedata.normalize("NFC", file).split("/")[:-1]
    wanted = parts[:-1]
    tail = 0
    while tail < min(len(wanted), len(folders)) and wanted[-1 - tail].casefold() == folders[-1 - tail].casefold():
        tail += 1
    if tail < len(wanted) and tail < len(folders) - shared:
        return None
    last = unicodedata.normalize("NFC", PurePosixPath(file).name)
    exact = last == parts[-1] or last.startswith(f"{parts[-1]}.")
    return tail, exact
