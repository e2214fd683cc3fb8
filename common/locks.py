"""A folder that one process at a time may write into."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from common.errors import InputError


@contextmanager
def locked(folder: Path, who: str, remedy: str, seconds: float = 0) -> Iterator[None]:
    """Lock a folder, which is made if it is not there; a process that dies leaves no lock.

    Raises InputError if `who`, such as "another run", still writes there after `seconds`; `remedy` says what to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=seconds)
    except Timeout as error:
        raise InputError(f"{folder}: {who} writes into this folder. {remedy}") from error
    try:
        yield
    finally:
        lock.release()
