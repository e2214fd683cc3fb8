"""What is frozen does not move, in weights and statistics, and costs no memory; all else learns."""

import pytest
import timm
import torch

from common.errors import InputError
from configs.compose import compose
from models.classifier import build_classifier
from training.freezing import frozen_parameter_names
from training.memory_estimate import training_memory
from training.resume import load_training_state
from training.train import train

pytestmark = pytest.mark.integration


@pytest.fixture
def trained(tiny, tmp_path):
    """Return a function that trains one epoch from given weights and returns the names of the tensors that moved."""
    weights = timm.create_model("test_efficientnet", num_classes=4).state_dict()
    torch.save(weights, tmp_path / "weights.pt")

    def train_and_compare(*overrides):
        source = ["model.pretrained=true", f"model.weights={tmp_path / 'weights.pt'}"]
        train(tiny("training.epochs=1", "training.learning_rate=0.1", *source, *overrides))
        after = load_training_state(tmp_path / "run" / "checkpoints" / "last.pt")["state"]["model"]
        return {name for name, before in weights.items() if not torch.equal(before, after[f"backbone.{name}"])}

    return train_and_compare


def test_frozen_epochs_move_the_classifier_alone(trained):
    assert trained("training.freeze_epochs=1") == {"classifier.weight", "classifier.bias"}


def test_frozen_layers_stay_and_the_others_move(trained):
    frozen = frozen_parameter_names(build_classifier("test_efficientnet", 4, 64), 0.5)
    moved = trained("training.freeze_layers=0.5")
    assert 0 < len(frozen) < len(moved)
    assert not frozen & {f"backbone.{name}" for name in moved}
    # the statistics of their batch normalisation stay too, those of the others do not
    assert "bn1.running_mean" not in moved
    assert any("running_mean" in name for name in moved)


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_convnext", "test_vit", "test_resnet"])
def test_the_classifier_is_never_frozen(architecture):
    model = build_classifier(architecture, 4, 64)
    for share in (0.0, 0.3, 0.999):
        frozen = frozen_parameter_names(model, share)
        assert not any("classifier" in name or "head.fc" in name for name in frozen)
        assert bool(frozen) == (share > 0)


def test_frozen_layers_save_memory():
    words = ["model.architecture=test_efficientnet", "model.input_size=64", "model.weights=hub"]
    plain = training_memory(compose("config", words), 7)
    frozen = training_memory(compose("config", [*words, "training.freeze_layers=0.5"]), 7)
    assert frozen.per_image < 0.8 * plain.per_image
    assert frozen.gradients < plain.gradients
    assert frozen.weights == plain.weights


def test_a_random_model_has_nothing_worth_keeping(tiny):
    with pytest.raises(InputError, match=r"training\.freeze_layers: would be ignored.*model\.pretrained=true"):
        tiny("model.pretrained=false", "training.freeze_layers=0.5")
