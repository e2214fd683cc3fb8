"""The learning rate at the corners of its schedule."""

import pytest

from tests.helpers import training_config
from training.schedule import Schedule, backbone_factor_at, build_schedule, learning_rate_at


def test_warm_up_rises_linearly_to_the_peak():
    schedule = Schedule("cosine", peak=1.0, minimum=0.0, warmup_steps=4, total_steps=12)
    assert [learning_rate_at(step, schedule) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_cosine_is_halfway_in_the_middle_and_minimal_at_the_end():
    schedule = Schedule("cosine", peak=1.0, minimum=0.1, warmup_steps=4, total_steps=12)
    assert learning_rate_at(8, schedule) == pytest.approx(0.55)
    assert learning_rate_at(12, schedule) == pytest.approx(0.1)
    assert learning_rate_at(99, schedule) == pytest.approx(0.1)


def test_linear_and_constant():
    assert learning_rate_at(9, Schedule("linear", 1.0, 0.0, 0, 12)) == pytest.approx(0.25)
    assert learning_rate_at(9, Schedule("constant", 1.0, 0.0, 0, 12)) == 1.0


def test_no_warm_up_starts_at_the_peak():
    assert learning_rate_at(0, Schedule("cosine", 1.0, 0.0, 0, 12)) == 1.0


def test_a_warm_up_longer_than_the_run_is_cut_to_half():
    config = training_config(epochs=2, warmup_epochs=3)
    schedule = build_schedule(config, steps_per_epoch=10)
    assert (schedule.warmup_steps, schedule.total_steps) == (10, 20)
    assert learning_rate_at(10, schedule) == config.learning_rate


def test_a_minimum_above_the_peak_is_the_peak():
    schedule = build_schedule(training_config(learning_rate=1e-7, min_lr=1e-6, warmup_epochs=0), 10)
    assert learning_rate_at(99999, schedule) == 1e-7


def test_the_backbones_own_warm_up_takes_the_place_of_the_schedules():
    schedule = build_schedule(
        training_config(epochs=4, warmup_epochs=1, backbone_warmup_epochs=2, learning_rate=1.0, scheduler="constant"), 4
    )
    rates = [learning_rate_at(step, schedule) * backbone_factor_at(step, schedule) for step in range(10)]
    assert rates == pytest.approx([step / 9 for step in range(1, 9)] + [1, 1])
    assert learning_rate_at(4, schedule) == 1.0


def test_the_backbone_rises_with_the_classifier_unless_told_otherwise():
    schedule = build_schedule(training_config(epochs=4, warmup_epochs=1), 4)
    assert {backbone_factor_at(step, schedule) for step in range(16)} == {1.0}


def test_a_backbone_warm_up_longer_than_the_run_is_cut_to_half():
    assert build_schedule(training_config(epochs=2, backbone_warmup_epochs=5), 10).backbone_warmup_steps == 10
