"""The memory of training, computed without any, equals what a real forward pass keeps."""

import pytest
import torch

from configs.compose import compose
from models.classifier import build_classifier
from tests.helpers import run_script
from training.memory_estimate import saved_bytes, training_memory

SMALL = ["model.pretrained=false", "model.input_size=64", "model.drop_path_rate=0"]


def config_of(architecture, *overrides):
    return compose("config", [*SMALL, f"model.architecture={architecture}", *overrides])


@pytest.mark.parametrize("architecture", ["test_convnext", "test_efficientnet", "test_vit"])
def test_what_is_computed_is_what_a_real_pass_keeps(architecture, monkeypatch):
    config = config_of(architecture)
    on_meta = training_memory(config, 7)
    model = build_classifier(architecture, 7, 64).train()
    assert on_meta.weights == sum(tensor.nbytes for tensor in model.state_dict().values())
    assert on_meta.gradients == sum(parameter.nbytes for parameter in model.parameters())
    assert on_meta.optimizer == 2 * on_meta.gradients
    kept: dict[int, torch.Tensor] = {}
    weights = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}

    def remember(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    sizes = []
    for images in (2, 3):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            output = model.backbone(torch.rand(images, 3, 64, 64)).sum()
        sizes.append(sum(tensor.untyped_storage().nbytes() for tensor in kept.values()))
        del output
    assert on_meta.per_image == pytest.approx(sizes[1] - sizes[0], rel=0.05)


@pytest.mark.integration
def test_it_grows_with_what_costs_memory():
    plain = training_memory(config_of("test_convnext"), 7)
    larger = training_memory(config_of("test_convnext", "model.input_size=128"), 7)
    averaged = training_memory(config_of("test_convnext", "training.ema_decay=0.99"), 7)
    recomputed = training_memory(config_of("test_convnext", "model.grad_checkpointing=true"), 7)
    halved = training_memory(config_of("test_convnext"), 7, torch.bfloat16)
    assert larger.per_image == pytest.approx(4 * plain.per_image, rel=0.05)
    assert averaged.fixed == plain.fixed + plain.weights
    assert recomputed.per_image < 0.7 * plain.per_image
    assert halved.per_image == pytest.approx(plain.per_image / 2, rel=0.1)
    assert halved.fixed == plain.fixed


def test_the_largest_batch_fits_and_one_more_does_not():
    memory = training_memory(config_of("test_convnext"), 7)
    card = memory.fixed + 10.5 * memory.per_image
    assert memory.largest_batch(card) == 10
    assert memory.total(10) <= card < memory.total(11)
    assert memory.largest_batch(0) == 0


def test_a_batch_keeps_more_than_none():
    config = config_of("test_vit")
    with torch.device("meta"):
        model = build_classifier("test_vit", 7, 64).train()
    assert 0 < saved_bytes(model, config, 1, 7) < saved_bytes(model, config, 2, 7)


@pytest.mark.integration
def test_info_prints_it():
    done = run_script("cli/flower_cli.py", "info", "model=efficientnet_lite0", "model.input_size=160")
    assert done.returncode == 0, done.stderr
    assert "tf_efficientnet_lite0.in1k at 160 px" in done.stdout
    assert "largest batch, float32  8 GB: " in done.stdout
