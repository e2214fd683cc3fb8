"""What surrounds a drawn flower: the background, other plants, stones and insects, the light and the camera."""

import cv2
import numpy as np

from data.flower_painting import arc, dot, fill, line, petal_outline, rgb, rotation, tube

LEAVES = ("pointed", "round", "lobed", "strap")

# OpenCV hue, saturation, value of grass, soil, sky, shade
GROUNDS = ((48, 150, 105), (14, 110, 95), (103, 110, 190), (60, 70, 70))


def background(size: int, generator: np.random.Generator) -> np.ndarray:
    """Return out-of-focus grass, soil, sky or lights, uint8 RGB (size, size, 3)."""
    # the background is blurred anyway, and a third of the size is drawn much faster
    small = max(size // 3, 16)
    hue, saturation, value = GROUNDS[generator.integers(len(GROUNDS))]
    cells = int(generator.integers(3, 9))
    hsv = np.empty((cells, cells, 3), np.float32)
    hsv[..., 0] = (hue + generator.normal(0, 7, (cells, cells))) % 180
    hsv[..., 1] = saturation + generator.normal(0, 25, (cells, cells))
    hsv[..., 2] = value + generator.normal(0, 32, (cells, cells))
    coarse = cv2.cvtColor(hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    canvas = cv2.resize(coarse, (small, small), interpolation=cv2.INTER_CUBIC)
    for _ in range(generator.integers(0, 40)):
        start, colour = generator.integers(0, small, 2), rgb(hue, saturation, value, generator, 12, 30)
        if generator.random() < 0.5:
            line(canvas, np.stack([start, start + generator.normal(0, small / 5, 2)]), colour, small / 90)
        else:
            dot(canvas, start, small * generator.uniform(0.017, 0.07), colour)
    canvas = cv2.GaussianBlur(canvas, (0, 0), small * generator.uniform(0.006, 0.03))
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_LINEAR)


def draw_clutter(canvas: np.ndarray, generator: np.random.Generator) -> None:
    """Draw stones, leaves and blades of grass anywhere."""
    size = len(canvas)
    for _ in range(generator.integers(0, 4)):
        _draw_stone(canvas, size * generator.random(2), size * generator.uniform(0.02, 0.08), generator)
    for _ in range(generator.integers(1, 5)):
        draw_leaf(canvas, size * generator.random(2), size * generator.uniform(0.12, 0.35), generator)
    for _ in range(generator.integers(0, 6)):
        draw_grass(canvas, generator)


def draw_leaf(canvas: np.ndarray, base: np.ndarray, length: float, generator: np.random.Generator) -> None:
    """Draw a leaf of any kind and direction that starts at `base` (2,); `length` in pixels."""
    hue, value = generator.uniform(36, 64), generator.uniform(60, 160)
    turn = rotation(generator.uniform(0, 2 * np.pi)).T
    outline = petal_outline(str(generator.choice(LEAVES)), length, 1.0, generator.uniform(0.6, 0.9))
    fill(canvas, outline @ turn + base, rgb(hue, 170, value, generator, 2, 6))
    colour = rgb(hue, 130, value + 30, generator, 2, 6)
    line(canvas, np.array([[0.0, 0.0], [0.95 * length, 0.0]]) @ turn + base, colour, length / 80)
    for along in (0.3, 0.5, 0.7):
        for side in (-0.12, 0.12):
            vein = np.array([[along, 0.0], [along + 0.12, side]]) * length
            line(canvas, vein @ turn + base, colour, length / 160)


def draw_grass(canvas: np.ndarray, generator: np.random.Generator) -> None:
    """Draw a blade of grass that rises from the lower edge and bends."""
    size = len(canvas)
    start = np.array([size * generator.random(), size * 1.02])
    end = start + size * np.array([generator.normal(0, 0.3), -generator.uniform(0.3, 1.0)])
    bend = (start + end) / 2 + size * np.array([generator.normal(0, 0.1), 0.0])
    path = arc(start, bend, end)
    widths = size * generator.uniform(0.006, 0.014) * np.linspace(1, 0.1, len(path))
    fill(canvas, tube(path, widths), rgb(generator.uniform(34, 56), 150, generator.uniform(80, 190), generator, 2, 6))


def draw_insect(canvas: np.ndarray, where: np.ndarray, length: float, generator: np.random.Generator) -> None:
    """Draw a beetle at `where` (2,); `length` in pixels."""
    turn = rotation(generator.uniform(0, 2 * np.pi)).T
    black = rgb(10, 60, 30, generator, 5, 8)
    for along in (-0.25, 0.0, 0.25):
        line(canvas, np.array([[along, -0.5], [along, 0.5]]) * length @ turn + where, black, length / 14)
    body = petal_outline("round", length, 1.0, 0.8) - np.array([length / 2, 0.0])
    fill(canvas, body @ turn + where, rgb(generator.choice([4, 16, 60, 110]), 190, 120, generator, 4, 30))
    line(canvas, np.array([[-0.45, 0.0], [0.45, 0.0]]) * length @ turn + where, black, length / 14)
    dot(canvas, np.array([0.5 * length, 0.0]) @ turn + where, length * 0.17, black)


def _draw_stone(canvas: np.ndarray, where: np.ndarray, radius: float, generator: np.random.Generator) -> None:
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    rim = np.stack([1.4 * np.cos(angles), np.sin(angles)], 1) * generator.uniform(0.8, 1.1, (12, 1)) * radius
    value = generator.uniform(90, 170)
    fill(canvas, rim + where, rgb(20, 30, value - 25, generator, 4, 8))
    fill(canvas, 0.75 * rim + where - 0.12 * radius, rgb(20, 25, value, generator, 4, 8))


def photograph(canvas: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the canvas as a camera sees it: uneven light, shade or backlight, white balance, blur, grain."""
    size = len(canvas)
    cells = generator.uniform(0.72, 1.22, (2, 2))
    light = cv2.resize(cells.astype(np.float32), (8, 8), interpolation=cv2.INTER_LINEAR)
    weather = generator.random()
    if weather < 0.3:
        # sun through leaves
        light *= generator.choice([0.6, 1.1], (8, 8), p=[0.35, 0.65])
    elif weather < 0.45:
        light *= generator.uniform(0.5, 0.7)
    balance = generator.normal(1, 0.08, 3)
    factors = cv2.resize((light[..., None] * balance).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    picture = cv2.multiply(canvas, factors, dtype=cv2.CV_8U)
    if weather > 0.85:
        # against the light a veil lies over everything
        veil = generator.uniform(0.2, 0.4)
        picture = cv2.convertScaleAbs(picture, alpha=1 - veil, beta=235 * veil)
    if generator.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), size * generator.uniform(0.001, 0.005))
    strength = int(generator.integers(2, 10))
    grain = generator.integers(-strength, strength + 1, (size, size, 1), dtype=np.int16)
    return cv2.add(picture.astype(np.int16), np.repeat(grain, 3, axis=2), dtype=cv2.CV_8U)
