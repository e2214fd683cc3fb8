"""Random generators made from (seed, purpose, numbers) alone, never continued from an earlier draw.

So a run that was interrupted and resumed draws the same numbers as one that was not.
"""

import enum

import numpy as np


class Purpose(enum.IntEnum):
    """What a random draw is for; two purposes never share a random stream."""

    SPLIT = 0
    ORDER = 1
    AUGMENTATION = 2
    MIXING = 3
    DROPOUT = 4
    INITIALISATION = 5
    TEST_SPLIT = 6
    CALIBRATION = 7
    RESAMPLING = 8
    SEARCH = 9
    HALVES = 10


def keyed_sequence(seed: int, purpose: Purpose, *numbers: int) -> np.random.SeedSequence:
    """Return the seed sequence of (seed, purpose, numbers), for example (seed, AUGMENTATION, epoch, sample index)."""
    return np.random.SeedSequence([seed, int(purpose), *numbers])


def keyed_generator(seed: int, purpose: Purpose, *numbers: int) -> np.random.Generator:
    """Return a fresh generator that depends on the arguments alone."""
    return np.random.default_rng(keyed_sequence(seed, purpose, *numbers))


def keyed_integer(seed: int, purpose: Purpose, *numbers: int) -> int:
    """Return a 64-bit seed for libraries that take an integer."""
    return int(keyed_sequence(seed, purpose, *numbers).generate_state(1, np.uint64)[0])
