"""One blossom: its species fixes shape, number and colour of petals, the centre and the mark; all else varies."""

from dataclasses import dataclass

import numpy as np

from data.flower_kinds import CENTRES, COLOURS, DOTS, LARGE, NOTCHED, RING, SPURRED, VEINED, Species
from data.flower_painting import arc, dot, fill, line, petal_outline, rgb, rotation, tube

# OpenCV hue, saturation, value of the ring around a centre
RINGS = {"gold": (8, 210, 110), "dark": (24, 210, 230), "lime": (150, 150, 90)}

NOTCH = 0.13


@dataclass(frozen=True)
class _Petal:
    """`place` (2, 2) and `centre` (2,) carry the petal, drawn along the x axis, to its place; lengths in pixels."""

    shape: str
    hsv: tuple[float, float, float]
    length: float
    crowding: float
    place: np.ndarray
    centre: np.ndarray


def draw_blossom(
    canvas: np.ndarray, kind: Species, centre: np.ndarray, radius: float, generator: np.random.Generator
) -> None:
    """Draw one flower of `kind` around `centre` (2,); `radius` in pixels is that of its longest petals."""
    hue, saturation = COLOURS[kind.colour]
    hue, saturation, value = (
        hue + generator.normal(0, 4),
        saturation + generator.normal(0, 16),
        generator.uniform(175, 245),
    )
    view = _perspective(generator)
    turn, crowding = generator.uniform(0, 2 * np.pi), min(1.0, 8 / kind.petals + 0.1)
    if kind.mark == SPURRED:
        for angle in turn + 2 * np.pi * (np.arange(kind.petals) + 0.5) / kind.petals:
            place = rotation(angle).T @ view.T
            _draw_spur(canvas, (hue, saturation, value), radius, place, centre, generator)
    for number in generator.permutation(kind.petals):
        angle = turn + 2 * np.pi * number / kind.petals + generator.normal(0, 0.05)
        place = rotation(angle).T @ view.T
        length = radius * generator.normal(1, 0.05)
        petal = _Petal(kind.shape, (hue, saturation, value), length, crowding, place, centre)
        _draw_petal(canvas, petal, kind.mark, generator)
    _draw_centre(canvas, kind, centre, radius, view, generator)


def _draw_petal(canvas: np.ndarray, petal: _Petal, mark: str, generator: np.random.Generator) -> None:
    hue, saturation, value = petal.hsv
    notch = NOTCH * generator.uniform(0.8, 1.2) if mark == NOTCHED else 0.0
    for share, shade in ((1.0, -26), (0.88, 0), (0.5, 12)):
        outline = petal_outline(petal.shape, petal.length, share, petal.crowding, notch if share > 0.5 else 0.0)
        fill(canvas, outline @ petal.place + petal.centre, rgb(hue, saturation, value + shade, generator, 1.5, 4))
    vein = rgb(hue, saturation + 20, value - 40, generator, 1, 4)
    middle = np.array([[0.2, 0.0], [0.8, 0.0]]) * petal.length
    line(canvas, middle @ petal.place + petal.centre, vein, petal.length / 90)
    if mark == VEINED:
        _draw_veins(canvas, petal, generator)


def _draw_veins(canvas: np.ndarray, petal: _Petal, generator: np.random.Generator) -> None:
    """Draw lines that fan out from the base of a petal to its edge."""
    hue, saturation, value = petal.hsv
    colour = rgb(hue, saturation + 45, value - 60, generator, 1, 6)
    half_width = petal_outline(petal.shape, 0.8 * petal.length, 1.0, petal.crowding)[:, 1].max()
    for share in (-0.6, -0.3, 0.0, 0.3, 0.6):
        path = arc(
            np.array([0.15 * petal.length, 0.0]),
            np.array([0.5 * petal.length, 0.7 * share * half_width]),
            np.array([(0.85 - 0.2 * abs(share)) * petal.length, share * half_width]),
        )
        line(canvas, path @ petal.place + petal.centre, colour, petal.length / 70)


def _draw_spur(
    canvas: np.ndarray,
    hsv: tuple[float, float, float],
    radius: float,
    place: np.ndarray,
    centre: np.ndarray,
    generator: np.random.Generator,
) -> None:
    """Draw a bent tube with a knob, which stands out between two petals."""
    hue, saturation, value = hsv
    colour = rgb(hue, saturation + 15, value - 40, generator, 2, 6)
    length, bend = radius * generator.uniform(0.95, 1.15), radius * generator.uniform(-0.1, 0.1)
    path = arc(np.zeros(2), np.array([0.7 * length, 0.0]), np.array([length, bend])) @ place + centre
    fill(canvas, tube(path, radius * np.linspace(0.10, 0.025, len(path))), colour)
    dot(canvas, path[-1], radius * 0.05, colour)


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
    if kind.mark == LARGE:
        disc *= 1.4
    if kind.mark == RING:
        fill(canvas, 1.28 * disc @ view.T + centre, rgb(*RINGS[kind.centre], generator, 2, 8))
    fill(canvas, disc @ view.T + centre, rgb(hue, saturation, value, generator, 2, 8))
    for _ in range(30):
        spot = disc[generator.integers(len(disc))] * generator.uniform(0.1, 0.95)
        dot(canvas, spot @ view.T + centre, radius * 0.018, rgb(hue, saturation, value, generator, 5, 45))
    if kind.mark == DOTS:
        for spot in 1.6 * disc[:-1:4] + generator.normal(0, 0.02 * radius, (10, 2)):
            dot(canvas, spot @ view.T + centre, radius * 0.03, rgb(*RINGS[kind.centre], generator, 2, 8))


def _perspective(generator: np.random.Generator) -> np.ndarray:
    """Return the 2 x 2 matrix that shows a flat flower from an angle."""
    direction = rotation(generator.uniform(0, np.pi))
    return direction @ np.diag([1.0, generator.uniform(0.6, 1.0)]) @ direction.T
