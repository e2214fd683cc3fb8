"""Metrics: pure functions on numpy arrays; accuracies are fractions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


def top_k_accuracy(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Return the fraction of rows whose label is among the `k` largest logits.

    `logits` (N, C), `labels` int (N,). k is limited to the number of classes. Of equal logits the lower class comes
    first, as in argmax. Returns NaN for N = 0.
    """
    if len(labels) == 0:
        return float("nan")
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return float((ranked == labels[:, None]).any(axis=1).mean())


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return counts int64 (C, C): rows are true classes, columns predicted ones."""
    flat = np.bincount(labels * num_classes + predicted, minlength=num_classes * num_classes)
    return flat.reshape(num_classes, num_classes)


def per_class_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Return each class's recall (C,); NaN for a class without images."""
    totals = matrix.sum(axis=1)
    return np.divide(np.diag(matrix), totals, out=np.full(len(matrix), np.nan), where=totals > 0)


def macro_f1(matrix: np.ndarray) -> float:
    """Return the mean over classes of 2TP / (2TP + FP + FN), over the classes that occur as truth or prediction."""
    hits = np.diag(matrix)
    denominators = matrix.sum(axis=0) + matrix.sum(axis=1)
    occurs = denominators > 0
    return float((2 * hits[occurs] / denominators[occurs]).mean()) if occurs.any() else float("nan")


def wilson_interval(correct: float, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927); (0, 1) for no trials."""
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = correct / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))


def bootstrap_interval(
    values: np.ndarray, statistic: Callable[[np.ndarray], float], resamples: int = 1000, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the percentile interval of `statistic(rows of values)` over resampled rows; a fixed seed repeats it."""
    generator = np.random.default_rng(0)
    draws = [statistic(values[generator.integers(0, len(values), len(values))]) for _ in range(resamples)]
    tail = (1 - confidence) / 2
    return float(np.quantile(draws, tail)), float(np.quantile(draws, 1 - tail))


def paired_interval(
    pairs: Sequence[tuple[Mapping[str, bool], Mapping[str, bool]]], resamples: int = 2000, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval of the mean difference in accuracy between two methods, by a two-level bootstrap.

    Each pair is one seed: whether method and baseline are right, by image id. Seeds are resampled, then images: the
    same images for all seeds if all seeds measured the same ones, else within each seed (Davison and Hinkley 1997,
    section 3.8).
    """
    gains = [
        np.array([float(method[name]) - float(baseline[name]) for name in sorted(method.keys() & baseline.keys())])
        for method, baseline in pairs
    ]
    shared = all(method.keys() == pairs[0][0].keys() for method, _ in pairs)
    generator = np.random.default_rng(0)
    draws = np.empty(resamples)
    for resample in range(resamples):
        seeds = generator.integers(0, len(gains), len(gains))
        chosen = generator.integers(0, len(gains[0]), len(gains[0])) if shared else None
        means = [
            gains[seed][generator.integers(0, len(gains[seed]), len(gains[seed])) if chosen is None else chosen].mean()
            for seed in seeds
        ]
        draws[resample] = np.mean(means)
    tail = (1 - confidence) / 2
    return float(np.quantile(draws, tail)), float(np.quantile(draws, 1 - tail))


@dataclass(frozen=True)
class Gain:
    """A paired difference in top-1 on the same images, with its 95 % interval, in percentage points."""

    points: float
    low: float
    high: float


def paired_gain(hits: np.ndarray, baseline: np.ndarray) -> Gain:
    """Return the gain of `hits` bool (N,) over `baseline` bool (N,), which say whether each image is right."""
    method, other = ({str(row): bool(hit) for row, hit in enumerate(values)} for values in (hits, baseline))
    low, high = paired_interval([(method, other)])
    return Gain(100 * float(hits.mean() - baseline.mean()), 100 * low, 100 * high)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log probability of the labels, in nats; NaN for N = 0."""
    if len(labels) == 0:
        return float("nan")
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())
