"""Drawing flowers. A species fixes the shape, number and colour of petals and the centre; all else varies."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np

# half width of a petal at t = 0 (base) .. 1 (tip), as a share of its length
PETAL_SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round": lambda t: 0.42 * np.sin(np.pi * t**1.3) ** 0.6,
    "pointed": lambda t: 0.62 * t**0.7 * (1 - t) ** 0.8,
    "strap": lambda t: 0.15 * np.minimum(1, 6 * (1 - t)) ** 0.5 * np.minimum(1, 4 * t + 0.3),
    "spoon": lambda t: 0.06 + 0.36 * np.exp(-(((t - 0.78) / 0.17) ** 2)),
    "wedge": lambda t: 0.50 * t * np.minimum(1, 14 * (1 - t)) ** 0.5,
}

PETAL_COUNTS = (4, 5, 7, 10, 16)

# OpenCV hue 0..180, saturation 0..255
COLOURS = {
    "red": (176, 215),
    "orange": (11, 225),
    "yellow": (25, 215),
    "violet": (140, 150),
    "blue": (116, 165),
    "white": (25, 25),
}

CENTRES = {"gold": (24, 220, 220), "dark": (12, 160, 70), "lime": (38, 170, 190)}


@dataclass(frozen=True)
class Species:
    """What all pictures of a class share; `centre_size` is a fraction of the flower's radius."""

    shape: str
    petals: int
    colour: str
    centre: str
    centre_size: float

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}-petalled flower with {self.petals} petals"


def species_of(count: int, generator: np.random.Generator) -> list[Species]:
    """Return `count` different species, at most 150; colours and petal counts recur, so no single trait decides."""
    traits = list(product(PETAL_SHAPES, PETAL_COUNTS, COLOURS))
    chosen = [traits[number] for number in generator.permutation(len(traits))[:count]]
    return [
        Species(shape, petals, colour, str(generator.choice(list(CENTRES))), float(generator.uniform(0.14, 0.3)))
        for shape, petals, colour in chosen
    ]


def draw_flower(kind: Species, size: int, generator: np.random.Generator) -> np.ndarray:
    """Return a picture of one flower of `kind`, uint8 RGB (size, size, 3)."""
    canvas = _background(size, generator)
    centre = size * generator.uniform(0.36, 0.64, 2)
    radius = size * generator.uniform(0.24, 0.46)
    for _ in range(generator.integers(1, 5)):
        _draw_leaf(canvas, centre, radius * generator.uniform(0.9, 1.6), generator)
    _draw_petals(canvas, kind, centre, radius, generator)
    if generator.random() < 0.25:
        corner = size * generator.choice([0.0, 1.0], 2)
        _draw_leaf(canvas, corner, size * generator.uniform(0.3, 0.55), generator)
    return _photograph(canvas, generator)


