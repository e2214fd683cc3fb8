"""Input formats of prepare-data, all read to one form: image files, their categories and class names."""

import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from common.csv_files import read_rows
from common.errors import InputError
from common.files import ZIP_DAMAGE
from data.images import IMAGE_SUFFIXES, list_images

MAX_EXPANSION = 100

MAX_MEMBER_BYTES = 200_000_000

ORGANISERS = ("filename", "category_id")

TABLE = ("image_id", "label")

_LABEL_FILES = ("train_labels.csv", "labels.csv", "train.csv")


@dataclass(frozen=True)
class Source:
    """Labelled images: `files` (id: function that reads its bytes), `labels` (id: category id), columns per category.

    `image_dir` is the folder of the files, or None inside a ZIP.
    """

    files: dict[str, Callable[[], bytes]]
    labels: dict[str, str]
    columns: dict[str, dict[str, str]]
    image_dir: Path | None


@contextmanager
def open_source(source: Path, labels: Path | None) -> Iterator[Source]:
    """Yield the images and labels of the organisers' files, of a table with its images, or of a folder per class.

    Raises InputError if `source` is none of these, and for a ZIP with members that lead outside or are too large.
    """
    if not source.exists():
        raise InputError(f"Source {source}: not found.")
    folder = source if source.is_dir() else source.parent
    if labels is None:
        labels = _find_labels(folder)
    archive_path = source if source.suffix.lower() == ".zip" else _find_archive(folder, labels)
    if labels is None:
        if archive_path is not None or not source.is_dir():
            raise InputError(f"{folder}: no train_labels.csv beside the images. Name the table of labels.")
        yield _folder_per_class(source)
        return
    label_of, columns = _read_labels(labels)
    if archive_path is None:
        images = {image_id: folder / image_id for image_id in list_images(folder)}
        base = _common_base(label_of, images, folder)
        readers = {
            image_id.removeprefix(base): path.read_bytes
            for image_id, path in images.items()
            if image_id.startswith(base)
        }
        yield Source(readers, label_of, columns, folder / base)
        return
    try:
        archive = zipfile.ZipFile(archive_path)
    except zipfile.BadZipFile as error:
        raise InputError(f"{archive_path}: not a ZIP file, or damaged.") from error
    with archive:
        members = _safe_members(archive, archive_path)
        base = _common_base(label_of, members, archive_path)
        readers = {
            name.removeprefix(base): _member_reader(archive, member)
            for name, member in members.items()
            if name.startswith(base)
        }
        yield Source(readers, label_of, columns, None)


def natural_order(text: str) -> list[tuple[int, int, str]]:
    """Return a sorting key by which 2 comes before 10."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts if part]


def _find_labels(folder: Path) -> Path | None:
    """Return the table of labels of `folder`: one of the usual names, else the only CSV with the right columns."""
    for name in _LABEL_FILES:
        if (folder / name).is_file():
            return folder / name
    tables = [path for path in sorted(folder.glob("*.csv")) if path.name != "classes.csv"]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables[:5])
        raise InputError(f"{folder}: several tables ({names}). Name the one with the labels.")
    return tables[0] if tables else None


def _find_archive(folder: Path, labels: Path | None) -> Path | None:
    """Return train.zip where the images are not unpacked beside it."""
    archive = folder / "train.zip"
    unpacked = (folder / "train").is_dir()
    return archive if labels is not None and archive.is_file() and not unpacked else None


def _read_labels(path: Path) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return the category id of each image and the columns (name, ...) of each category."""
    rows = read_rows(path, [])
    if set(ORGANISERS) <= rows[0].keys():
        image_column, category_column = ORGANISERS
        extra = [column for column in rows[0] if column not in ORGANISERS]
        columns = {row["category_id"]: _organisers_columns(row, extra) for row in rows}
    elif set(TABLE) <= rows[0].keys():
        image_column, category_column = TABLE
        columns = _names_beside(path, {row["label"] for row in rows})
    else:
        raise InputError(
            f"{path}: expected the columns {','.join(ORGANISERS)} or {','.join(TABLE)}; "
            f"found {','.join(rows[0])[:200]}."
        )
    labels: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        image_id, category = row[image_column].replace("\\", "/"), row[category_column]
        if not image_id or not category:
            raise InputError(f"{path}, line {line}: {image_column if not image_id else category_column} is empty.")
        if image_id in labels:
            raise InputError(f"{path}, line {line}: {image_id} stands in the table twice.")
        labels[image_id] = category
    return labels, columns


def _organisers_columns(row: dict[str, str], extra: Iterable[str]) -> dict[str, str]:
    name = row.get("english_name") or row.get("chinese_name") or row["category_id"]
    return {"name": name, **{column: row[column] for column in extra}}


def _names_beside(path: Path, labels: set[str]) -> dict[str, dict[str, str]]:
    """Return the names of classes.csv (label,name) beside a table, or the labels themselves."""
    classes = path.parent / "classes.csv"
    names = {label: {"name": label} for label in labels}
    if classes.is_file():
        for row in read_rows(classes, ["label", "name"]):
            names[row["label"]] = {"name": row["name"]}
    return names


def _folder_per_class(source: Path) -> Source:
    """Read one folder per class; a single folder that holds the class folders is entered."""
    inner = [path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if len(inner) == 1 and not _images_directly_in(inner[0]):
        return _folder_per_class(inner[0])
    images = [image_id for image_id in list_images(source) if "/" in image_id]
    labels = {image_id: image_id.split("/")[0] for image_id in images}
    if len(set(labels.values())) < 2:
        raise InputError(
            f"{source}: neither a table of labels (train_labels.csv, or image_id,label) "
            "nor two or more folders of images."
        )
    columns = {category: {"name": category} for category in labels.values()}
    return Source({image_id: (source / image_id).read_bytes for image_id in images}, labels, columns, source)


def _images_directly_in(folder: Path) -> list[Path]:
    """Return the images that lie in `folder` itself."""
    return [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]


def _common_base(labels: Iterable[str], images: Iterable[str], where: Path) -> str:
    """Return the folder prefix, with a slash, below which the labelled names are found; empty for the top."""
    wanted = set(labels)
    bases: Counter[str] = Counter()
    for image_id in images:
        parts = PurePosixPath(image_id).parts
        for depth in range(len(parts)):
            if "/".join(parts[depth:]) in wanted:
                bases["".join(f"{part}/" for part in parts[:depth])] += 1
                break
    if not bases:
        raise InputError(f"{where}: none of the labelled images is there, such as {next(iter(labels))}.")
    return bases.most_common(1)[0][0]


def _safe_members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the image members of a ZIP by name. Raises InputError if unpacking one would be dangerous."""
    members = {}
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
        parts = PurePosixPath(name).parts
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
        if not member.is_dir() and not hidden and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
            members[name] = member
    archive_bytes = path.stat().st_size
    needed, free = sum(member.file_size for member in members.values()), shutil.disk_usage(path.parent).free
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


def _member_reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return archive.read(member)
        except ZIP_DAMAGE as error:
            raise OSError(f"damaged or encrypted in the ZIP: {error}") from error

    return read
