"""Metrics on numbers worked out by hand."""

import numpy as np
import pytest

from evaluation import metrics
from prediction.logits import softmax

LOGITS = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [0.0, 0.0, 1.0]])
LABELS = np.array([0, 2, 0, 1])


def test_top_k_counts_labels_among_the_largest():
    assert metrics.top_k_accuracy(LOGITS, LABELS, 1) == 2 / 4
    assert metrics.top_k_accuracy(LOGITS, LABELS, 2) == 3 / 4
    assert metrics.top_k_accuracy(LOGITS, LABELS, 5) == 1.0


def test_confusion_has_true_classes_as_rows():
    matrix = metrics.confusion_matrix(LOGITS.argmax(axis=1), LABELS, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_per_class_accuracy_of_a_class_without_images_is_nan():
    accuracy = metrics.per_class_accuracy(np.array([[1, 1, 0], [0, 0, 0], [0, 1, 3]]))
    np.testing.assert_allclose(accuracy, [0.5, np.nan, 0.75])


def test_macro_f1_by_hand():
    # class 0: 2/(2+0+1) = 2/3, class 1: 0, class 2: 2/(2+1+0) = 2/3
    assert metrics.macro_f1(np.array([[1, 1, 0], [0, 0, 1], [0, 0, 1]])) == pytest.approx(4 / 9)


def test_macro_f1_counts_an_image_taken_for_a_class_without_images_once():
    # class 0: 2/(3 + 2), class 1: 1, class 2 has no images
    assert metrics.macro_f1(np.array([[2, 0, 1], [0, 2, 0], [0, 0, 0]])) == pytest.approx((0.8 + 1) / 2)
    assert np.isnan(metrics.macro_f1(np.zeros((2, 2), int)))


def test_macro_f1_leaves_out_classes_that_never_occur():
    assert metrics.macro_f1(np.array([[2, 0, 0], [0, 2, 0], [0, 0, 0]])) == 1.0


def test_cross_entropy_and_softmax_by_hand():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    np.testing.assert_allclose(softmax(logits), [[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    assert metrics.cross_entropy(logits, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2)
    assert np.isfinite(metrics.cross_entropy(np.array([[1e4, -1e4]]), np.array([0])))
