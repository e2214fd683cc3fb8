"""Atomic writes: readers see the old file or the complete new one."""

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# what zipfile raises for an archive or a member that is damaged, encrypted, or compressed by an unknown method
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@contextmanager
def replacing(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it to `path`, on failure remove it.

    The parent folder is created. Renaming is atomic on one file system, so `path` is either the old file or the
    complete new one. With `previous`, the old file is renamed to it first, and `path` is missing for a moment.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            path.replace(previous)
        Path(temporary).replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def as_paths(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return one path or several as a list."""
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 without BOM and with `\\n` line ends, through `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
