"""Faster forms of albumentations' transforms, which take the same arguments and draw from the same distributions.

A config names them as it names those of albumentations: `RandomFog: {transform: FastRandomFog, ...}`.
"""

import functools
import math
from statistics import NormalDist
from typing import Any

import albumentations
import cv2
import numpy as np

# values of the noise bank, 8 MB a process: those of 600 x 600 x 3 pixels begin at one of a million places
NOISE_VALUES = 1 << 21

# points of the coarse grid of FastElasticTransform per standard deviation of its blur: fewer would show
POINTS_PER_SIGMA = 2


class FastRandomFog(albumentations.RandomFog):
    """RandomFog with the same draws and the same pixels, much faster.

    Albumentations blends the whole image with white once for each of about a thousand discs. What a pixel becomes
    depends only on its value and on how many discs lie over it.
    """

    def apply(
        self,
        img: np.ndarray,
        particle_positions: list[tuple[int, int]],
        radiuses: list[int],
        intensity: float,
        **_: Any,
    ) -> np.ndarray:
        """Return uint8 (height, width, 3) of an image of that shape."""
        discs = _discs_over_pixels(img.shape[:2], particle_positions, radiuses)
        shades = _blended_with_white(self.alpha_coef * intensity, int(discs.max()))
        foggy = np.take(shades, (discs << 8)[..., None] + img)
        side = max(3, min(img.shape[:2]) // 30) | 1
        return cv2.GaussianBlur(foggy, (side, side), 0)


def _discs_over_pixels(shape: tuple[int, int], centres: list[tuple[int, int]], radiuses: list[int]) -> np.ndarray:
    """Return int32 `shape`: how many discs (centre x, y, radius in pixels) lie over each pixel."""
    # a centre lies at most one pixel outside
    margin = max(radiuses, default=0) + 1
    counts = np.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), np.int32)
    for (x, y), radius in zip(centres, radiuses, strict=True):
        top, left, side = y + margin - radius, x + margin - radius, 2 * radius + 1
        counts[top : top + side, left : left + side] += _disc(int(radius))
    return counts[margin : margin + shape[0], margin : margin + shape[1]]


@functools.cache
def _disc(radius: int) -> np.ndarray:
    """Return int32 (2 * radius + 1, 2 * radius + 1): 1 where OpenCV draws a filled circle."""
    side = 2 * radius + 1
    return cv2.circle(np.zeros((side, side), np.uint8), (radius, radius), radius, (1,), -1).astype(np.int32)


def _blended_with_white(alpha: float, most: int) -> np.ndarray:
    """Return uint8 ((most + 1) * 256): each value after 0, 1, ... `most` blends with a share `alpha` of white."""
    shades = np.empty((most + 1, 256), np.uint8)
    shades[0] = np.arange(256)
    white = np.full(256, 255, np.uint8)
    for number in range(most):
        shades[number + 1] = cv2.addWeighted(white, alpha, shades[number], 1 - alpha, 0).ravel()
    return shades.ravel()


class FastRandomShadow(albumentations.RandomShadow):
    """RandomShadow with the same draws and the same pixels, much faster."""

    def apply(self, img: np.ndarray, vertices_list: list[np.ndarray], intensities: np.ndarray, **_: Any) -> np.ndarray:
        """Return uint8 (height, width, 3) of an image of that shape."""
        shadowed = img.copy()
        for vertices, intensity in zip(vertices_list, intensities, strict=True):
            mask = cv2.fillPoly(np.zeros(img.shape[:2], np.uint8), [vertices.astype(np.int32)], (255,))
            darker = (np.arange(256) * (1 - intensity)).astype(np.uint8)
            cv2.copyTo(cv2.LUT(shadowed, darker), mask, shadowed)
        return shadowed


