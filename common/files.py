"""Files: where a result may be written, atomic writes, and `~` in a path."""

import json
import os
import re
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import InputError, RunError

# what zipfile raises for an archive or a member that is damaged, encrypted, or compressed by an unknown method
ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)

ON_WINDOWS = os.name == "nt"

# on Windows virus scanners and indexers open a new file for a moment, in which it cannot be renamed
SECONDS_OF_SCANNERS = 5

# Windows opens a device for these names, whatever their suffix
WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9]|lpt[0-9])\s*(\..*)?", re.IGNORECASE)


def check_writable(path: Path, inputs: Sequence[Path] = (), suffix: str | None = None) -> None:
    """Raise InputError if the file `path` cannot be written, or does not end in `suffix`; nothing is left behind.

    `inputs` are files that the same work reads, and which must not be overwritten.
    """
    status = _checked_status(path)
    if suffix is not None and path.suffix.lower() != suffix:
        raise InputError(f"{path}: name a file that ends in {suffix}.")
    if status is None:
        _check_room(path, path.parent)
    elif stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder; name a file.")
    elif not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is no ordinary file; name another one.")
    else:
        if any(other.exists() and other.samefile(path) for other in inputs):
            raise InputError(f"{path}: is read by this command too; name another file for the result.")
        _check_room(path, path.parent)
        _check_free(path)


def check_writable_folder(path: Path) -> None:
    """Raise InputError if no files can be written into the folder `path`; nothing is left behind."""
    status = _checked_status(path)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a file; name a folder.")
    _check_room(path, path)


def _checked_status(path: Path) -> os.stat_result | None:
    """Return what lies at `path`, None if nothing does. Raises InputError for a name that no file can have."""
    if path.name == "-":
        raise InputError(f"{path}: results go to a file or a folder; name one.")
    if ON_WINDOWS and (device := next((part for part in path.parts if WINDOWS_DEVICES.fullmatch(part)), None)):
        raise InputError(f"{path}: Windows keeps the name {device} for a device; name another one.")
    try:
        return path.stat()
    except FileNotFoundError:
        link = next((place for place in (path, *path.parents) if place.is_symlink() and not place.exists()), None)
        if link is not None:
            raise InputError(f"{path}: {link} is a link that leads nowhere; name another place.") from None
        return None
    except NotADirectoryError as error:
        raise InputError(f"{path}: {_file_above(path)} is a file, so nothing can lie below it.") from error
    except ValueError as error:
        raise InputError(f"{str(path)!r}: no file can have a name with a NUL character.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}.") from error


def _file_above(path: Path) -> Path:
    # on the way up, the first thing that exists is the file
    return next((parent for parent in path.parents if os.path.lexists(parent)), path.parent)


def _check_room(path: Path, folder: Path) -> None:
    """Raise InputError, with the name `path`, if no file can be created in `folder`, or in what exists above it."""
    existing = next((place for place in (folder, *folder.parents) if place.exists()), Path())
    for part in path.parts:
        try:
            (existing / part).lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            # a name that is too long, or that has signs that this system does not allow
            raise InputError(f"{path}: cannot be written: {error.strerror}.") from error
    if not existing.is_dir():
        raise InputError(f"{path}: {existing} is a file, so nothing can lie below it.")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(f"{path}: the folder {existing} cannot be written into: {error.strerror}.") from error


def _check_free(path: Path) -> None:
    """Raise InputError if another program holds the file, as Excel does on Windows."""
    try:
        # renaming a file to its own name changes nothing, and fails as replacing it would
        path.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be replaced; close the program that has it open ({error.strerror})."
        ) from error


