import numpy as np
import pytest

from evaluation.epoch_choice import best_of, flattery


def test_the_first_of_equals_is_best_and_a_later_one_must_gain_min_delta():
    assert best_of(np.array([[0.5, 0.6, 0.6], [0.5, 0.5, 0.5]])).tolist() == [1, 0]
    assert best_of(np.array([0.5, 0.505, 0.51]), min_delta=0.01) == 2
    assert best_of(np.array([0.5, 0.505, 0.509]), min_delta=0.01) == 0


def test_the_choice_among_equally_good_epochs_flatters_and_is_corrected():
    generator = np.random.default_rng(0)
    raw, corrected = [], []
    for _ in range(40):
        # all epochs are right on each image with the same probability of 0.8
        hits = generator.random((12, 100)) < 0.8
        raw.append(hits.mean(axis=1).max())
        corrected.append(raw[-1] - flattery(hits))
    assert np.mean(raw) > 0.84
    assert np.mean(corrected) == pytest.approx(0.8, abs=0.015)


def test_an_epoch_that_is_far_better_flatters_not():
    hits = np.zeros((3, 200), bool)
    hits[1, :180] = True
    assert flattery(hits) == 0


@pytest.mark.parametrize("hits", [np.ones((1, 50)), np.ones((5, 1)), np.ones((5, 50)), np.zeros((5, 50))])
def test_no_choice_no_flattery(hits):
    assert flattery(hits.astype(bool)) == 0


def test_it_repeats_itself():
    hits = np.random.default_rng(0).random((12, 100)) < 0.8
    assert flattery(hits) == flattery(hits) > 0
