"""Parameter groups: every parameter once, rates by depth, and the stem's rate that the recipe means."""

import pytest
import torch

from common.errors import InputError
from models.classifier import build_classifier, meta_classifier
from tests.helpers import training_config
from training.optimizer import build_optimizer, parameter_groups, set_learning_rate

pytestmark = pytest.mark.integration


def scales_of(model, **options):
    groups = parameter_groups(model, training_config(**options))
    return {name: group["lr_scale"] for group in groups for name in group["names"]}


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_convnext", "test_vit", "test_resnet"])
def test_every_parameter_is_in_one_group(architecture):
    model = build_classifier(architecture, 3, 64)
    groups = parameter_groups(model, training_config(layer_decay=0.8))
    names = [name for group in groups for name in group["names"]]
    assert sorted(names) == sorted(name for name, _ in model.backbone.named_parameters())


@pytest.mark.parametrize(
    ("architecture", "size", "stem"),
    [
        ("convnext_base", 224, "stem.0.weight"),
        ("vit_base_patch16_224", 224, "patch_embed.proj.weight"),
        ("tf_efficientnetv2_l", 224, "conv_stem.weight"),
        ("swinv2_base_window12to16_192to256", 256, "patch_embed.proj.weight"),
    ],
)
def test_layer_decay_is_meant_for_twelve_groups(architecture, size, stem):
    # 0.8 over a ViT-B's 12 blocks, embedding and head: 0.8 ** 13, whatever the depth of the backbone
    scales = scales_of(meta_classifier(architecture, 3, size), layer_decay=0.8)
    assert scales[stem] == pytest.approx(0.8**13, rel=1e-6)
    assert max(scales.values()) == 1.0


def test_a_backbone_without_a_group_matcher_gets_layers_too():
    scales = scales_of(meta_classifier("caformer_s18", 3, 224), layer_decay=0.8)
    assert scales["stem.conv.weight"] == pytest.approx(0.8**13, rel=1e-6)


def test_the_head_multiplier_moves_the_classifier_alone():
    scales = scales_of(build_classifier("test_efficientnet", 3, 64), head_lr_multiplier=7)
    assert {name for name, scale in scales.items() if scale == 7} == {"classifier.weight", "classifier.bias"}
    assert set(scales.values()) == {1.0, 7.0}


def test_vectors_have_no_weight_decay():
    groups = parameter_groups(build_classifier("test_vit", 3, 64), training_config(weight_decay=0.05))
    for group in groups:
        expected = {0.0} if group["weight_decay"] == 0 else {0.05}
        assert {group["weight_decay"]} == expected
        assert all((parameter.ndim <= 1) <= (group["weight_decay"] == 0) for parameter in group["params"])


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_the_rate_of_a_step_reaches_every_group(name, kind):
    model = build_classifier("test_efficientnet", 3, 64)
    optimizer = build_optimizer(model, training_config(optimizer=name, layer_decay=0.5, head_lr_multiplier=2))
    assert isinstance(optimizer, kind)
    set_learning_rate(optimizer, 0.1)
    assert all(group["lr"] == pytest.approx(0.1 * group["lr_scale"]) for group in optimizer.param_groups)
    assert len({group["lr"] for group in optimizer.param_groups}) > 2


@pytest.mark.parametrize("name", ["nadamw", "lion", "lamb", "adan", "rmsprop", "lookahead_adamw"])
def test_optimizers_have_timms_names(name):
    model = build_classifier("test_vit", 3, 64)
    optimizer = build_optimizer(model, training_config(optimizer=name, layer_decay=0.5))
    set_learning_rate(optimizer, 0.01)
    before = model.backbone.head.weight.detach().clone()
    model(torch.zeros(1, 3, 64, 64)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(before, model.backbone.head.weight)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(InputError, match="Did you mean 'adamw'"):
        build_optimizer(build_classifier("test_vit", 3, 64), training_config(optimizer="adamww"))
