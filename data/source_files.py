"""The files of a source: those of a folder, and those inside its ZIP files."""

import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from common.errors import InputError
from common.files import ZIP_DAMAGE
from data.label_table import TABLE_SUFFIXES
from data.listing import FOREIGN, FOREIGN_IMAGE_SUFFIXES, HIDDEN, is_hidden, is_image_name, list_folder

MAX_EXPANSION = 100

MAX_MEMBER_BYTES = 200_000_000

# archives that are not opened; their photographs would be missed
_OTHER_ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")

_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")

# kinds of files in which other programs keep labels
_DATA_FILES = (
    *(".json", ".jsonl", ".ndjson", ".xml", ".yaml", ".yml", ".mat", ".npy", ".npz", ".pkl", ".pickle", ".parquet"),
    *(".arrow", ".h5", ".hdf5", ".tfrecord", ".tfrec", ".db", ".sqlite", ".doc", ".docx"),
)

PACKED = "archives that are not opened; unpack them"

WORKBOOKS = "workbooks that are not opened; save them as CSV"

DATA_FILES = "files that may hold labels, in a form that is not read; save them as CSV"

TWICE = "files that a ZIP holds twice; the last one is taken"

UNPACKED = "ZIP files that are not opened, because their folder is beside them"

Read = Callable[[], bytes]


@dataclass(frozen=True)
class SourceFiles:
    """Images and tables by path below the source; `paths` has those that lie on the disk, not in a ZIP.

    `other` are files of other kinds; `left_aside` holds paths by reason.
    """

    images: dict[str, Read]
    tables: dict[str, Read]
    paths: dict[str, Path]
    other: list[str]
    left_aside: dict[str, list[str]]


@contextmanager
def open_source(source: Path, without: Path | None = None) -> Iterator[SourceFiles]:
    """Yield the files of a folder or a ZIP. The content of `a.zip` appears as the folder `a`.

    Tables beside a ZIP that has none, but for texts, are taken with it. `without` is a folder that is not looked into.
    Raises InputError for a source that is missing, and for a ZIP that is damaged, too large, or leads outside.
    """
    if not source.exists():
        raise InputError(f"Source {source}: not found.")
    with ExitStack() as stack:
        if source.is_dir():
            yield _with_archives(_files_of_folder(source, without), source, stack)
        elif source.suffix.lower() == ".zip":
            files = _members(source, "", stack)
            has_tables = any(not name.lower().endswith(".txt") for name in files.tables)
            yield files if has_tables else _with_tables_beside(files, source)
        else:
            raise InputError(f"Source {source}: neither a folder nor a ZIP. Give the folder with the images.")


def _files_of_folder(folder: Path, without: Path | None) -> SourceFiles:
    listing = list_folder(folder, without)
    paths = {name: folder / name for name in (*listing.images, *listing.others)}
    tables = [name for name in listing.others if _is_table(name)]
    return SourceFiles(
        images={name: paths[name].read_bytes for name in listing.images},
        tables={name: paths[name].read_bytes for name in tables},
        paths=paths,
        other=[name for name in listing.others if not _is_table(name)],
        left_aside=dict(listing.left_aside),
    )


def _with_archives(files: SourceFiles, folder: Path, stack: ExitStack) -> SourceFiles:
    """Add the members of the ZIP files of `folder`, each below a folder of its own name."""
    folders = {name.split("/")[0].lower() for name in files.images if "/" in name}
    inner = []
    for name in files.other:
        reason = _reason(name)
        is_zip = name.lower().endswith(".zip") and "/" not in name
        if is_zip and PurePosixPath(name).stem.lower() in folders:
            files.left_aside.setdefault(UNPACKED, []).append(name)
        elif reason is not None and not is_zip:
            files.left_aside.setdefault(reason, []).append(name)
        elif is_zip:
            inside = _members(folder / name, f"{PurePosixPath(name).stem}/", stack)
            files.images.update(inside.images)
            files.tables.update(inside.tables)
            inner += inside.other
            for reason, found in inside.left_aside.items():
                files.left_aside.setdefault(reason, []).extend(found)
    told = {name for found in files.left_aside.values() for name in found}
    other = [name for name in files.other if name not in told and not name.lower().endswith(".zip")]
    return SourceFiles(files.images, files.tables, files.paths, other + inner, files.left_aside)


