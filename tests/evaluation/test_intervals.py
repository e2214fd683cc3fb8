"""Intervals on cases worked out by hand, and on those in which they once lied; benchmarks/coverage.py has the rest."""

import numpy as np
import pytest

from evaluation.intervals import (
    balanced_accuracy_interval,
    macro_f1_interval,
    paired_gain,
    paired_interval,
    paired_interval_over_cuts,
    wilson_interval,
)
from evaluation.metrics import macro_f1, per_class_accuracy


def test_wilson_interval_of_the_textbook():
    # 8 of 10: centre (0.8 + 0.19207) / 1.38415, half width 0.22671 (Wilson 1927 with z = 1.95996)
    low, high = wilson_interval(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(5, 5)[1] == 1.0


def long_tailed_confusion() -> np.ndarray:
    """Return counts (20, 20): 60 to 5 images a class, three quarters right, the others in the next class."""
    counts = np.linspace(60, 5, 20).round().astype(int)
    matrix = np.diag(np.round(0.75 * counts).astype(int))
    return matrix + np.roll(np.diag(counts - np.diag(matrix)), 1, axis=1)


def test_macro_f1_lies_in_the_middle_of_its_interval():
    matrix = long_tailed_confusion()
    interval = macro_f1_interval(matrix)
    assert interval is not None
    below, above = macro_f1(matrix) - interval[0], interval[1] - macro_f1(matrix)
    assert min(below, above) > 0.4 * (below + above)


def test_balanced_accuracy_is_less_certain_where_a_class_is_rare():
    matrix = np.diag([90, 90, 9]) + np.roll(np.diag([10, 10, 1]), 1, axis=1)
    interval, of_all = balanced_accuracy_interval(matrix), wilson_interval(189, 210)
    assert interval is not None
    assert interval[0] < float(np.nanmean(per_class_accuracy(matrix))) < interval[1]
    assert interval[1] - interval[0] > 1.5 * (of_all[1] - of_all[0])


def test_all_right_is_not_certain():
    matrix = np.diag([10, 10, 10])
    for interval in (macro_f1_interval(matrix), balanced_accuracy_interval(matrix)):
        assert interval is not None
        assert interval == (pytest.approx(wilson_interval(30, 30)[0], abs=0.01), 1.0)


def test_all_wrong_is_not_certain():
    matrix = np.roll(np.diag([10, 10, 10]), 1, axis=1)
    for interval in (macro_f1_interval(matrix), balanced_accuracy_interval(matrix)):
        assert interval is not None
        assert interval[0] == 0
        assert 0.02 < interval[1] < 0.2


def test_an_image_a_class_is_as_certain_as_so_many_images():
    found = macro_f1_interval(np.eye(40, dtype=int))
    assert found is not None
    assert found == (pytest.approx(wilson_interval(40, 40)[0], abs=0.03), 1.0)


def test_too_few_images_have_no_interval():
    assert macro_f1_interval(np.diag([6, 6, 6])) is None
    assert macro_f1_interval(np.diag([1] * 20 + [0] * 10)) is None
    assert macro_f1_interval(np.zeros((2, 2), int)) is None
    assert balanced_accuracy_interval(np.zeros((3, 3), int)) is None


def test_paired_gain_of_the_formula():
    # 100 images, 10 better, 4 worse: p = 10.5/102 and 4.5/102 (Agresti and Min 2005)
    hits, baseline = np.ones(100, bool), np.ones(100, bool)
    baseline[:10], hits[10:14] = False, False
    found = paired_gain(hits, baseline)
    half = 1.959964 * np.sqrt((15 / 102 - (6 / 102) ** 2) / 102)
    assert found.points == pytest.approx(6)
    assert (found.low, found.high) == (pytest.approx(100 * (6 / 102 - half)), pytest.approx(100 * (6 / 102 + half)))


def test_no_difference_on_few_images_is_not_proof_of_equality():
    found = paired_gain(np.ones(30, bool), np.ones(30, bool))
    assert found.low < -5
    assert found.high > 5


def as_pair(hits: np.ndarray, baseline: np.ndarray) -> tuple[dict[str, bool], dict[str, bool]]:
    """Return both by image id."""
    method, other = ({str(row): bool(hit) for row, hit in enumerate(values)} for values in (hits, baseline))
    return method, other


def test_seeds_that_disagree_widen_the_interval():
    generator = np.random.default_rng(0)
    baseline = generator.random(400) < 0.8
    hits = [np.where(generator.random(400) < share, True, baseline) for share in (0.2, 0.2, 0.2)]
    alike = paired_interval([as_pair(one, baseline) for one in hits])
    unlike = [np.where(generator.random(400) < share, True, baseline) for share in (0.0, 0.2, 0.6)]
    wide = paired_interval([as_pair(one, baseline) for one in unlike])
    assert alike[0] > 0
    assert wide[1] - wide[0] > 3 * (alike[1] - alike[0])
    # two seeds are too few to say how much seeds vary: the interval is that of the images
    two = paired_interval([as_pair(one, baseline) for one in unlike[1:]])
    assert two[1] - two[0] < 0.2


def test_seeds_with_images_of_their_own_are_compared_by_their_means():
    generator = np.random.default_rng(0)
    pairs = []
    for seed in range(3):
        names = [f"{seed}_{image}" for image in range(200)]
        baseline = generator.random(200) < 0.7
        hits = baseline | (generator.random(200) < 0.3)
        pairs.append((dict(zip(names, hits, strict=True)), dict(zip(names, baseline, strict=True))))
    low, high = paired_interval(pairs)
    assert 0 < low < 0.09 < high < 0.3


def test_identical_methods_over_seeds_are_not_proven_equal():
    hits = np.ones(100, bool)
    low, high = paired_interval([as_pair(hits, hits)] * 3)
    assert low == pytest.approx(-high)
    assert 0.01 < high < 0.06


def test_one_seed_has_the_interval_of_its_images():
    hits, baseline = np.arange(50) % 5 > 0, np.arange(50) % 4 > 0
    found = paired_gain(hits, baseline)
    expected = pytest.approx((found.low / 100, found.high / 100))
    assert paired_interval([as_pair(hits, baseline)]) == expected


def test_cuts_without_a_difference_are_not_proven_equal():
    right = {f"{number}": number % 10 > 0 for number in range(100)}
    mean, (low, high) = paired_interval_over_cuts([[(right, right)], [(right, right)]])
    assert mean == 0
    assert low < -0.005 < 0.005 < high


def test_images_that_only_one_of_two_answered_do_not_count_over_cuts():
    method, base = {"a": True, "b": True, "c": True}, {"a": True, "b": False, "d": False}
    mean, _ = paired_interval_over_cuts([[(method, base)]])
    assert mean == 0.5
