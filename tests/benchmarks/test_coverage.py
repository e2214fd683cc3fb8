"""Intervals hold the truth as often as they say, by a simulation with known truth."""

from collections import defaultdict

import numpy as np
import pytest

from benchmarks.coverage import PARTS, Outcome, choice_rows, summary


def test_the_table_shows_coverage_sides_and_what_is_too_few():
    sides = [(False, False)] * 18 + [(True, False), (False, True)]
    found = [Outcome("top-1", 20, "a", below, above) for below, above in sides]
    found += [Outcome("macro F1", 20, "a", False, False, True), Outcome("macro F1", 50, "a", False, False)]
    assert summary(found, detail=False) == [
        "| figure | 20 | 50 |",
        "|---|---|---|",
        "| macro F1 | too few | 100.0 (0.0, 0.0) |",
        "| top-1 | 90.0 (5.0, 5.0) |  |",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_coverage_is_95_within_the_error_of_the_simulation(part):
    covered: dict[str, list[bool]] = defaultdict(list)
    for images in (100, 300, 1000):
        for item in PARTS[part](200, images, 5):
            if not item.too_few and "old" not in item.figure:
                covered[item.figure].append(not (item.below or item.above))
    for figure, values in covered.items():
        # outcomes of one model are alike: they count for half
        error = 2.5 * np.sqrt(0.05 * 0.95 / (len(values) / 2))
        # pseudo-images make gains of few images and seeds conservative
        highest = 0.99 if "gain" in figure else 0.975
        assert 0.93 - error < np.mean(values) < highest + error, figure


@pytest.mark.slow
def test_the_corrected_choice_is_less_biased_than_the_measured_one():
    rows = [row.split("|") for row in choice_rows(160, 300, 5)]
    measured, corrected = (np.mean([float(row[column]) for row in rows]) for column in (4, 5))
    assert measured > 0.8
    assert abs(corrected) < measured / 3
