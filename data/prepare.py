"""prepare-data: labelled images in any usual form become a prepared data set and a summary."""

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.csv_files import write_rows
from common.errors import InputError
from common.files import replacing, write_text
from common.progress import progress
from data.images import UnreadableImage, decode_image, list_images
from data.import_formats import Source, natural_order, open_source
from data.table import check_image_id, write_table

COMMON_SIZES = 5


@dataclass
class _Findings:
    """Results of reading the files, by image id: sizes (width, height), digests of the bytes, problems."""

    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    recovered: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


def prepare_data(source: Path, output: Path, labels: Path | None = None) -> dict[str, Any]:
    """Write train.csv, classes.csv, train/ and summary.json below `output`; return the summary.

    Labels 0..C-1 follow the order of category ids (by number where they are numbers). Unreadable images are left out
    of train.csv; damaged ones that can be read in part stay. Running it again changes nothing. Raises InputError.
    """
    target = output / "train"
    with open_source(source, labels) as found:
        _check_apart(found, target)
        usable = sorted(image_id for image_id in found.labels if image_id in found.files)
        if not usable:
            raise InputError(f"{source}: none of the {len(found.labels)} labelled images is there.")
        for image_id in usable:
            check_image_id(image_id, str(source))
        findings = _copy_images(found, usable, target)
    readable = [image_id for image_id in usable if image_id not in findings.unreadable]
    if not readable:
        raise InputError(f"{source}: none of the {len(usable)} images could be read.")
    categories = sorted({found.labels[image_id] for image_id in readable}, key=natural_order)
    label_of = {category: label for label, category in enumerate(categories)}
    write_table(output / "train.csv", readable, [label_of[found.labels[image_id]] for image_id in readable])
    _write_classes(output / "classes.csv", categories, found.columns)
    summary = _summarise(found, findings, readable, categories, target)
    write_text(output / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary


def _check_apart(found: Source, target: Path) -> None:
    """Raise InputError if the output lies among the source images."""
    if found.image_dir is not None:
        source, resolved = found.image_dir.resolve(), target.resolve()
        if resolved == source or source in resolved.parents or resolved in source.parents:
            raise InputError(f"{target} lies within the source images in {found.image_dir}. Name another folder.")


def _copy_images(found: Source, image_ids: list[str], target: Path) -> _Findings:
    """Copy the readable files below `target`; each is decoded once to see whether it is an image."""
    findings = _Findings()
    with progress(f"reading {len(image_ids)} images", len(image_ids)) as advance:
        for image_id in image_ids:
            advance(1)
            try:
                content = found.files[image_id]()
                decoded = decode_image(np.frombuffer(content, np.uint8), image_id)
            except UnreadableImage as error:
                findings.unreadable[image_id] = error.reason
                continue
            except OSError as error:
                findings.unreadable[image_id] = str(error)
                continue
            height, width = decoded.pixels.shape[:2]
            findings.sizes[image_id] = (width, height)
            findings.digests[image_id] = hashlib.sha256(content).hexdigest()
            if decoded.recovered:
                findings.recovered.append(image_id)
            _write_if_new(target / image_id, content)
    return findings


def _write_if_new(path: Path, content: bytes) -> None:
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _write_classes(path: Path, categories: list[str], columns: dict[str, dict[str, str]]) -> None:
    extra = list(dict.fromkeys(column for category in categories for column in columns[category] if column != "name"))
    rows = [
        [label, category, columns[category]["name"], *(columns[category].get(column, "") for column in extra)]
        for label, category in enumerate(categories)
    ]
    write_rows(path, ["label", "category_id", "name", *extra], rows)


def _summarise(
    found: Source, findings: _Findings, readable: list[str], categories: list[str], target: Path
) -> dict[str, Any]:
    per_class = Counter(found.labels[image_id] for image_id in readable)
    counts = [per_class[category] for category in categories]
    sizes = Counter(findings.sizes.values())
    shorter = [min(size) for size in findings.sizes.values()]
    return {
        "images": len(readable),
        "classes": len(categories),
        "images_per_class": {"min": min(counts), "median": float(np.median(counts)), "max": max(counts)},
        "sizes": {
            "different": len(sizes),
            "shorter_side_min": min(shorter),
            "shorter_side_max": max(shorter),
            "most_common": {f"{width}x{height}": count for (width, height), count in sizes.most_common(COMMON_SIZES)},
        },
        "unreadable": findings.unreadable,
        "recovered": findings.recovered,
        "files_without_label": sorted(image_id for image_id in found.files if image_id not in found.labels),
        "labels_without_file": sorted(image_id for image_id in found.labels if image_id not in found.files),
        "duplicates": _duplicates(found, findings),
        "not_of_this_source": sorted(set(list_images(target)) - set(readable)),
    }


def _duplicates(found: Source, findings: _Findings) -> list[dict[str, Any]]:
    """Return groups of files with the same bytes, and whether their labels differ."""
    groups = defaultdict(list)
    for image_id, digest in findings.digests.items():
        groups[digest].append(image_id)
    return [
        {"images": group, "labels_differ": len({found.labels[image_id] for image_id in group}) > 1}
        for group in groups.values()
        if len(group) > 1
    ]
