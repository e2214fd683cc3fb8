"""What the findings of a report compute: correlations, and whether a difference is chance."""

import numpy as np
import pytest

from competition.report.findings.difference import Verdict, paired_difference
from evaluation.rank_correlation import rank_correlation


def test_a_correlation_has_an_interval_that_holds_it():
    generator = np.random.default_rng(0)
    first = generator.normal(size=200)
    strong = rank_correlation(first, first + generator.normal(size=200))
    assert strong
    assert strong.low < strong.rho < strong.high
    assert strong.is_clear
    assert 0.5 < strong.rho < 0.85
    none = rank_correlation(first, generator.normal(size=200))
    assert none
    assert not none.is_clear
    assert rank_correlation(first, np.zeros(200)) is None
    assert rank_correlation(first[:10], first[:10]) is None


def test_ties_share_their_ranks():
    # by hand: ranks 1.5, 1.5, 3.5, 3.5 and 1, 2, 3, 4 repeated ten times
    tied, plain = np.tile([0.0, 0.0, 1.0, 1.0], 10), np.tile([1.0, 2.0, 3.0, 4.0], 10)
    found = rank_correlation(tied, plain)
    assert found
    assert found.rho == pytest.approx(0.894427, abs=1e-6)


def test_a_difference_is_said_to_be_chance_only_if_its_interval_holds_zero():
    right, wrong = np.ones(100, dtype=bool), np.zeros(100, dtype=bool)
    assert paired_difference(right, wrong).verdict is Verdict.GAIN
    assert paired_difference(wrong, right).verdict is Verdict.LOSS
    assert paired_difference(right, right).verdict is Verdict.CHANCE
