"""prepare-data: labelled images in any usual form become a prepared data set and a summary."""

import contextlib
import hashlib
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from common.csv_files import write_rows
from common.errors import InputError
from common.files import as_path, to_json, write_text
from common.processors import default_workers
from common.progress import progress
from data.carried_decisions import UNMATCHED_FILE, carried_decisions, match_decisions
from data.class_names import natural_order
from data.corrections import CORRECTIONS_FILE
from data.images import attempt, measure_image
from data.label_table import LabelTable, parse_table, table_text
from data.layout import NO_LABEL, OUTSIDE_CLASSES, Layout, Part, understand
from data.listing import escaped, list_images
from data.match import names_any
from data.part_names import TEST, TRAIN, VAL
from data.safe_names import safe_names
from data.source_files import DATA_FILES, PACKED, WORKBOOKS, Read, SourceFiles, open_source
from data.table import write_table
from data.table_use import Columns

RENAMED_FILE = "renamed.csv"

COMMON_SIZES = 5

# share of the area of an image; in whole percent, because a 4:3 photograph in whole pixels may lose 25.04 %
LARGE_LOSS = 0.25

MAX_TABLE_BYTES = 500_000_000

# characters; a larger text is looked at before it is read as a table
_LARGE_TABLE = 5_000_000

# images that are handed to the threads at a time
_AHEAD = 512


@dataclass(frozen=True)
class Request:
    """What to prepare. `labels` and `columns` name what else is found; `link` makes hard links instead of copies.

    Paths may be given as text. Raises InputError for what is no path.
    """

    source: Path
    output: Path
    labels: Path | None = None
    columns: Columns = field(default_factory=Columns)
    merge_classes: bool = False
    link: bool = False

    def __post_init__(self) -> None:
        for name in ("source", "output", "labels"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_path(getattr(self, name)))


class _Image(NamedTuple):
    """What reading one image gave: `size` (width, height) is None where it could not be read."""

    size: tuple[int, int] | None
    digest: str = ""
    problem: str = ""
    recovered: bool = False
    linked: bool = False


def prepare_data(request: Request) -> dict[str, Any]:
    """Write a prepared data set below `request.output`; return the summary, which summary.json holds too.

    The set has train.csv, classes.csv and train/; where the source has these parts, also val.csv and val/, test/, and
    test.csv if the test images have labels. Labels 0..C-1 follow the order of category ids (by number where they are
    numbers). Unreadable images are left out, but in test/. Damaged ones that can be read in part stay. Running it again
    changes nothing; a corrections.csv in the folder stays, see `match_decisions`. Raises InputError.
    """
    output = request.output
    with _understood(request) as (files, layout):
        _check_output(output, layout)
        decisions = carried_decisions(output)
        ids, renamed = safe_names({name: _ids_of(part) for name, part in layout.parts.items()})
        found = {
            name: _read_images(files, ids[name], output / name, request, keep_unreadable=name == TEST)
            for name in layout.parts
        }
    labels = {
        name: {
            image_id: layout.parts[name].labels[path]
            for image_id, path in sorted(ids[name].items())
            if path in layout.parts[name].labels and found[name][image_id].size is not None
        }
        for name in layout.parts
    }
    if not labels[TRAIN]:
        raise InputError(f"{request.source}: none of the {len(ids[TRAIN])} images could be read.")
    categories = sorted(set(labels[TRAIN].values()), key=natural_order)
    if len(categories) < 2:
        raise InputError(f"{request.source}: one class was found, '{categories[0]}'; a classifier needs two or more.")
    _write_tables(output, labels, categories, layout, renamed)
    matched = match_decisions(output, decisions)
    summary = {
        **_summarise(found[TRAIN], labels[TRAIN], categories),
        **_summarise_files(layout, found, labels, output),
        "renamed": renamed,
        "corrections": asdict(matched),
        "understood": describe_layout(layout, files),
    }
    write_text(output / "summary.json", to_json(summary))
    return summary


def understand_source(request: Request) -> dict[str, Any]:
    """Return what `prepare_data` would make of the source, as `summary["understood"]` holds it. Writes nothing."""
    with _understood(request) as (files, layout):
        return describe_layout(layout, files)


def describe_layout(layout: Layout, files: SourceFiles) -> dict[str, Any]:
    """Return layout, tables, parts, classes, what was left out and why, and notes."""
    left_out = {**files.left_aside, **layout.left_out, "files that are neither images nor tables": files.other}
    return {
        "layout": escaped(layout.layout),
        "tables": {escaped(path): escaped(use) for path, use in layout.tables.items()},
        "parts": {
            name: {"images": len(part.labels) + len(part.unlabelled), "labelled": len(part.labels)}
            for name, part in layout.parts.items()
        },
        "classes": [escaped(name) for name in sorted(set(layout.parts[TRAIN].labels.values()), key=natural_order)],
        "left_out": {reason: [escaped(name) for name in found] for reason, found in left_out.items() if found},
        "labels_without_file": [escaped(name) for name in layout.missing],
        "notes": [escaped(note) for note in layout.notes],
    }


