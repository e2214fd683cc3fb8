"""Calibration: how well a model's probabilities match how often it is right, and the temperature that mends them.

The calibration error is the mean gap between confidence and accuracy, over bins with equally many images. Chance alone
makes gaps; `evaluation.calibration_error` takes out what it adds.
"""

from dataclasses import dataclass

import numpy as np

from common.randomness import Purpose, keyed_generator
from evaluation.calibration_error import CalibrationError, bins_of, gap_of_bins
from evaluation.metrics import cross_entropy
from prediction.logits import calibrated, softmax

# with fewer images nothing is fitted
FEWEST_IMAGES = 10

# of `temperature_source`
_VALIDATION_IMAGES = "validation images"

_FOLDS = 5

# The logarithm of a temperature is drawn towards 0 as by a normal prior with this deviation. It decides where all
# answers of a few images are right, which would make any temperature above 0 too high; beyond a hundred it hardly acts.
_PRIOR_DEVIATION = 0.5


@dataclass(frozen=True)
class Bin:
    """`images` answers of similar confidence: their mean confidence, and the share that is right."""

    images: int
    confidence: float
    right: float


@dataclass(frozen=True)
class Calibration:
    """A temperature fitted on `images` images, and the calibration error (a share) without and with it.

    The error with it is that of each of `folds` parts of the images with the temperature of the others.
    """

    temperature: float
    images: int
    folds: int
    error_before: float
    error_after: float


def reliability(confidences: np.ndarray, correct: np.ndarray) -> list[Bin]:
    """Return bins of equally many answers with `confidences` (N,), which are right or not, bool (N,), by confidence."""
    if len(confidences) == 0:
        return []
    return [
        Bin(len(rows), float(confidences[rows].mean()), float(correct[rows].mean())) for rows in bins_of(confidences)
    ]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> CalibrationError:
    """Return the calibration error of probabilities (N, C) for labels int64 (N,); NaN for N = 0."""
    if len(labels) == 0:
        return CalibrationError(float("nan"), None)
    return gap_of_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the divisor of `logits` (N, C) that gives the least log loss (Guo et al. 2017, arXiv:1706.04599).

    It is finite, from 0.05 to 20, also where all answers are right or few images are given; 1 for none.
    """
    if len(labels) == 0:
        return 1.0
    # importing the optimizer takes most of a second, and evaluating needs none
    from scipy.optimize import minimize_scalar

    def objective(log_t: float) -> float:
        prior = (log_t / _PRIOR_DEVIATION) ** 2 / (2 * len(labels))
        return cross_entropy(logits / np.exp(log_t), labels) + prior

    found = minimize_scalar(objective, bounds=(-3, 3), method="bounded")
    return float(np.exp(found.x))


def calibrate(logits: np.ndarray, labels: np.ndarray, seed: int) -> Calibration | None:
    """Return the temperature of logits (N, C) for labels int64 (N,); None for fewer than `FEWEST_IMAGES` images.

    Raises ValueError for logits that are not finite: no forward pass of the kit returns any.
    """
    if len(labels) < FEWEST_IMAGES:
        return None
    if not np.isfinite(logits).all():
        raise ValueError("logits that are not finite have no temperature")
    order = keyed_generator(seed, Purpose.CALIBRATION).permutation(len(labels))
    temperature, temperatures = calibrate_folds(logits, labels, order % _FOLDS)
    return Calibration(
        temperature=temperature,
        images=len(labels),
        folds=_FOLDS,
        error_before=calibration_error(softmax(logits), labels).value,
        error_after=calibration_error(calibrated(logits, temperatures[:, None]), labels).value,
    )


def calibrate_folds(logits: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the temperature of all folds, and for each image, float64 (N,), the one fitted on the other folds.

    `logits` are float (N, C), `labels` and `folds` int64 (N,).
    """
    of_others = np.empty(len(labels))
    for fold in np.unique(folds):
        own = folds == fold
        of_others[own] = fit_temperature(logits[~own], labels[~own])
    return fit_temperature(logits, labels), of_others


def of_validation_images(images: int) -> str:
    """Return how a checkpoint's `temperature_source` tells of the run's own validation images."""
    return f"{images} {_VALIDATION_IMAGES}"


def is_of_validation_images(source: str) -> bool:
    """Say whether a checkpoint's `temperature_source` tells of the run's own validation images."""
    count, _, rest = source.partition(" ")
    return count.isdecimal() and rest == _VALIDATION_IMAGES
