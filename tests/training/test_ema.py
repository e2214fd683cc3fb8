"""The average of the weights: timm's numbers, from lists that are made once; and statistics that can be put back."""

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d, EvoNorm2dB0
from timm.utils import ModelEmaV3
from torch import nn

from models.classifier import build_classifier
from training.ema import AveragedModel
from training.norm_statistics import NormStatistics

ONE, ZERO = torch.ones(()), torch.zeros(())


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_classifier("test_efficientnet", 4, 32).train()


def change(model, step):
    """Change weights and statistics as a step does."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
        model(torch.randint(0, 256, (4, 3, 32, 32), generator=generator, dtype=torch.uint8))


def differences(first, second):
    return [name for name, value in first.state_dict().items() if not torch.equal(value, second.state_dict()[name])]


def test_the_average_is_timms_bit_for_bit(model):
    ours, theirs = AveragedModel(model, 0.7), ModelEmaV3(model, decay=0.7, use_warmup=True)
    for step in range(8):
        change(model, step)
        ours.update(step)
        theirs.update(model, step=step + 1)
        assert differences(ours.module, theirs.module) == []
    assert len(differences(ours.module, model)) > 20


def test_the_average_under_a_flag_differs_in_the_last_bit_only(model):
    plain, flagged = AveragedModel(model, 0.7), AveragedModel(model, 0.7)
    for step in range(8):
        change(model, step)
        plain.update(step)
        flagged.update(step, skip=ZERO)
    for name, value in plain.module.state_dict().items():
        torch.testing.assert_close(flagged.module.state_dict()[name], value, rtol=1e-6, atol=1e-6)


def test_a_flag_leaves_the_average_as_it_is(model):
    average = AveragedModel(model, 0.7)
    change(model, 0)
    average.update(0)
    before, weights = copy.deepcopy(average.module), copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    average.update(1, skip=ONE)
    assert differences(before, average.module) == []
    assert differences(weights, model) == [name for name, _ in model.named_parameters()]


def test_statistics_are_put_back_even_if_they_are_not_finite(model):
    statistics, before = NormStatistics(model), copy.deepcopy(model)
    for put_back in (statistics.restore, lambda: statistics.restore_if(ONE)):
        statistics.keep()
        model(torch.full((4, 3, 32, 32), float("nan")))
        changed = {name for name, _ in model.named_buffers() if "running" in name or "batches" in name}
        assert set(differences(before, model)) == changed
        put_back()
        assert differences(before, model) == []


def test_statistics_stay_if_nothing_was_wrong(model):
    statistics = NormStatistics(model)
    statistics.keep()
    change(model, 0)
    after = copy.deepcopy(model)
    statistics.restore_if(ZERO)
    assert differences(after, model) == []


LAYERS = {
    "BatchNorm": lambda: nn.BatchNorm2d(3),
    "InstanceNorm": lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
    "EvoNorm": lambda: EvoNorm2dB0(3),
    "BatchNorm with activation": lambda: BatchNormAct2d(3),
}


@pytest.mark.parametrize("name", list(LAYERS))
def test_layers_that_count_are_known(name):
    layer = LAYERS[name]().train()
    statistics, before = NormStatistics(layer), copy.deepcopy(layer)
    statistics.keep()
    layer(torch.randn(4, 3, 5, 5) + 2)
    assert differences(before, layer) != []
    statistics.restore()
    assert differences(before, layer) == []


def test_constants_are_left_alone():
    layer, mask = nn.BatchNorm2d(3), torch.zeros(5)
    layer.register_buffer("mask", mask)
    statistics = NormStatistics(layer)
    statistics.keep()
    mask.fill_(1)
    statistics.restore()
    assert mask.tolist() == [1] * 5
