"""Writing files so that a reader never meets a half-written one."""

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# what zipfile raises for an archive or a member that is damaged, encrypted, or packed in a way that it does not know
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@contextmanager
def replacing(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it is flushed and renamed to `path`, on failure removed.

    The parent folder is created. The renaming is atomic on one file system, so `path` is either the old file or the
    whole new one. With `previous`, the old file is renamed to it, and `path` is missing for a moment.
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


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 without BOM and with `\\n` line ends, through `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