@contextlib.contextmanager
def _understood(request: Request) -> Iterator[tuple[SourceFiles, Layout]]:
    """Yield the files of a source and what they mean."""
    source, output = request.source.resolve(), request.output.resolve()
    inside = source in output.parents
    foreign = inside and output.is_dir() and any(output.iterdir()) and not (output / "summary.json").is_file()
    if output == source or output in source.parents or foreign:
        raise InputError(f"{request.output} lies within the source images in {request.source}. Name another folder.")
    with open_source(request.source, request.output if inside else None) as files:
        tables = {name: _read_table(name, read, files.images) for name, read in files.tables.items()}
        chosen = None
        if request.labels is not None:
            chosen = _chosen_name(request, files)
            if not request.labels.is_file():
                raise InputError(f"{request.labels}: not found.")
            tables[chosen] = _read_table(str(request.labels), request.labels.read_bytes)
        if not files.images:
            raise InputError(f"{request.source}: no images here.{_told(files, *files.left_aside)}")
        try:
            layout = understand(list(files.images), tables, request.columns, chosen, request.merge_classes)
        except InputError as error:
            raise InputError(
                f"{request.source}: {escaped(str(error))}{_told(files, WORKBOOKS, DATA_FILES, PACKED)}"
            ) from error
        yield files, layout


def _told(files: SourceFiles, *reasons: str) -> str:
    found = {reason: files.left_aside[reason] for reason in reasons if reason in files.left_aside}
    return "".join(f" Left aside: {escaped(names[0])} ({reason})." for reason, names in found.items())


def _chosen_name(request: Request, files: SourceFiles) -> str:
    resolved = request.labels.resolve() if request.labels else None
    return next((name for name, path in files.paths.items() if path.resolve() == resolved), str(request.labels))


def _read_table(name: str, read: Read, images: Iterable[str] | None = None) -> LabelTable | str:
    """Return a table, or why it is none: a large one must name some of the `images` in its first lines."""
    if PurePath(name).name in (CORRECTIONS_FILE, UNMATCHED_FILE):
        return f"{name}: decisions on the labels of a prepared folder, which count in that folder alone."
    try:
        content = read()
    except OSError as error:
        return f"{name}: {error}"
    if len(content) > MAX_TABLE_BYTES:
        return f"{name}: larger than {MAX_TABLE_BYTES / 1e6:.0f} MB."
    try:
        text = table_text(content, name)
        if images is not None and len(text) > _LARGE_TABLE and not names_any(text, images):
            return f"{name}: its first lines name no image here."
        return parse_table(text, name)
    except InputError as error:
        return str(error)


def _check_output(output: Path, layout: Layout) -> None:
    for name in (VAL, TEST):
        old = output / f"{name}.csv"
        if old.is_file() and not (name in layout.parts and layout.parts[name].labels):
            raise InputError(f"{old} belongs to another source. Delete it, or name another output folder.")


def _ids_of(part: Part) -> dict[str, str]:
    """Return the image ids of a part: id to path."""
    return {path.removeprefix(part.folder): path for path in (*part.labels, *part.unlabelled)}


def _read_images(
    files: SourceFiles, paths: Mapping[str, str], target: Path, request: Request, keep_unreadable: bool
) -> dict[str, _Image]:
    """Copy the readable files below `target`, by threads; each is decoded once to see whether it is an image."""

    def take(image_id: str) -> _Image:
        path = paths[image_id]
        on_disk = files.paths.get(path) if request.link else None
        return _take(files.images[path], on_disk, image_id, target / image_id, keep_unreadable)

    ids, found = sorted(paths), {}
    with (
        progress(f"reading {len(ids)} images of {target.name}", len(ids)) as advance,
        ThreadPoolExecutor(default_workers()) as threads,
    ):
        for start in range(0, len(ids), _AHEAD):
            some = ids[start : start + _AHEAD]
            found.update(zip(some, threads.map(take, some), strict=True))
            advance(len(some))
    return found


def _take(read: Read, on_disk: Path | None, image_id: str, target: Path, keep_unreadable: bool) -> _Image:
    """Read one file, see whether it is an image, and copy or link it."""
    try:
        content = read()
    except OSError as error:
        return _Image(None, problem=error.strerror or str(error))
    measured, problem = attempt(lambda: measure_image(np.frombuffer(content, np.uint8), image_id))
    if measured is None:
        linked = keep_unreadable and _write(target, content, on_disk)
        return _Image(None, problem=problem, linked=linked)
    size, recovered = measured
    digest = hashlib.sha256(content).hexdigest()
    return _Image(size, digest, "", recovered, _write(target, content, on_disk))