@contextmanager
def replacing(path: Path, previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it to `path`, on failure remove it.

    The parent folder is created. Renaming is atomic on one file system, so `path` is either the old file or the
    complete new one. With `previous`, the old file is renamed to it first, and `path` is missing for a moment.
    Raises RunError if the complete file cannot get its name; it then stays beside it, as in `predictions.new.csv`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # short, because the name itself may be as long as the file system allows
    temporary = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.tmp")
    try:
        yield temporary
        _once_free(lambda: _to_disk(temporary))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    move_into_place(temporary, path, previous)


def move_into_place(temporary: Path, path: Path, previous: Path | None = None) -> None:
    """Rename a complete file to `path`, as `replacing` does at its end."""
    try:
        if previous is not None and path.exists():
            _once_free(lambda: path.replace(previous))
        _once_free(lambda: temporary.replace(path))
    except OSError as error:
        raise RunError(
            f"{path}: cannot be replaced ({error.strerror}); the complete result is {_kept_beside(temporary, path)}. "
            f"Close the program that has {path.name} open, and rename it."
        ) from error


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _once_free(action: Callable[[], object]) -> None:
    """Do `action`; on Windows try again for `SECONDS_OF_SCANNERS` while another program holds the file."""
    end = time.monotonic() + (SECONDS_OF_SCANNERS if ON_WINDOWS else 0)
    while True:
        try:
            action()
        except PermissionError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)
        else:
            return


def _kept_beside(temporary: Path, path: Path) -> Path:
    """Give the complete file a name like that of `path`, and return its path."""
    kept = kept_name(path)
    try:
        kept.unlink(missing_ok=True)
        return temporary.rename(kept)
    except OSError:
        return temporary


def kept_name(path: Path) -> Path:
    """Return the name of a complete file that could not be renamed to `path`."""
    return path.with_name(f"{path.stem}.new{path.suffix}")


def run_all(writers: Iterable[Callable[[], object]]) -> None:
    """Call each writer, so that a file that cannot get its name costs no other. Raises RunError with all sentences."""
    failures = []
    for write in writers:
        try:
            write()
        except RunError as error:
            failures.append(str(error))
    if failures:
        raise RunError("\n".join(failures))


def expand_home(text: str) -> str:
    """Return `text` with a `~` or `~user` at its start replaced by the home folder. Raises InputError for no user."""
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        if os.path.lexists(text):
            return text
        name = Path(text).parts[0]
        raise InputError(f"{text}: {name} is no home folder of this machine; write the whole path.") from error


def safe_name(text: str) -> str:
    """Return a name for a file or folder that every system accepts; different texts have different names.

    A text of letters, digits and usual signs is its own name, with `_` for spaces.
    """
    plain = text.replace(" ", "_")
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f\x7f]', "_", plain)[:80].rstrip(".")
    if name == plain and name.strip(".") and not WINDOWS_DEVICES.fullmatch(name):
        return name
    return f"_{name}_{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"


def as_path(path: str | Path) -> Path:
    """Return a path given as text or `Path`. Raises InputError for other things, and for an empty text.

    `Path("")` is the current folder, which nobody means by an empty variable.
    """
    if not isinstance(path, str | Path):
        raise InputError(f"{path!r:.80}: expected a path, as text or pathlib.Path.")
    if isinstance(path, str) and not path.strip():
        raise InputError("An empty text is no path; name a file or folder ('.' is the current folder).")
    return Path(path)


def as_paths(paths: str | Path | Iterable[str | Path], what: str) -> list[Path]:
    """Return one path or several as a list. Raises InputError as `as_path`, and if there is none of `what`."""
    if isinstance(paths, str | Path):
        return [as_path(paths)]
    if not isinstance(paths, Iterable):
        raise InputError(f"{paths!r:.80}: expected a path or a list of {what}.")
    found = [as_path(path) for path in paths]
    if not found:
        raise InputError(f"The list of {what} is empty; name at least one.")
    return found


def to_json(facts: Any) -> str:
    """Return `facts` as indented JSON that can be written as UTF-8, also with file names that are no valid UTF-8."""
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    # such a name holds single surrogates, and JSON has the same escape for them as Python
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 without BOM and with `\\n` line ends, through `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
