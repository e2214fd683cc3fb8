import numpy as np
import pytest

from evaluation.abstention import abstention_table, most_kept, rounded_down

CONFIDENCES = np.array([0.9, 0.5, 0.8, 0.6, 0.7, 0.7, 0.4, 0.3, 0.2, 0.1])
CORRECT = np.array([True, False, True, True, True, False, False, True, False, False])


def test_the_most_confident_answers_stay():
    found = abstention_table(CONFIDENCES, CORRECT, (1.0, 0.5, 0.2))
    assert [(it.images, it.threshold, it.right) for it in found] == [(10, 0.1, 0.5), (5, 0.6, 0.8), (2, 0.8, 1.0)]


def test_a_share_that_rounds_to_no_image_is_left_out():
    assert [it.images for it in abstention_table(CONFIDENCES[:2], CORRECT[:2], (1.0, 0.1))] == [2]


def test_the_largest_part_that_reaches_a_target_keeps_equal_confidences_together():
    # of the two answers of 0.7 one is wrong; the first alone would reach the target
    assert most_kept(CONFIDENCES, CORRECT, 0.99) == abstention_table(CONFIDENCES, CORRECT, (0.2,))[0]
    found = most_kept(CONFIDENCES, CORRECT, 0.8)
    assert found is not None
    assert (found.images, found.threshold) == (5, 0.6)
    assert most_kept(CONFIDENCES, np.zeros(10, bool), 0.95) is None


def test_equal_confidences_stay_together_in_the_table():
    found = abstention_table(np.array([0.9, 0.8, 0.8, 0.8]), np.array([True, True, False, False]), (1.0, 0.5, 0.25))
    assert [(it.images, it.threshold, it.right) for it in found] == [(4, 0.8, 0.5), (1, 0.9, 1.0)]


@pytest.mark.parametrize(
    ("confidence", "digits", "shown"),
    [
        (0.5, 3, "0.500"),
        (0.12345, 3, "0.123"),
        (0.99928, 2, "0.999"),
        (0.99928, 3, "0.999"),
        (0.999995, 3, "0.99999"),
        (1.0, 2, "1.00"),
        (0.29, 2, "0.29"),
    ],
)
def test_a_threshold_is_never_shown_above_the_answers_that_it_keeps(confidence, digits, shown):
    assert rounded_down(confidence, digits) == shown
