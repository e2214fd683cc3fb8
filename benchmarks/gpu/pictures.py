"""Two data sets that the kit draws: a small one to learn from, and files as heavy as photographs to read."""

import os
import shutil
from pathlib import Path

from benchmarks.gpu.site import Facts, Site

CLASSES = 10
SMALL, LARGE = "small", "large"


def draw_pictures(site: Site) -> Facts:
    """Draw both data sets."""
    from data.demo import draw_demo

    classes, a_class, size = (4, 12, 48) if site.reduced else (CLASSES, 40, 200)
    draw_demo(site.folder / SMALL, classes, a_class, size, seed=0)
    drawn, files, size = (8, 32, 96) if site.reduced else (120, 4800, 600)
    draw_heavy_files(site.folder / LARGE / "train", drawn, files, size)
    return {"ok": True, "summary": f"{classes * a_class} and {files} files"}


def draw_heavy_files(folder: Path, drawn: int, files: int, size: int) -> None:
    """Write `files` JPEGs 0.jpg, 1.jpg, ... of `size` pixels a side; only the first `drawn` have pictures of their own.

    Noise makes a file as large, and as slow to decode, as a photograph.
    """
    import cv2
    import numpy as np

    from data.flower_drawing import draw_flower
    from data.flower_kinds import species_of

    folder.mkdir(parents=True)
    kinds = species_of(CLASSES, np.random.default_rng(0))
    for number in range(drawn):
        generator = np.random.default_rng([0, number])
        pixels = draw_flower(kinds[number % CLASSES], size, generator) + generator.normal(0, 6, (size, size, 3))
        encoded = cv2.imencode(".jpg", pixels.clip(0, 255).astype(np.uint8)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        (folder / f"{number}.jpg").write_bytes(encoded[1].tobytes())
    for number in range(drawn, files):
        same_file(folder / f"{number % drawn}.jpg", folder / f"{number}.jpg")


def same_file(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except (OSError, AttributeError, NotImplementedError):
        shutil.copyfile(source, target)


def write_large_table(site: Site, images: int) -> list[str]:
    """Write a table of the first `images` heavy files, and return the keys that train on all of them."""
    root = site.folder / LARGE
    table = root / f"{images}.csv"
    rows = "".join(f"{number}.jpg,{number % CLASSES}\n" for number in range(images))
    table.write_text(f"image_id,label\n{rows}", encoding="utf-8")
    return [
        f"dataset.root={root}",
        f"dataset.train_csv={table}",
        f"dataset.train_dir={root / 'train'}",
        "dataset.val_split=0",
    ]
