"""The order of an epoch is a function of (seed, epoch), can be entered anywhere, and weighs classes as asked."""

import numpy as np
import pytest

from data.loader import EpochBatches

LABELS = np.array([0] * 90 + [1] * 10)


def batches_of(sampler="shuffle", epoch=0, first=0, seed=0, size=8):
    batches = EpochBatches(np.arange(100), LABELS, size, sampler, seed)
    batches.epoch, batches.first_batch = epoch, first
    return list(batches)


def rows_of(batches):
    return [row for batch in batches for _, row in batch]


@pytest.mark.parametrize("sampler", ["shuffle", "balanced", "sqrt"])
def test_an_epoch_can_be_entered_anywhere(sampler):
    whole = batches_of(sampler, epoch=3)
    assert batches_of(sampler, epoch=3, first=5) == whole[5:]
    assert {epoch for batch in whole for epoch, _ in batch} == {3}


def test_shuffling_takes_each_image_once_and_differs_by_epoch_and_seed():
    first = rows_of(batches_of())
    assert sorted(first) == list(range(100))
    assert first == rows_of(batches_of())
    assert first != rows_of(batches_of(epoch=1))
    assert first != rows_of(batches_of(seed=1))
    assert first != sorted(first)


def test_the_last_batch_is_what_is_left():
    sizes = [len(batch) for batch in batches_of()]
    assert sizes == [8] * 12 + [4]
    assert len(EpochBatches(np.arange(100), LABELS, 8, "shuffle", 0)) == 13


@pytest.mark.parametrize(("sampler", "share"), [("balanced", 0.5), ("sqrt", 0.25)])
def test_samplers_weigh_classes(sampler, share):
    # weights 1/n give both classes one half; 1/sqrt(n) gives sqrt(90) : sqrt(10) = 3 : 1
    rows = [row for epoch in range(50) for row in rows_of(batches_of(sampler, epoch=epoch))]
    assert (LABELS[rows] == 1).mean() == pytest.approx(share, abs=0.03)