def _with_tables_beside(files: SourceFiles, archive: Path) -> SourceFiles:
    beside = {path.name: path for path in sorted(archive.parent.iterdir()) if _is_table(path.name) and path.is_file()}
    tables = {name: path.read_bytes for name, path in beside.items()}
    return SourceFiles(files.images, {**tables, **files.tables}, beside, files.other, files.left_aside)


def _is_table(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in TABLE_SUFFIXES


def _members(path: Path, prefix: str, stack: ExitStack) -> SourceFiles:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: not a ZIP file, or damaged.") from error
    safe = _safe_members(archive, path)
    members = {f"{prefix}{name}": member for name, member in safe}
    hidden = [name for name in members if is_hidden(PurePosixPath(name).parts)]
    readers = {name: _reader(archive, members[name]) for name in sorted(members.keys() - set(hidden))}
    other = [name for name in readers if not is_image_name(name) and not _is_table(name)]
    counts = Counter(name for name, _ in safe)
    left_aside = {
        HIDDEN: hidden,
        TWICE: [f"{prefix}{name}" for name, count in counts.items() if count > 1],
    }
    for name in other:
        if (reason := _reason(name)) is not None:
            left_aside.setdefault(reason, []).append(name)
    told = {name for found in left_aside.values() for name in found}
    return SourceFiles(
        images={name: read for name, read in readers.items() if is_image_name(name)},
        tables={name: read for name, read in readers.items() if _is_table(name)},
        paths={},
        other=[name for name in other if name not in told],
        left_aside={reason: found for reason, found in left_aside.items() if found},
    )


def _reason(name: str) -> str | None:
    """Return why a file that is neither an image nor a table is left aside, or None if it needs no word."""
    suffix = PurePosixPath(name).suffix.lower()
    reasons = {
        PACKED: (".zip", *_OTHER_ARCHIVES),
        WORKBOOKS: _WORKBOOKS,
        DATA_FILES: _DATA_FILES,
        FOREIGN: FOREIGN_IMAGE_SUFFIXES,
    }
    return next((reason for reason, suffixes in reasons.items() if suffix in suffixes), None)


def _safe_members(archive: zipfile.ZipFile, path: Path) -> list[tuple[str, zipfile.ZipInfo]]:
    """Return the members of a ZIP with their names. Raises InputError if unpacking one would be dangerous."""
    members = []
    for member in archive.infolist():
        name = _member_name(member)
        windows = PureWindowsPath(name)
        is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
        if windows.drive or windows.root or ".." in windows.parts or is_link or "\0" in name:
            raise InputError(f"{path}: its member {name!r} leads outside the target folder. Nothing was unpacked.")
        if member.file_size > MAX_MEMBER_BYTES:
            raise InputError(
                f"{path}: its member {name!r} would take {member.file_size / 1e6:.0f} MB. Nothing was unpacked."
            )
        if not member.is_dir():
            members.append((name, member))
    archive_bytes = path.stat().st_size
    needed, free = sum(member.file_size for _, member in members), shutil.disk_usage(path.parent).free
    # photographs are already compressed; a member that grows a hundredfold is no photograph
    if needed > MAX_EXPANSION * archive_bytes + MAX_MEMBER_BYTES:
        raise InputError(
            f"{path}: {archive_bytes / 1e6:.1f} MB would become {needed / 1e6:.0f} MB, which photographs do not: a ZIP "
            "bomb. Nothing was unpacked."
        )
    if needed > free:
        raise InputError(f"{path}: its images take {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free.")
    return members


def _member_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name; Chinese Windows stores it in GBK without marking it."""
    if member.flag_bits & 0x800:
        return member.filename.replace("\\", "/")
    raw = member.filename.encode("cp437", errors="replace")
    for encoding in ("utf-8", "gbk"):
        try:
            return raw.decode(encoding).replace("\\", "/")
        except UnicodeDecodeError:
            continue
    return member.filename.replace("\\", "/")


def _reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Read:
    def read() -> bytes:
        try:
            return archive.read(member)
        except ZIP_DAMAGE as error:
            raise OSError(f"damaged or encrypted in the ZIP: {error}") from error

    return read
