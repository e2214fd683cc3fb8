"""Abstention: which answers to look at, because the model is least sure of them (risk and coverage)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.intervals import wilson_interval

# shares of the images that keep their answer
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)

# shares of right answers to reach
TARGETS = (0.95, 0.98, 0.99)

# decimals of the confidences in answers.csv
CONFIDENCE_DIGITS = 6

# of a number that a decimal fraction cannot hold exactly
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Kept:
    """The `images` most confident answers, a share `coverage` of all, have a confidence of at least `threshold`.

    Of them the share `right` is right (95 % interval of Wilson).
    """

    coverage: float
    threshold: float
    images: int
    right: float
    interval: tuple[float, float]


def rounded_down(confidence: float, digits: int) -> str:
    """Return a confidence with `digits` decimals, or as many more as keep a wrong answer's share within a factor of 2.

    Rounded to the nearest number, a threshold could lie above the answers that it keeps.
    """
    for decimals in range(digits, CONFIDENCE_DIGITS + 1):
        shown = np.floor(confidence * 10**decimals + _ROUNDING) / 10**decimals
        if 1 - shown <= 2 * (1 - confidence) + _ROUNDING:
            break
    return f"{shown:.{decimals}f}"


def abstention_table(
    confidences: np.ndarray, correct: np.ndarray, coverages: Sequence[float] = COVERAGES
) -> list[Kept]:
    """Return what is left at each coverage of answers with `confidences` (N,), which are right or not, bool (N,).

    Answers of equal confidence stay together, so that a coverage may be passed.
    """
    ranked = np.argsort(-confidences, kind="stable")
    confidences, correct = confidences[ranked], correct[ranked]
    least = {round(coverage * len(ranked)) for coverage in coverages} - {0}
    counts = sorted({int((confidences >= confidences[count - 1]).sum()) for count in least}, reverse=True)
    return [_kept(confidences, correct, count) for count in counts]


def most_kept(confidences: np.ndarray, correct: np.ndarray, target: float) -> Kept | None:
    """Return the largest part of the answers of which a share `target` is right; None if there is none.

    Answers of equal confidence stay together.
    """
    ranked = np.argsort(-confidences, kind="stable")
    confidences, correct = confidences[ranked], correct[ranked]
    shares = np.cumsum(correct) / np.arange(1, len(correct) + 1)
    ends = np.append(confidences[1:] < confidences[:-1], True)
    reached = np.flatnonzero((shares >= target) & ends[: len(shares)])
    return _kept(confidences, correct, int(reached[-1]) + 1) if len(reached) else None


def _kept(confidences: np.ndarray, correct: np.ndarray, count: int) -> Kept:
    right = int(correct[:count].sum())
    return Kept(
        coverage=count / len(confidences),
        threshold=float(confidences[count - 1]),
        images=count,
        right=right / count,
        interval=wilson_interval(right, count),
    )
