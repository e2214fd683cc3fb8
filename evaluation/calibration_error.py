"""The calibration error without the noise of its bins, and its interval."""

from dataclasses import dataclass

import numpy as np

from common.randomness import Purpose, keyed_generator
from evaluation.intervals import Interval

# of a bin; with fewer images in all there is no interval
IMAGES_PER_BIN, MOST_BINS = 20, 15

_DRAWS, _STEPS = 300, 40


@dataclass(frozen=True)
class CalibrationError:
    """The calibration error (a share), and its 95 % interval; None where images are too few."""

    value: float
    interval: Interval | None


def gap_of_bins(confidences: np.ndarray, correct: np.ndarray) -> CalibrationError:
    """Return the mean gap between confidence and accuracy over bins of equally many images, without its noise.

    `confidences` float (N,) of the answers, `correct` bool (N,). A bin has at least 20 images; there are at most 15.
    Even a perfect model shows a gap in each bin by chance, so the plain mean of gaps is too high (Kumar, Liang and Ma
    2019, arXiv:1909.10155). So sizes of the error are tried, with gaps in the observed proportions and with the
    opposite signs: how large a mean would chance make of each? The estimate is the size for which the observed mean is
    the median, the interval the sizes for which it is not among the 2.5 % at either end. NaN for N = 0.
    """
    if len(confidences) == 0:
        return CalibrationError(float("nan"), None)
    bins = bins_of(confidences)
    sizes = np.array([len(rows) for rows in bins])
    trusted = np.array([confidences[rows].mean() for rows in bins])
    right = np.array([correct[rows].sum() for rows in bins])
    observed = float(np.abs(right - sizes * trusted).sum() / sizes.sum())
    gaps = right / sizes - trusted
    pattern = gaps / observed if observed > 1e-9 else np.ones(len(bins))
    along, against = (_tried(sizes, trusted, sign * pattern, observed) for sign in (1, -1))
    value = along.value
    if len(confidences) < IMAGES_PER_BIN:
        return CalibrationError(value, None)
    low = min(along.low, against.low)
    high = max(along.high, against.high)
    return CalibrationError(value, (min(low, value), max(high, value)))


def bins_of(confidences: np.ndarray) -> list[np.ndarray]:
    """Return the rows int64 (n,) of each bin of `confidences` (N,), N > 0, from the least confident on."""
    count = min(max(len(confidences) // IMAGES_PER_BIN, 1), MOST_BINS)
    return np.array_split(np.argsort(confidences, kind="stable"), count)


@dataclass(frozen=True)
class _Sizes:
    """Sizes of the error that fit: the middle one, the least (infinite if none) and the largest (minus infinity)."""

    value: float
    low: float
    high: float


def _tried(sizes: np.ndarray, trusted: np.ndarray, pattern: np.ndarray, observed: float) -> _Sizes:
    """Return the sizes of the error that fit `observed` if the bins' gaps are `pattern` (B,) times a size."""
    noise = np.sqrt((sizes * np.maximum(trusted * (1 - trusted), 1 / (sizes + 2))).sum()) / sizes.sum()
    steps = np.linspace(max(observed - 6 * noise, 0.0), observed + 6 * noise, _STEPS)
    accuracies = np.clip(trusted + steps[:, None] * pattern, 0, 1)
    errors = (sizes * np.abs(accuracies - trusted)).sum(axis=1) / sizes.sum()
    generator = keyed_generator(0, Purpose.RESAMPLING)
    draws = generator.binomial(sizes, accuracies, size=(_DRAWS, *accuracies.shape))
    means = np.abs(draws - sizes * trusted).sum(axis=2) / sizes.sum()
    # of ties, which few images have, half count to either side
    equal = np.isclose(means, observed).mean(axis=0)
    above = (means > observed).mean(axis=0) + equal / 2
    fits = (above >= 0.025) & (above <= 0.975)
    half = int(np.argmax(above >= 0.5)) if (above >= 0.5).any() else len(errors) - 1
    if not fits.any():
        return _Sizes(float(errors[half]), np.inf, -np.inf)
    return _Sizes(float(errors[half]), float(errors[fits].min()), float(errors[fits].max()))
