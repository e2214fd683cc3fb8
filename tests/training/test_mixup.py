"""Mixup and CutMix: any batch size, keyed, and targets that say what the pixels show."""

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from tests.helpers import training_config
from training.mixup import mix_batch, mixes


def draw(config, images, labels, seed=0):
    return mix_batch(images, one_hot(labels, 4).float(), config, np.random.default_rng(seed))


def flat_images(values):
    return torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8).contiguous()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("alphas", [{"mixup_alpha": 0.4}, {"cutmix_alpha": 1.0}])
def test_targets_are_the_mean_of_what_is_seen(size, alphas):
    # image k is flat with value 50k and label k, so the mean pixel tells the expected label
    labels = torch.arange(size) % 4
    images = flat_images([50 * int(label) for label in labels])
    for seed in range(20):
        mixed, targets = draw(training_config(**alphas), images, labels, seed)
        assert mixed.shape == images.shape
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(size))
        seen = mixed.float().mean(dim=(1, 2, 3)) / 50
        expected = (targets * torch.arange(4)).sum(dim=1)
        torch.testing.assert_close(seen, expected, atol=1e-3, rtol=0)


def test_the_draw_is_a_function_of_the_generator():
    config = training_config(mixup_alpha=0.4, cutmix_alpha=0.4)
    images, labels = flat_images([0, 50, 100, 150]), torch.arange(4)
    first, again, other = (draw(config, images, labels, seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_both_alphas_give_both_kinds():
    config = training_config(mixup_alpha=0.4, cutmix_alpha=0.4)
    images, labels = flat_images([0, 50, 100, 150]), torch.arange(4)
    kinds = [draw(config, images, labels, seed)[0].dtype for seed in range(200)]
    assert 70 < kinds.count(torch.uint8) < 130


def test_mixing_ends_before_the_last_epochs():
    config = training_config(epochs=10, mixup_alpha=0.2, mix_off_epochs=3)
    assert [mixes(config, epoch) for epoch in (0, 6, 7, 9)] == [True, True, False, False]
    assert not mixes(training_config(epochs=10), 0)
