"""Which of the measured steps a plan in minutes counts with."""

import pytest

from training.run_times import seconds_without_other_work


@pytest.mark.parametrize("hindered", [0, 3])
@pytest.mark.parametrize("where", ["before", "after"])
def test_other_work_for_half_of_the_time_does_not_count(hindered, where):
    free, slow = [0.1] * 10, [0.1 * (1 + hindered)] * 10
    steps = slow + free if where == "before" else free + slow
    assert seconds_without_other_work(steps, 2) == pytest.approx(0.1)


def test_one_fast_moment_does_not_count():
    assert seconds_without_other_work([0.01] * 4 + [0.1] * 16, 0) == pytest.approx(0.1)


def test_batches_of_several_workers_come_in_groups():
    # three workers: a wait for the group, then two batches that are there already
    assert seconds_without_other_work([0.3, 0.0, 0.0] * 4, 3) == pytest.approx(0.1)
    assert seconds_without_other_work([0.3, 0.0], 4) == pytest.approx(0.15)
