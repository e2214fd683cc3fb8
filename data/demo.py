"""The demo data set: flowers drawn by the kit, so that everything can be tried without photographs."""

import json
from pathlib import Path

import cv2
import numpy as np

from common.classes import ImageClass
from common.files import replacing, write_text
from common.progress import progress
from data.flower_drawing import draw_flower
from data.flower_kinds import Species, species_of
from data.table import write_classes, write_table

# raise this number when the drawing changes, so that older sets on disk are drawn again
DRAWING_VERSION = 3

JPEG_QUALITY = 90

# training pictures per test picture of a class
TRAIN_PER_TEST = 4

_SPECIES, _NAMES = 0, 1


def draw_demo(root: Path, classes: int, images_per_class: int, image_size: int, seed: int) -> None:
    """Draw a prepared data set into `root`: train.csv, classes.csv, train/*.jpg of `image_size` pixels a side.

    Further pictures go to test/, with their labels in test.csv. Every picture is a function of (seed, class, number). A
    complete set of the same settings is left as it is; demo.json, written last, records the settings.
    """
    wanted = {
        "drawing_version": DRAWING_VERSION,
        "classes": classes,
        "images_per_class": images_per_class,
        "image_size": image_size,
        "seed": seed,
    }
    marker = root / "demo.json"
    if _is_complete(root, marker, wanted):
        return
    marker.unlink(missing_ok=True)
    for part in ("train", "test"):
        for picture in (root / part).glob("demo_*.jpg"):
            picture.unlink()
    species = species_of(classes, np.random.default_rng([seed, _SPECIES]))
    test_images = _test_images(images_per_class)
    total = classes * (images_per_class + test_images)
    # names in random order, so that neither a name nor its position in the table reveals the class
    numbers = np.random.default_rng([seed, _NAMES]).permutation(total)
    tables: dict[str, dict[str, int]] = {"train": {}, "test": {}}
    with progress(f"drawing {total} demo flowers", total) as advance:
        for position, number in enumerate(numbers):
            label, index = divmod(position, images_per_class + test_images)
            part = "train" if index < images_per_class else "test"
            name = f"demo_{number:05d}.jpg"
            tables[part][name] = label
            _write_picture(root / part / name, species[label], image_size, seed, label, index)
            advance(1)
    for part, labels in tables.items():
        names = sorted(labels)
        write_table(root / f"{part}.csv", names, [labels[name] for name in names])
    write_classes(root / "classes.csv", [ImageClass(k, str(k), kind.name) for k, kind in enumerate(species)])
    write_text(marker, json.dumps(wanted, indent=2) + "\n")


def _test_images(images_per_class: int) -> int:
    return max(images_per_class // TRAIN_PER_TEST, 1)


def _is_complete(root: Path, marker: Path, wanted: dict[str, int]) -> bool:
    if not marker.is_file() or json.loads(marker.read_text(encoding="utf-8")) != wanted:
        return False
    tables = [root / name for name in ("train.csv", "test.csv", "classes.csv")]
    wanted_pictures = {"train": wanted["images_per_class"], "test": _test_images(wanted["images_per_class"])}
    return all(table.is_file() for table in tables) and all(
        sum(1 for _ in (root / part).glob("demo_*.jpg")) >= wanted["classes"] * count
        for part, count in wanted_pictures.items()
    )


def _write_picture(path: Path, kind: Species, size: int, seed: int, label: int, index: int) -> None:
    pixels = draw_flower(kind, size, np.random.default_rng([seed, label, index, size]))
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
