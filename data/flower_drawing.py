"""Pictures of drawn flowers: a flower of a species in its scene. All that is no trait of the species varies."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from data.flower_blossom import draw_blossom
from data.flower_kinds import Species, species_of
from data.flower_scenes import background, draw_clutter, draw_grass, draw_insect, draw_leaf, photograph

# small flowers of no class, which grow everywhere
WEEDS = (Species("strap", 12, "white", "gold", 0.35), Species("wedge", 4, "yellow", "lime", 0.2))


def draw_flower(kind: Species, size: int, generator: np.random.Generator) -> np.ndarray:
    """Return a picture of a flower of `kind` and perhaps smaller ones beside it, uint8 RGB (size, size, 3)."""
    canvas = background(size, generator)
    centre = size * generator.uniform(0.36, 0.64, 2)
    radius = size * generator.uniform(0.18, 0.42)
    draw_clutter(canvas, generator)
    _draw_weeds(canvas, int(generator.integers(0, 3)), generator)
    for _ in range(generator.integers(0, 3)):
        draw_blossom(canvas, kind, size * generator.random(2), radius * generator.uniform(0.4, 0.7), generator)
    for _ in range(generator.integers(1, 5)):
        draw_leaf(canvas, centre, radius * generator.uniform(0.9, 1.6), generator)
    draw_blossom(canvas, kind, centre, radius, generator)
    _draw_foreground(canvas, centre, radius, generator)
    return photograph(canvas, generator)


def _draw_weeds(canvas: np.ndarray, count: int, generator: np.random.Generator) -> None:
    size = len(canvas)
    for _ in range(count):
        weed = WEEDS[generator.integers(len(WEEDS))]
        draw_blossom(canvas, weed, size * generator.random(2), size * generator.uniform(0.03, 0.07), generator)


def _draw_foreground(canvas: np.ndarray, centre: np.ndarray, radius: float, generator: np.random.Generator) -> None:
    """Draw what stands before the flower: a leaf, blades of grass, a weed, an insect, each of them sometimes."""
    size = len(canvas)
    if generator.random() < 0.3:
        corner = size * generator.choice([0.0, 1.0], 2)
        draw_leaf(canvas, corner, size * generator.uniform(0.3, 0.6), generator)
    for _ in range(generator.integers(0, 3)):
        draw_grass(canvas, generator)
    if generator.random() < 0.25:
        _draw_weeds(canvas, 2, generator)
    if generator.random() < 0.25:
        where = centre + radius * generator.uniform(-0.8, 0.8, 2)
        draw_insect(canvas, where, size * generator.uniform(0.03, 0.06), generator)


@contextmanager
def drawn_jpegs(image_size: int, count: int) -> Iterator[list[Path]]:
    """Yield `count` JPEG files of drawn flowers, `image_size` pixels a side, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="flower_benchmark_", ignore_cleanup_errors=True) as folder:
        yield draw_jpegs(Path(folder), image_size, count)


def draw_jpegs(folder: Path, image_size: int, count: int) -> list[Path]:
    """Draw `count` JPEG files of flowers into `folder` and return them."""
    kinds = species_of(10, np.random.default_rng(0))
    paths = []
    for number in range(count):
        pixels = draw_flower(kinds[number % len(kinds)], image_size, np.random.default_rng([0, number]))
        paths.append(folder / f"flower_{number:03d}.jpg")
        paths[-1].write_bytes(cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes())
    return paths
