"""A difference between two sets of answers to the same images, and what may be said of it."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from evaluation.intervals import paired_gain


class Verdict(Enum):
    """What an interval says of a difference."""

    GAIN = 1
    CHANCE = 0
    LOSS = -1


@dataclass(frozen=True)
class Difference:
    """A difference in accuracy with its 95 % interval, all shares."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Say whether the interval excludes 0, and on which side."""
        if self.low > 0:
            return Verdict.GAIN
        return Verdict.LOSS if self.high < 0 else Verdict.CHANCE


def paired_difference(hits: np.ndarray, baseline: np.ndarray) -> Difference:
    """Return the difference of `hits` bool (N,) to `baseline` bool (N,), which answered the same images."""
    gain = paired_gain(hits, baseline)
    return Difference(gain.points / 100, gain.low / 100, gain.high / 100)
