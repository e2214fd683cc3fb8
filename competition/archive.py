"""ZIP files from anyone: faults are reported before anything is unpacked, and no member leaves the folder."""

import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from common.errors import InputError
from common.files import ZIP_DAMAGE
from competition.checks import Check

MAX_MEMBERS = 20_000

# besides the models there are only code and tables, which are small
SPARE_BYTES = 200_000_000

_BLOCK = 1 << 20


def member_names(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the files, folders left out, sorted."""
    return sorted(info.filename for info in archive.infolist() if not info.is_dir())


def check_archive(path: Path, max_model_mb: float) -> Check:
    """Check that the ZIP can be unpacked safely. Raises InputError if it is no ZIP."""
    problems = []
    limit = max_model_mb * 1e6 + SPARE_BYTES
    with open_archive(path) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            problems.append(f"{len(members)} members, more than {MAX_MEMBERS}")
        total = sum(info.file_size for info in members)
        if total > limit:
            problems.append(f"{total / 1e6:.0f} MB when unpacked, more than {limit / 1e6:.0f} MB")
        for info in members[:MAX_MEMBERS]:
            problems += [f"{info.filename[:80]!r} {fault}" for fault in _faults(info)]
        names = Counter(info.filename.casefold() for info in members)
        problems += [f"{name[:80]!r} stands in it twice" for name, count in names.items() if count > 1]
    figure = "; ".join(problems[:3]) or f"{len(members)} members, {total / 1e6:.1f} MB"
    return Check("ZIP archive", not problems, figure, "files below its own folder, each once")


def unpack(path: Path, folder: Path, max_model_mb: float) -> None:
    """Unpack a ZIP that passed `check_archive`. Raises InputError if a member is damaged or larger than stated."""
    budget = max_model_mb * 1e6 + SPARE_BYTES
    with open_archive(path) as archive:
        for info in archive.infolist():
            target = folder / PurePosixPath(info.filename)
            if info.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for block in _blocks(archive, info, path):
                    budget -= len(block)
                    if budget < 0:
                        raise InputError(f"{path}: unpacks to more than it says; a ZIP bomb.")
                    file.write(block)


def _blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Iterator[bytes]:
    try:
        with archive.open(info) as source:
            while block := source.read(_BLOCK):
                yield block
    except ZIP_DAMAGE as error:
        raise InputError(f"{path}: its member {info.filename} is damaged.") from error


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a ZIP for reading. Raises InputError if it is missing or no ZIP."""
    if not path.is_file():
        raise InputError(f"{path}: no such ZIP.")
    try:
        return zipfile.ZipFile(path)
    except ZIP_DAMAGE as error:
        raise InputError(f"{path}: not a ZIP file, or a damaged one.") from error


def _faults(info: zipfile.ZipInfo) -> list[str]:
    name, windows = info.filename, PureWindowsPath(info.filename)
    faults = []
    if windows.drive or windows.root or ".." in windows.parts or "\0" in name:
        faults.append("leads out of the ZIP's folder")
    if "\\" in name:
        faults.append("has a backslash in its name")
    if stat.S_ISLNK(info.external_attr >> 16):
        faults.append("is a symbolic link")
    if info.flag_bits & 1:
        faults.append("is encrypted")
    return faults