def _write(target: Path, content: bytes, on_disk: Path | None) -> bool:
    """Write the bytes, or make a hard link where `on_disk` is on the same file system; say whether it is a link.

    The bytes are not forced to the disk one by one, which would take most of the time: a crash may leave an empty file,
    and preparing again replaces it.
    """
    if target.is_file() and target.stat().st_size == len(content) and target.read_bytes() == content:
        return on_disk is not None and target.samefile(on_disk)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}-{threading.get_ident()}.tmp")
    linked = False
    try:
        if on_disk is not None:
            with contextlib.suppress(OSError):
                os.link(on_disk.resolve(), temporary)
                linked = True
        if not linked:
            temporary.write_bytes(content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return linked


def _write_tables(
    output: Path,
    labels: Mapping[str, Mapping[str, str]],
    categories: list[str],
    layout: Layout,
    renamed: Mapping[str, str],
) -> None:
    label_of = {category: label for label, category in enumerate(categories)}
    for name, found in labels.items():
        rows = {image_id: label_of[category] for image_id, category in found.items() if category in label_of}
        if rows:
            write_table(output / f"{name}.csv", rows, rows.values())
    columns = {category: layout.columns[category] for category in categories}
    extra = list(dict.fromkeys(column for found in columns.values() for column in found if column != "name"))
    rows = [
        [label, escaped(category), *(escaped(columns[category].get(column, "")) for column in ("name", *extra))]
        for category, label in label_of.items()
    ]
    write_rows(output / "classes.csv", ["label", "category_id", "name", *extra], rows)
    if renamed:
        write_rows(output / RENAMED_FILE, ["image_id", "original"], renamed.items())


def _summarise(found: Mapping[str, _Image], labels: Mapping[str, str], categories: Collection[str]) -> dict[str, Any]:
    per_class = Counter(labels.values())
    counts = [per_class[category] for category in categories]
    sizes = Counter(image.size for image in found.values() if image.size is not None)
    shorter = [min(size) for size in sizes]
    return {
        "images": len(labels),
        "classes": len(categories),
        "images_per_class": {"min": min(counts), "median": float(np.median(counts)), "max": max(counts)},
        "sizes": {
            "different": len(sizes),
            "shorter_side_min": min(shorter),
            "shorter_side_max": max(shorter),
            "most_common": {f"{width}x{height}": count for (width, height), count in sizes.most_common(COMMON_SIZES)},
        },
        "centre_crop": _crop_losses(sizes),
        "duplicates": _duplicates(found, labels),
    }


def _crop_losses(sizes: Mapping[tuple[int, int], int]) -> dict[str, float]:
    """Return the share of the area that the centre square leaves out: its mean, and how many images lose much.

    `sizes` are images counted by (width, height).
    """
    losses = {size: 1 - min(size) / max(size) for size in sizes}
    images = sum(sizes.values())
    much = sum(count for size, count in sizes.items() if round(losses[size], 2) > LARGE_LOSS)
    return {"mean": sum(losses[size] * count for size, count in sizes.items()) / images, "much": much / images}


def _summarise_files(
    layout: Layout, found: Mapping[str, Mapping[str, _Image]], labels: Mapping[str, Mapping[str, str]], output: Path
) -> dict[str, Any]:
    """Return the files of all parts that need a look; those of val/ and test/ are named with their folder."""
    named = {
        image_id if name == TRAIN else f"{name}/{image_id}": image
        for name, images in found.items()
        for image_id, image in images.items()
    }
    folder = layout.parts[TRAIN].folder
    without = [*layout.left_out.get(NO_LABEL, ()), *layout.left_out.get(OUTSIDE_CLASSES, ())]
    foreign = {name: list_images(output / name).keys() - found[name].keys() for name in found}
    return {
        "unreadable": {image_id: image.problem for image_id, image in named.items() if image.problem},
        "recovered": [image_id for image_id, image in named.items() if image.recovered],
        "linked": sum(image.linked for image in named.values()),
        "files_without_label": sorted(escaped(path.removeprefix(folder)) for path in without),
        "labels_without_file": [escaped(name) for name in layout.missing],
        "not_of_this_source": sorted(
            image_id if name == TRAIN else f"{name}/{image_id}" for name in foreign for image_id in foreign[name]
        ),
    }


def _duplicates(found: Mapping[str, _Image], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return groups of training files with the same bytes, and whether their labels differ."""
    groups = defaultdict(list)
    for image_id, image in found.items():
        if image.digest:
            groups[image.digest].append(image_id)
    return [
        {"images": group, "labels_differ": len({labels[image_id] for image_id in group}) > 1}
        for group in groups.values()
        if len(group) > 1
    ]
