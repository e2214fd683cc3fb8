"""What lies in a folder: images, other files, and what is left aside, each for a reason that can be told.

Links to folders are followed. File names that are not UTF-8 are kept as Python's surrogate escapes.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from data.images import IMAGE_SUFFIXES

# pictures of other programs; none of the decoders reads them
FOREIGN_IMAGE_SUFFIXES = (
    *(".jp2", ".j2k", ".jxl", ".svg", ".psd", ".ico", ".pcx", ".tga", ".ppm", ".pgm", ".pbm"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
)

# folders that file servers, notebooks and archive programs fill with copies
_FOREIGN_FOLDERS = ("@eadir", "__macosx", "$recycle.bin", "system volume information", "#recycle")

HIDDEN = "hidden files and thumbnails"
DEAD_LINKS = "links that lead nowhere"
CIRCLES = "links that lead back to a folder above"
NO_SUFFIX = "images without an image suffix"
FOREIGN = "images of a format that is not read"
CLOSED = "folders without the right to read"
EMPTY = "empty folders"
NO_FILES = "sockets, pipes and devices"

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")

# Python keeps bytes that are no UTF-8 as these surrogates
_NOT_TEXT = re.compile("[\x00-\x1f\x7f\udc80-\udcff]")

_BOXES = (b"ftypavif", b"ftypheic", b"ftypmif1")


@dataclass(frozen=True)
class Listing:
    """Files below a folder, as POSIX paths relative to it, sorted; `left_aside` holds paths by reason."""

    images: list[str]
    others: list[str]
    left_aside: dict[str, list[str]] = field(default_factory=dict)


def list_folder(folder: Path, without: Path | None = None) -> Listing:
    """List the files below `folder`, but for those below `without`; each that is no image by name is looked into.

    Raises OSError if `folder` cannot be read.
    """
    names, left_aside = _walk(folder, without)
    images = [name for name in names if is_image_name(name)]
    others = [name for name in names if not is_image_name(name)]
    for name in others:
        if PurePosixPath(name).suffix.lower() in FOREIGN_IMAGE_SUFFIXES:
            left_aside.setdefault(FOREIGN, []).append(name)
        elif begins_like_an_image(folder / name):
            left_aside.setdefault(NO_SUFFIX, []).append(name)
    gone = {name for kind in (FOREIGN, NO_SUFFIX) for name in left_aside.get(kind, ())}
    return Listing(images, [name for name in others if name not in gone], left_aside)


def list_images(folder: Path) -> dict[str, Path]:
    """Return the images below `folder`; see `images_by_id`."""
    return images_by_id(image_names(folder), folder)


def image_names(folder: Path) -> list[str]:
    """Return the images of `list_folder` without looking into any file."""
    return [name for name in _walk(folder, None)[0] if is_image_name(name)]


def images_by_id(names: Iterable[str], folder: Path) -> dict[str, Path]:
    """Return image id to path, sorted; an id is the path below `folder`, with bytes that are no UTF-8 `escaped`."""
    return dict(sorted((escaped(name), folder / name) for name in names))


def shared_folder(paths: Iterable[str]) -> str:
    """Return the deepest folder, with a slash, that all paths are in; empty for the top."""
    names = list(paths)
    if not names:
        return ""
    # of sorted names, the first and the last share what all share
    first, last = min(names).split("/")[:-1], max(names).split("/")[:-1]
    depth = 0
    while depth < min(len(first), len(last)) and first[depth] == last[depth]:
        depth += 1
    return "".join(f"{name}/" for name in first[:depth])


def is_image_name(name: str) -> bool:
    """Say whether a name has the suffix of an image, in any case."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def is_hidden(parts: Iterable[str]) -> bool:
    """Say whether a path, given in parts, is hidden or lies in a folder of thumbnails."""
    return any(part.startswith(".") or part.lower() in _FOREIGN_FOLDERS for part in parts)


def escaped(name: str) -> str:
    """Return a name for a line of text: bytes that are no UTF-8, and control characters, become `%E9` and `%0A`."""
    return _NOT_TEXT.sub(lambda match: f"%{ord(match.group()) & 0xFF:02X}", name)


def count_by_suffix(names: Iterable[str]) -> str:
    """Return for example `3 .heic, 1 .dng`."""
    counts = Counter(PurePosixPath(name).suffix.lower() or "without suffix" for name in names)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())


def _walk(folder: Path, without: Path | None) -> tuple[list[str], dict[str, list[str]]]:
    names: list[str] = []
    left_aside: dict[str, list[str]] = {}
    excluded = None if without is None else without.resolve()
    # a folder to read, its path below `folder`, and the real folders on the way to it
    waiting: list[tuple[Path, str, tuple[str, ...]]] = [(folder, "", (os.path.realpath(folder),))]
    while waiting:
        here, prefix, above = waiting.pop()
        try:
            entries = list(os.scandir(here))
        except OSError:
            if here == folder:
                raise
            left_aside.setdefault(CLOSED, []).append(prefix)
            continue
        if not entries and prefix:
            left_aside.setdefault(EMPTY, []).append(prefix)
        for entry in entries:
            name = prefix + entry.name
            if is_hidden([entry.name]):
                left_aside.setdefault(HIDDEN, []).append(name)
            elif entry.is_dir():
                real = os.path.realpath(entry.path)
                if real in above:
                    left_aside.setdefault(CIRCLES, []).append(name)
                elif excluded is None or Path(real) != excluded:
                    waiting.append((Path(entry.path), f"{name}/", (*above, real)))
            elif entry.is_file():
                names.append(name)
            elif entry.is_symlink():
                left_aside.setdefault(DEAD_LINKS, []).append(name)
            else:
                left_aside.setdefault(NO_FILES, []).append(name)
    return sorted(names), {reason: sorted(found) for reason, found in left_aside.items()}


def begins_like_an_image(path: Path) -> bool:
    """Say whether the first bytes of a file are those of an image."""
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return (
        start.startswith(_MAGIC)
        or (start[:4] == b"RIFF" and start[8:] == b"WEBP")
        or start[4:12] in (b"ftypavif", b"ftypheic", b"ftypmif1")
    )
