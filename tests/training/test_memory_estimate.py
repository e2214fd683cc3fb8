"""The memory of training: what stays, what grows with the batch, and what the update of the weights takes."""

import pytest
import torch

from configs.compose import compose
from models.classifier import build_classifier
from tests.helpers import run_script
from training.memory_estimate import USABLE, TrainingMemory, training_memory
from training.optimizer import build_optimizer

pytestmark = pytest.mark.integration

SMALL = ["model.pretrained=false", "model.input_size=64", "model.drop_path_rate=0"]


def config_of(architecture, *overrides):
    return compose("config", [*SMALL, f"model.architecture={architecture}", *overrides])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lamb"])
def test_what_stays_is_what_a_real_optimizer_keeps(optimizer):
    config = config_of("test_convnext", f"training.optimizer={optimizer}")
    computed = training_memory(config, 7)
    model = build_classifier("test_convnext", 7, 64)
    real = build_optimizer(model, config.training)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    real.step()
    kept = [tensor for state in real.state.values() for tensor in state.values() if isinstance(tensor, torch.Tensor)]
    assert computed.weights == sum(tensor.nbytes for tensor in model.state_dict().values())
    assert computed.gradients == sum(parameter.nbytes for parameter in model.parameters())
    # small tensors take a whole block of memory each; some optimizers keep a constant beside their state
    assert computed.optimizer == pytest.approx(sum(-(-tensor.nbytes // 512) * 512 for tensor in kept), rel=0.01)


@pytest.mark.slow
def test_it_grows_with_what_costs_memory():
    plain = training_memory(config_of("test_convnext"), 7)
    larger = training_memory(config_of("test_convnext", "model.input_size=128"), 7)
    averaged = training_memory(config_of("test_convnext", "training.ema_decay=0.99"), 7)
    recomputed = training_memory(config_of("test_convnext", "model.grad_checkpointing=true"), 7)
    accumulated = training_memory(config_of("test_convnext", "training.accumulation_steps=2"), 7)
    freezing = ["model.architecture=test_convnext", "training.freeze_layers=0.5"]
    frozen = training_memory(compose("config", [*SMALL[1:], *freezing]), 7)
    assert larger.per_image == pytest.approx(4 * plain.per_image, rel=0.05)
    assert averaged.total(4) == plain.total(4) + plain.weights
    assert recomputed.per_image < 0.7 * plain.per_image
    assert accumulated.total(64) >= plain.total(64) + 0.9 * plain.gradients
    assert frozen.gradients < plain.gradients
    assert frozen.per_image < plain.per_image


@pytest.mark.parametrize(("architecture", "least", "most"), [("test_convnext", 0.53, 0.7), ("test_vit", 0.5, 0.8)])
def test_mixed_precision_keeps_more_than_half(architecture, least, most):
    size = "model.input_size=160" if architecture == "test_vit" else "model.input_size=64"
    config = config_of(architecture, size)
    full, mixed = training_memory(config, 7), training_memory(config, 7, torch.bfloat16)
    # layer norms stay in float32, and so do the weights, of which there are 16-bit copies besides
    assert least * full.per_image < mixed.per_image < most * full.per_image
    assert mixed.base > full.base
    assert mixed.optimizer == full.optimizer


@pytest.mark.parametrize("checkpointing", [False, True])
def test_other_batches_lie_on_the_line(checkpointing, monkeypatch):
    config = config_of("test_convnext", "model.input_size=224")
    line = training_memory(config, 7, torch.bfloat16, checkpointing)
    monkeypatch.setattr("training.memory_estimate._BATCHES", (1, 32))
    measured = training_memory(config, 7, torch.bfloat16, checkpointing)
    assert line.total(32) == pytest.approx(measured.total(32), rel=0.02)
    assert line.total(1) == pytest.approx(measured.total(1), rel=0.05)


def test_the_largest_batch_fits_and_one_more_does_not():
    memory = TrainingMemory(weights=1, gradients=1, optimizer=2, averages=0, base=10, per_image=10, update=30)
    card = 115 / USABLE
    assert memory.largest_batch(card) == 10
    assert memory.total(10) <= USABLE * card < memory.total(11)
    # the update of the weights must fit too, whatever the batch
    assert memory.total(1) == 30
    assert memory.largest_batch(29 / USABLE) == 0


@pytest.mark.slow
def test_info_prints_it():
    done = run_script("cli/flower_cli.py", "info", "model=efficientnet_lite0", "model.input_size=160")
    assert done.returncode == 0, done.stderr
    assert "tf_efficientnet_lite0.in1k at 160 px" in done.stdout
    assert "largest batch, float32  8 GB: " in done.stdout
