import numpy as np

from evaluation.epoch_choice import corrected_top1


def test_the_choice_among_equally_good_epochs_flatters_and_is_corrected():
    generator = np.random.default_rng(0)
    raw, corrected = [], []
    for _ in range(20):
        # all epochs are right on each image with the same probability of 0.8
        hits = generator.random((12, 100)) < 0.8
        raw.append(hits.mean(axis=1).max())
        corrected.append(corrected_top1(hits))
    assert np.mean(raw) > 0.84
    assert abs(np.mean(corrected) - 0.8) < 0.6 * abs(np.mean(raw) - 0.8)


def test_one_epoch_that_is_far_better_needs_no_correction():
    hits = np.zeros((3, 200), bool)
    hits[1, :180] = True
    assert abs(corrected_top1(hits) - 0.9) < 0.005
