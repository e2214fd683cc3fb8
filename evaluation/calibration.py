"""Calibration: how well a model's probabilities match how often it is right, and the temperature that mends them."""

import numpy as np

from evaluation.metrics import cross_entropy


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over equal bins of confidence (Guo et al. 2017)."""
    if len(labels) == 0:
        return float("nan")
    confidences = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidences * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=correct - confidences, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the divisor of `logits` (N, C) that gives the least log loss (Guo et al. 2017, arXiv:1706.04599)."""
    # importing the optimizer takes most of a second, and evaluating needs none
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: cross_entropy(logits / np.exp(log_t), labels), bounds=(-3, 3), method="bounded"
    )
    return float(np.exp(found.x))


def calibrate_folds(logits: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the temperature of all folds, and the logits of each fold divided by the temperature of the others.

    `logits` are float (N, C), `labels` and `folds` int64 (N,).
    """
    scaled = np.empty_like(logits)
    for fold in np.unique(folds):
        own = folds == fold
        scaled[own] = logits[own] / fit_temperature(logits[~own], labels[~own])
    return fit_temperature(logits, labels), scaled
