"""Heads that read the stages: their figures by hand, every layout of timm, and the way from training to the judges."""

import copy
import csv
import dataclasses

import numpy as np
import pytest
import timm
import torch

from common.errors import InputError
from configs.options import HEADS
from configs.timm_models import pretrained_config
from models.checkpoint import load_checkpoint, save_checkpoint
from models.classifier import build_classifier
from models.heads import StageHead, covariance_root, stages_of
from models.layers import head_parameter_names, layer_of_parameter
from prediction.pipeline import load_pipeline, predict_images
from prediction.runtimes import CONVERTERS, missing_packages
from tests.conftest import TINY
from tools.export import export
from training.freezing import frozen_parameter_names
from training.head_start import start_head
from training.run import set_up_run
from training.start import pretrained_model
from training.train import train

STAGE_HEADS = [head for head in HEADS if head != "pooled"]

# channels first, channels last, tokens with a class token, plain tokens
LAYOUTS = (
    "test_efficientnet",
    "test_convnext",
    pytest.param("swin_tiny_patch4_window7_224", marks=pytest.mark.integration),
    "test_vit",
    "test_resnet",
)


def images_for(name: str, count: int = 2) -> torch.Tensor:
    side = pretrained_config(name).input_size[-1]
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("head", STAGE_HEADS)
def test_each_layout_gives_logits_from_the_maps_of_its_stages(name, head):
    images = images_for(name)
    model = build_classifier(name, 5, images.shape[-1], head=head).eval()
    assert model.head is not None
    maps = model.stage_maps(model.normalised(images))
    channels = [model.backbone.feature_info[stage]["num_chs"] for stage in model.head.stages]
    assert [stage.shape[1] for stage in maps] == channels
    features = model.head.features(maps)
    np.testing.assert_allclose(features[:, : channels[0]].detach(), maps[0].mean(dim=(2, 3)).detach(), rtol=1e-5)
    assert model(images).shape == (2, 5)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_convnext", "test_vit"])
def test_every_parameter_is_used(name):
    """DDP ends with an error where one is not."""
    images = images_for(name)
    model = build_classifier(name, 5, images.shape[-1], head="second_order").train()
    model(images).sum().backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert set(layer_of_parameter(model)) == {name for name, _ in model.named_parameters()}
    assert not frozen_parameter_names(model, 0.99) & head_parameter_names(model)


def test_the_root_times_itself_is_the_covariance_over_its_trace():
    places = torch.randn(3, 6, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    root = covariance_root(places.float())
    expected = torch.stack([torch.cov(one, correction=0) / torch.cov(one, correction=0).trace() for one in places])
    torch.testing.assert_close((root @ root).double(), expected, atol=2e-3, rtol=0)
    assert covariance_root(torch.ones(1, 6, 9)).isfinite().all()


def test_many_stages_are_read_at_four():
    assert stages_of(12, "stages") == [2, 5, 8, 11]
    assert stages_of(5, "second_order") == [0, 1, 2, 3, 4]
    assert stages_of(5, "last_block") == [4]


def test_a_copy_reads_its_own_stages():
    """As EMA copies the model."""
    images = images_for("test_efficientnet")
    model = build_classifier("test_efficientnet", 5, images.shape[-1], head="stages").eval()
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.backbone.parameters():
            parameter.zero_()
    assert not torch.equal(model(images), other(images))


def test_features_are_float32_under_mixed_precision():
    images = images_for("test_efficientnet")
    model = build_classifier("test_efficientnet", 5, images.shape[-1], head="second_order").eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(images).dtype == torch.float32


def test_a_model_without_stages_is_refused(monkeypatch):
    """All models of today's timm have them; those of other releases may not."""
    monkeypatch.delattr(timm.models.EfficientNet, "forward_intermediates")
    with pytest.raises(InputError, match=r"model\.head=stages: timm gives no maps of the stages of .*pooled"):
        build_classifier("test_efficientnet", 5, 64, head="stages")


def test_dropout_acts_in_training_alone():
    head = StageHead("last_block", [0], [4], 3, drop_rate=0.5)
    maps = [torch.rand(8, 4, 3, 3)]
    assert torch.equal(head.eval()(maps), head(maps))
    assert not torch.equal(head.train()(maps), head(maps))


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    """Return best_model.pt of a tiny run with a second-order head."""
    from configs.compose import compose

    root = tmp_path_factory.mktemp("second_order")
    overrides = [
        "model.head=second_order",
        "training.head_init=probe",
        f"dataset.root={pictures}",
        f"output_dir={root}",
    ]
    train(compose("config", [*TINY, *overrides]))
    return root / "checkpoints" / "best_model.pt"


@pytest.mark.integration
def test_the_head_travels_in_the_checkpoint_and_is_standardised(trained):
    checkpoint = load_checkpoint(trained)
    assert checkpoint.architecture_arguments["head"] == "second_order"
    head = checkpoint.build_model().head
    assert head is not None
    assert head.kind == "second_order"
    assert head.feature_scale.min() > 0
    assert not torch.equal(head.feature_mean, torch.zeros_like(head.feature_mean))


@pytest.mark.integration
def test_mixed_precision_does_not_reach_the_components(tiny):
    """In 16 bits the sum over images overflowed without a word."""
    # large enough for maps of several places
    run = set_up_run(tiny("model.head=second_order", "training.head_init=probe", "model.input_size=96"))
    found = []
    for dtype in (None, torch.float16):
        model = pretrained_model(run)[0].eval()
        start_head(dataclasses.replace(run, precision=dataclasses.replace(run.precision, dtype=dtype)), model)
        assert model.head is not None
        assert model.head.reduction is not None
        found.append(model.head.reduction.weight)
    assert torch.equal(*found)


@pytest.mark.integration
@pytest.mark.parametrize("head", ["pooled", "last_block", "stages", "second_order"])
def test_each_head_learns_from_random_weights(pictures, tmp_path, head):
    """Dividing by what a network gives whose batch normalisation has averaged nothing made a loss of 20 and more."""
    from configs.compose import compose

    keys = [f"model.head={head}", "model.architecture=test_efficientnet", "model.input_size=32", "model.drop_rate=0"]
    keys += ["training.learning_rate=0.001", "training.epochs=2"]
    train(compose("config", [*TINY, *keys, f"dataset.root={pictures}", f"output_dir={tmp_path}"]))
    with (tmp_path / "history.csv").open(encoding="utf-8", newline="") as file:
        losses = [float(row["train_loss"]) for row in csv.DictReader(file)]
    assert losses[0] < 4
    assert losses[1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "suffix"), [("onnx", ".onnx"), ("openvino", ".xml")])
def test_other_runtimes_give_the_calibrated_probabilities(trained, test_folder, tmp_path, runtime, suffix):
    from data.inputs import find_inputs

    if missing_packages(CONVERTERS[runtime]):
        pytest.skip(f"{runtime} is not installed")
    warm = tmp_path / "warm.pt"
    save_checkpoint(dataclasses.replace(load_checkpoint(trained), temperature=1.7), warm)
    export(warm, runtime, "fp32", tmp_path / f"model{suffix}")
    inputs = find_inputs([test_folder])
    expected, found, plain = (
        predict_images(load_pipeline([path]), inputs).probabilities
        for path in (warm, tmp_path / f"model{suffix}", trained)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected - plain).max() > 1e-3
    assert (expected.argmax(axis=1) == plain.argmax(axis=1)).all()
