"""Spearman's rank correlation with a bootstrap interval."""

from dataclasses import dataclass

import numpy as np

from common.randomness import Purpose, keyed_generator
from evaluation.intervals import CONFIDENCE, FEWEST_IMAGES

_RESAMPLES = 1000


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho of `count` pairs, with the 95 % interval from `low` to `high`."""

    rho: float
    low: float
    high: float
    count: int

    @property
    def is_clear(self) -> bool:
        """Say whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def rank_correlation(first: np.ndarray, second: np.ndarray) -> RankCorrelation | None:
    """Return the correlation of the ranks of two arrays (N,); equal values share the mean of their ranks.

    The interval holds the middle 95 % of 1,000 resamples of pairs (percentile bootstrap, Efron and Tibshirani 1993,
    chapter 13), drawn with a fixed seed. None for fewer than 20 pairs, or where an array has one value alone.
    """
    count = len(first)
    if count < FEWEST_IMAGES or len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        return None
    draws = keyed_generator(0, Purpose.RESAMPLING).integers(0, count, size=(_RESAMPLES, count))
    rhos = [_rho(first[rows], second[rows]) for rows in draws]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(rhos, [tail, 100 - tail])
    return RankCorrelation(_rho(first, second), float(low), float(high), count)


def _rho(first: np.ndarray, second: np.ndarray) -> float:
    """Return Pearson's correlation of the ranks; NaN where an array has one value alone."""
    ranks = [_ranks(values) for values in (first, second)]
    deviations = [values - values.mean() for values in ranks]
    norm = np.sqrt((deviations[0] ** 2).sum() * (deviations[1] ** 2).sum())
    return float((deviations[0] * deviations[1]).sum() / norm) if norm else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks float64 (N,), the mean of the places that equal values take."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]
