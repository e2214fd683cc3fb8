import numpy as np
import pytest

from evaluation.calibration import calibrate, calibrate_folds, calibration_error, fit_temperature, reliability
from evaluation.metrics import cross_entropy
from prediction.logits import softmax


def test_calibration_error_by_hand():
    # one bin of 20 answers of confidence 0.9, 12 of them right: the gap is 0.3 with a standard error of 0.11
    probabilities, labels = np.tile([0.9, 0.1], (20, 1)), np.repeat([0, 1], [12, 8])
    found = calibration_error(probabilities, labels)
    assert found.value == pytest.approx(0.3, abs=0.02)
    assert found.interval is not None
    assert found.interval[0] < 0.12 < 0.48 < found.interval[1]
    assert calibration_error(probabilities[:19], labels[:19]).interval is None
    assert np.isnan(calibration_error(np.empty((0, 2)), np.empty(0, np.int64)).value)


def test_chance_alone_is_no_calibration_error():
    generator = np.random.default_rng(0)
    errors, plain = [], []
    for _ in range(20):
        logits, labels = answers(generator, 300)
        errors.append(calibration_error(softmax(logits), labels))
        bins = reliability(softmax(logits).max(axis=1), logits.argmax(axis=1) == labels)
        plain.append(sum(it.images * abs(it.right - it.confidence) for it in bins) / 300)
    assert np.median([error.value for error in errors]) < 0.4 * np.median(plain)
    assert sum(error.interval is not None and error.interval[0] > 0 for error in errors) <= 2


def test_all_answers_right_leaves_an_interval_above_zero():
    found = calibration_error(np.tile([1.0, 0.0], (200, 1)), np.zeros(200, np.int64))
    assert found.value == 0
    assert found.interval is not None
    assert found.interval[1] > 0


def answers(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits (count, 5) and labels drawn with their probabilities."""
    logits = generator.normal(0, 2, (count, 5))
    return logits, np.array([generator.choice(5, p=row) for row in softmax(logits)])


@pytest.mark.parametrize("scale", [0.4, 3.0], ids=["underconfident", "overconfident"])
def test_calibrating_mends_the_error_on_images_that_it_did_not_see(scale):
    logits, labels = answers(np.random.default_rng(0), 1000)
    found = calibrate(scale * logits, labels, seed=0)
    assert found is not None
    assert found.temperature == pytest.approx(scale, rel=0.15)
    assert found.error_before > 0.1 > 0.05 > found.error_after


@pytest.mark.parametrize("right", [True, False])
def test_a_few_answers_that_are_all_right_or_all_wrong_keep_the_temperature_bounded(right):
    logits = np.tile([2.0, 0.0, -1.0], (12, 1))
    found = calibrate(logits, np.zeros(12, np.int64) if right else np.full(12, 2), seed=0)
    assert found is not None
    assert 0.05 <= found.temperature <= 20
    assert calibrate(logits[:9], np.zeros(9, np.int64), seed=0) is None


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
    temperature, of_others = calibrate_folds(3 * logits, labels, folds)
    assert temperature == fit_temperature(3 * logits, labels)
    other = fit_temperature(3 * logits[folds == 1], labels[folds == 1])
    assert set(of_others[folds == 0]) == {other}
    scaled = 3 * logits / of_others[:, None]
    assert cross_entropy(scaled, labels) == pytest.approx(cross_entropy(logits, labels), rel=0.01)


def test_without_answers_the_temperature_is_one_and_numbers_that_are_none_are_refused():
    assert fit_temperature(np.empty((0, 3)), np.empty(0, np.int64)) == 1
    with pytest.raises(ValueError, match="not finite"):
        calibrate(np.full((20, 3), np.nan), np.zeros(20, np.int64), seed=0)


def test_images_of_one_class_keep_the_temperature_bounded():
    logits = np.random.default_rng(0).normal(0, 2, (40, 3))
    found = calibrate(logits, np.zeros(40, np.int64), seed=0)
    assert found is not None
    assert 0.05 <= found.temperature <= 20
