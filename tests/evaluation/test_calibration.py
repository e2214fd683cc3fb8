import numpy as np
import pytest

from evaluation.calibration import calibrate_folds, expected_calibration_error, fit_temperature
from evaluation.metrics import cross_entropy
from prediction.logits import softmax


def test_calibration_error_by_hand():
    # two images of confidence 0.9, one right: gap 0.4; two of confidence 0.6, both right: gap 0.4
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    assert expected_calibration_error(probabilities, np.array([0, 1, 0, 0])) == pytest.approx(0.4)


def test_full_confidence_falls_into_the_last_bin():
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0.0


def test_the_temperature_undoes_a_scale():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (4000, 5))
    labels = np.array([generator.choice(5, p=row) for row in softmax(logits)])
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)


def test_each_fold_gets_the_temperature_of_the_others():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (4000, 5))
    labels = np.array([generator.choice(5, p=row) for row in softmax(logits)])
    folds = np.arange(4000) % 2
    temperature, scaled = calibrate_folds(3 * logits, labels, folds)
    assert temperature == fit_temperature(3 * logits, labels)
    other = fit_temperature(3 * logits[folds == 1], labels[folds == 1])
    np.testing.assert_array_equal(scaled[folds == 0], 3 * logits[folds == 0] / other)
    assert cross_entropy(scaled, labels) == pytest.approx(cross_entropy(logits, labels), rel=0.01)