def _background(size: int, generator: np.random.Generator) -> np.ndarray:
    """Return out-of-focus grass, soil, sky or lights, uint8 RGB (size, size, 3)."""
    full_size, size = (
        size,
        max(size // 3, 16),
    )  # the background is blurred anyway, and a third of the size is drawn much faster
    hue, saturation, value = [(48, 150, 105), (14, 110, 95), (103, 110, 190), (60, 70, 70)][generator.integers(4)]
    cells = int(generator.integers(3, 9))
    hsv = np.empty((cells, cells, 3), np.float32)
    hsv[..., 0] = (hue + generator.normal(0, 7, (cells, cells))) % 180
    hsv[..., 1] = saturation + generator.normal(0, 25, (cells, cells))
    hsv[..., 2] = value + generator.normal(0, 32, (cells, cells))
    coarse = cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    canvas = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(generator.integers(0, 40)):
        start, colour = generator.integers(0, size, 2), _rgb(hue, saturation, value, generator, 12, 30)
        if generator.random() < 0.5:
            end = start + generator.normal(0, size / 5, 2).astype(int)
            cv2.line(canvas, tuple(map(int, start)), tuple(map(int, end)), colour, max(size // 90, 1), cv2.LINE_AA)
        else:
            cv2.circle(
                canvas, tuple(map(int, start)), int(generator.integers(size // 60 + 1, size // 14 + 2)), colour, -1
            )
    canvas = cv2.GaussianBlur(canvas, (0, 0), size * generator.uniform(0.006, 0.03))
    return cv2.resize(canvas, (full_size, full_size), interpolation=cv2.INTER_CUBIC)


def _draw_petals(
    canvas: np.ndarray, kind: Species, centre: np.ndarray, radius: float, generator: np.random.Generator
) -> None:
    hue, saturation = COLOURS[kind.colour]
    hue, saturation, value = (
        hue + generator.normal(0, 4),
        saturation + generator.normal(0, 16),
        generator.uniform(185, 245),
    )
    view = _perspective(generator)
    turn, crowding = generator.uniform(0, 2 * np.pi), min(1.0, 8 / kind.petals + 0.25)
    for petal in generator.permutation(kind.petals):
        angle = turn + 2 * np.pi * petal / kind.petals + generator.normal(0, 0.05)
        length = radius * generator.normal(1, 0.05)
        for share, shade in ((1.0, -26), (0.86, 0), (0.45, 14)):
            outline = _petal_outline(kind.shape, length, share, crowding) @ _rotation(angle).T @ view.T + centre
            _fill(canvas, outline, _rgb(hue, saturation, value + shade, generator, 1.5, 4))
        spine = np.array([[0.2 * length, 0.0], [0.8 * length, 0.0]]) @ _rotation(angle).T @ view.T + centre
        _line(canvas, spine, _rgb(hue, saturation + 20, value - 40, generator, 1, 4), max(int(radius) // 90, 1))
    _draw_centre(canvas, kind, centre, radius, view, generator)


def _draw_centre(
    canvas: np.ndarray,
    kind: Species,
    centre: np.ndarray,
    radius: float,
    view: np.ndarray,
    generator: np.random.Generator,
) -> None:
    hue, saturation, value = CENTRES[kind.centre]
    angles = np.linspace(0, 2 * np.pi, 40)
    disc = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius * kind.centre_size
    _fill(canvas, disc @ view.T + centre, _rgb(hue, saturation, value, generator, 2, 8))
    for _ in range(30):
        spot = disc[generator.integers(len(disc))] * generator.uniform(0.1, 0.95)
        where = tuple(map(int, spot @ view.T + centre))
        cv2.circle(
            canvas, where, max(int(radius * 0.018), 1), _rgb(hue, saturation, value, generator, 5, 45), -1, cv2.LINE_AA
        )


def _draw_leaf(canvas: np.ndarray, base: np.ndarray, length: float, generator: np.random.Generator) -> None:
    hue, value = generator.uniform(38, 62), generator.uniform(60, 150)
    turn = _rotation(generator.uniform(0, 2 * np.pi)).T
    _fill(canvas, _petal_outline("pointed", length, 1.0, 0.8) @ turn + base, _rgb(hue, 170, value, generator, 2, 6))
    spine = np.array([[0.0, 0.0], [0.95 * length, 0.0]]) @ turn + base
    _line(canvas, spine, _rgb(hue, 130, value + 30, generator, 2, 6), max(int(length) // 80, 1))


def _petal_outline(shape: str, length: float, share: float, crowding: float) -> np.ndarray:
    """Return the outline (points, 2) of a petal along the x axis; `share` < 1 gives an inner, lighter part."""
    t = np.linspace(0, 1, 24)
    half_width = PETAL_SHAPES[shape](t) * length * crowding * share
    along = t * length * (0.5 + 0.5 * share)
    return np.concatenate([np.stack([along, half_width], 1), np.stack([along, -half_width], 1)[::-1]])


def _perspective(generator: np.random.Generator) -> np.ndarray:
    """Return the 2 x 2 matrix that shows a flat flower from an angle."""
    direction = _rotation(generator.uniform(0, np.pi))
    return direction @ np.diag([1.0, generator.uniform(0.6, 1.0)]) @ direction.T


def _photograph(canvas: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Add what a camera and the light do: uneven light, white balance, blur, noise."""
    size = len(canvas)
    light = cv2.resize(
        generator.uniform(0.72, 1.22, (2, 2)).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR
    )
    balance = generator.normal(1, 0.05, 3).astype(np.float32)
    picture = canvas.astype(np.float32) * light[..., None] * balance
    if generator.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), size * generator.uniform(0.001, 0.005))
    grain = generator.integers(-9, 10, (size, size, 1)).astype(np.float32)
    return (picture + grain * generator.uniform(0.2, 1)).clip(0, 255).astype(np.uint8)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _rgb(
    hue: float, saturation: float, value: float, generator: np.random.Generator, hue_spread: float, spread: float
) -> tuple[int, int, int]:
    """Return a colour near an OpenCV HSV triple."""
    hsv = [
        (hue + generator.normal(0, hue_spread)) % 180,
        np.clip(saturation + generator.normal(0, spread), 0, 255),
        np.clip(value + generator.normal(0, spread), 0, 255),
    ]
    red, green, blue = cv2.cvtColor(np.array([[hsv]]).astype(np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
    return int(red), int(green), int(blue)


def _fill(canvas: np.ndarray, outline: np.ndarray, colour: tuple[int, int, int]) -> None:
    cv2.fillPoly(canvas, [outline.round().astype(np.int32)], colour, cv2.LINE_AA)


def _line(canvas: np.ndarray, points: np.ndarray, colour: tuple[int, int, int], width: int) -> None:
    start, end = points.round().astype(int)
    cv2.line(canvas, tuple(map(int, start)), tuple(map(int, end)), colour, width, cv2.LINE_AA)


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