class FastGaussNoise(albumentations.GaussNoise):
    """GaussNoise, much faster: its values are a piece of a fixed bank of normal draws, from a random place on.

    Sums are rounded; albumentations cuts fractions of the noise off, which takes 4 % from a spread of 10.
    """

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw `sigma` and `mean` (in pixel values) and `noise`, float32 of the image's shape with spread 1."""
        sigma = 255 * self.py_random.uniform(*self.std_range)
        mean = 255 * self.py_random.uniform(*self.mean_range)
        height, width, channels = params["shape"]
        noise = _piece_of_noise((height, width, channels if self.per_channel else 1), self.random_generator)
        return {"sigma": sigma, "mean": mean, "noise": np.broadcast_to(noise, params["shape"])}

    def apply(self, img: np.ndarray, sigma: float, mean: float, noise: np.ndarray, **_: Any) -> np.ndarray:
        """Return uint8 (height, width, 3) of an image of that shape."""
        return cv2.addWeighted(img, 1, np.ascontiguousarray(noise), sigma, mean, dtype=cv2.CV_8U)


def _piece_of_noise(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Return float32 `shape` from a random place of the bank; it repeats where an image has more values."""
    count = math.prod(shape)
    start = int(generator.integers(max(NOISE_VALUES - count, 0) + 1))
    piece = _noise_bank()[start : start + count]
    return piece.reshape(shape) if len(piece) == count else np.resize(piece, shape)


@functools.cache
def _noise_bank() -> np.ndarray:
    """Return float32 (NOISE_VALUES,): normal draws, which are the same in every process."""
    return np.random.default_rng(0).standard_normal(NOISE_VALUES, np.float32)


class FastElasticTransform(albumentations.ElasticTransform):
    """ElasticTransform, much faster: the smooth displacement is drawn on a coarse grid and enlarged.

    Its spread, its reach and its growth at the borders are those of albumentations, which computes every pixel. Noise
    that is not normal, approximate blurs and narrow ones (sigma below 4 pixels) are left to albumentations.
    """

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw float32 (height, width) maps: where each pixel comes from."""
        step = int(self.sigma / POINTS_PER_SIGMA)
        if step < 2 or self.approximate or self.noise_distribution != "gaussian":
            return super().get_params_dependent_on_data(params, data)
        height, width = params["shape"][:2]
        scale = self.alpha / self._largest_of(2 * height * width)
        # albumentations, too, blurs both directions as one tall image
        shifts = self._smooth_noise(height * (1 if self.same_dxdy else 2), width, step) * scale
        columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        return {"map_x": columns + shifts[:height], "map_y": rows + shifts[-height:]}

    def apply(self, img: np.ndarray, map_x: np.ndarray, map_y: np.ndarray, **_: Any) -> np.ndarray:
        """Return uint8 (height, width, 3) of an image of that shape."""
        return cv2.remap(img, map_x, map_y, self.interpolation, borderMode=self.border_mode, borderValue=self.fill)

    def _largest_of(self, count: int) -> float:
        """Draw the largest absolute value of `count` normal draws, by which albumentations divides them."""
        return NormalDist().inv_cdf((1 + self.py_random.random() ** (1 / count)) / 2)

    def _smooth_noise(self, height: int, width: int, step: int) -> np.ndarray:
        """Return float32 (height, width): normal noise of each pixel, blurred with `sigma` pixels.

        A point of the grid is the mean of `step` x `step` pixels. Beyond the border, a pixel of the border repeats: the
        outermost points are means of `step` pixels, those in the corners are single pixels.
        """
        rows, columns = -(-height // step) + 2, -(-width // step) + 2
        noise = self.random_generator.standard_normal((rows, columns), np.float32)
        noise[1:-1] /= step**0.5
        noise[:, 1:-1] /= step**0.5
        noise = cv2.GaussianBlur(noise, (0, 0), self.sigma / step, borderType=cv2.BORDER_REPLICATE)
        large = cv2.resize(noise, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
        return large[step : step + height, step : step + width]
