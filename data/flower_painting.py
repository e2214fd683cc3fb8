"""Brush and colours of the drawn flowers: outlines, fills and lines on a canvas uint8 RGB (height, width, 3)."""

from collections.abc import Callable

import cv2
import numpy as np

Colour = tuple[int, int, int]

# half width of a petal or leaf at t = 0 (base) .. 1 (tip), as a share of its length
PETAL_SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round": lambda t: 0.42 * np.sin(np.pi * t**1.3) ** 0.6,
    "pointed": lambda t: 0.62 * t**0.7 * (1 - t) ** 0.8,
    "strap": lambda t: 0.15 * np.minimum(1, 6 * (1 - t)) ** 0.5 * np.minimum(1, 4 * t + 0.3),
    "spoon": lambda t: 0.06 + 0.36 * np.exp(-(((t - 0.78) / 0.17) ** 2)),
    "wedge": lambda t: 0.50 * t * np.minimum(1, 14 * (1 - t)) ** 0.5,
    "lobed": lambda t: 0.40 * np.sin(np.pi * t) ** 0.7 * (0.72 + 0.28 * np.cos(8 * np.pi * t)),
}


def rgb(
    hue: float, saturation: float, value: float, generator: np.random.Generator, hue_spread: float, spread: float
) -> Colour:
    """Return a colour near an OpenCV HSV triple (hue 0..180, saturation and value 0..255)."""
    hsv = [
        (hue + generator.normal(0, hue_spread)) % 180,
        np.clip(saturation + generator.normal(0, spread), 0, 255),
        np.clip(value + generator.normal(0, spread), 0, 255),
    ]
    red, green, blue = cv2.cvtColor(np.array([[hsv]]).astype(np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
    return int(red), int(green), int(blue)


def rotation(angle: float) -> np.ndarray:
    """Return the float64 (2, 2) matrix that turns by `angle` radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def petal_outline(shape: str, length: float, share: float, crowding: float, notch: float = 0.0) -> np.ndarray:
    """Return the outline float64 (points, 2) of a petal or leaf along the x axis.

    `share` < 1 gives an inner part, `crowding` < 1 a narrower one; `notch` is the depth of a cut in the tip as a share
    of the length.
    """
    t = 1 - np.linspace(1, 0, 28) ** 1.6
    half_width = PETAL_SHAPES[shape](t) * length * crowding * share
    along = t * length * (0.5 + 0.5 * share)
    if notch:
        depth = np.clip(1 - half_width / (1.2 * notch * length), 0, 1) * (t > 0.6)
        along -= notch * length * depth
        half_width, along = np.append(half_width, 0), np.append(along, (1 - notch) * length * (0.5 + 0.5 * share))
    return np.concatenate([np.stack([along, half_width], 1), np.stack([along, -half_width], 1)[::-1]])


def arc(start: np.ndarray, bend: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return points float64 (16, 2) of the quadratic Bezier curve from `start` to `end`."""
    t = np.linspace(0, 1, 16)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end


def tube(path: np.ndarray, half_widths: np.ndarray) -> np.ndarray:
    """Return the outline float64 (2 N, 2) of a stroke along `path` (N, 2) with half widths (N,)."""
    along = np.gradient(path, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    return np.concatenate([path + across * half_widths[:, None], (path - across * half_widths[:, None])[::-1]])


def fill(canvas: np.ndarray, outline: np.ndarray, colour: Colour) -> None:
    """Fill an outline (points, 2)."""
    cv2.fillPoly(canvas, [outline.round().astype(np.int32)], colour, cv2.LINE_AA)


def line(canvas: np.ndarray, points: np.ndarray, colour: Colour, width: float) -> None:
    """Draw a line through points (N, 2)."""
    cv2.polylines(canvas, [points.round().astype(np.int32)], False, colour, max(round(width), 1), cv2.LINE_AA)


def dot(canvas: np.ndarray, where: np.ndarray, radius: float, colour: Colour) -> None:
    """Fill a circle around a point (2,)."""
    cv2.circle(canvas, (int(where[0]), int(where[1])), max(round(radius), 1), colour, -1, cv2.LINE_AA)
