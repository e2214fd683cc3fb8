"""Parameter groups: every parameter once, rates by depth, and the stem's rate that the recipe means."""

import copy

import pytest
import torch

from common.errors import InputError
from models.classifier import build_classifier, meta_classifier
from tests.helpers import training_config
from training.adamw import create_moments
from training.optimizer import build_optimizer, load_optimizer, parameter_groups, set_learning_rate, step_unless

pytestmark = pytest.mark.integration

ONE, ZERO = torch.ones(()), torch.zeros(())


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


def give_gradients(model, step):
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator) if parameter.requires_grad else None


def run_steps(optimizer, model, steps):
    for step in steps:
        give_gradients(model, step)
        set_learning_rate(optimizer, 0.01)
        optimizer.step()


def tensors_of(optimizer):
    return {
        f"{number}.{name}": value.clone()
        for number, slots in optimizer.state_dict()["state"].items()
        for name, value in slots.items()
    }


def named_state(optimizer):
    saved = optimizer.state_dict()
    pairs = [pair for group in saved["param_groups"] for pair in zip(group["names"], group["params"], strict=True)]
    return {name: saved["state"][number] for name, number in pairs}


def assert_equal_tensors(first, second):
    assert first.keys() == second.keys()
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []


def twins(**options):
    """Return two equal models with their optimizers: the second is torch's own with the same groups."""
    torch.manual_seed(0)
    first, second = build_classifier("test_vit", 3, 64), build_classifier("test_vit", 3, 64)
    second.load_state_dict(first.state_dict())
    config = training_config(layer_decay=0.7, head_lr_multiplier=2, **options)
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[config.optimizer]
    rest = {"fused": True} if config.optimizer == "adamw" else {"momentum": 0.9, "nesterov": True}
    groups = parameter_groups(second, config)
    return first, build_optimizer(first, config), second, kind(groups, lr=1e-3, **rest)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_steps_are_those_of_torch(name):
    model, ours, other, theirs = twins(optimizer=name)
    for frozen in (model, other):
        frozen.backbone.patch_embed.requires_grad_(False)
    create_moments(ours)
    for optimizer, trained in ((ours, model), (theirs, other)):
        run_steps(optimizer, trained, range(3))
        trained.backbone.patch_embed.requires_grad_(True)
    create_moments(ours)
    for optimizer, trained in ((ours, model), (theirs, other)):
        run_steps(optimizer, trained, range(3, 6))
    assert_equal_tensors(model.state_dict(), other.state_dict())
    assert_equal_tensors(tensors_of(ours), tensors_of(theirs))


def test_a_state_of_torchs_adamw_is_read_and_goes_on():
    model, ours, other, theirs = twins()
    run_steps(theirs, other, range(3))
    model.load_state_dict(other.state_dict())
    load_optimizer(ours, copy.deepcopy(theirs.state_dict()))
    run_steps(ours, model, range(3, 5))
    run_steps(theirs, other, range(3, 5))
    assert_equal_tensors(model.state_dict(), other.state_dict())


@pytest.mark.parametrize("name", ["adamw", "lamb", "lookahead_adamw"])
def test_a_state_fits_other_groups(name):
    model = build_classifier("test_vit", 3, 64)
    optimizer = build_optimizer(model, training_config(optimizer=name, layer_decay=0.5))
    run_steps(optimizer, model, range(2))
    other = build_optimizer(model, training_config(optimizer=name, layer_decay=0.9, weight_decay=0.2))
    load_optimizer(other, optimizer.state_dict())
    before, after = named_state(optimizer), named_state(other)
    assert before.keys() == after.keys()
    for parameter, slots in before.items():
        assert_equal_tensors(
            {slot: value for slot, value in slots.items() if torch.is_tensor(value)},
            {slot: value for slot, value in after[parameter].items() if torch.is_tensor(value)},
        )
    # what the optimizer counts for a group is state, what the config says is not
    assert {group["weight_decay"] for group in other.param_groups} == {0.0, 0.2}
    assert other.param_groups[0].get("step") == optimizer.param_groups[0].get("step")
    assert other.param_groups[0].get("lookahead_step") == optimizer.param_groups[0].get("lookahead_step")


def test_a_state_of_another_model_is_refused():
    optimizer = build_optimizer(build_classifier("test_vit", 3, 64), training_config())
    other = build_optimizer(build_classifier("test_resnet", 3, 64), training_config())
    for first, second in ((optimizer, other), (other, optimizer)):
        with pytest.raises(ValueError, match="other parameters"):
            load_optimizer(first, second.state_dict())


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("steps_before", [0, 2])
def test_a_flag_on_the_device_stops_a_step(name, steps_before):
    model, optimizer, *_ = twins(optimizer=name)
    for group in optimizer.param_groups:
        group["fused"] = True
    create_moments(optimizer)
    run_steps(optimizer, model, range(steps_before))
    weights, moments = {n: v.clone() for n, v in model.state_dict().items()}, tensors_of(optimizer)
    give_gradients(model, 9)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    step_unless(optimizer, ONE)
    assert_equal_tensors(weights, model.state_dict())
    assert_equal_tensors(moments, tensors_of(optimizer))
    give_gradients(model, 9)
    step_unless(optimizer, ZERO)
    assert all(torch.isfinite(value).all() for value in tensors_of(optimizer).values())
    assert not torch.equal(weights["backbone.head.weight"], model.backbone.head.weight)
    assert not hasattr(optimizer, "found_inf")


def test_a_warm_up_of_the_backbone_leaves_the_classifiers_rate():
    model = build_classifier("test_efficientnet", 3, 64)
    optimizer = build_optimizer(model, training_config(backbone_warmup_epochs=2, head_lr_multiplier=2))
    set_learning_rate(optimizer, 0.1, backbone_factor=0.25)
    rates = {name: group["lr"] for group in optimizer.param_groups for name in group["names"]}
    in_head = {name: rate for name, rate in rates.items() if name.startswith("classifier.")}
    assert list(in_head.values()) == pytest.approx([0.2] * len(in_head))
    others = [rate for name, rate in rates.items() if name not in in_head]
    assert others == pytest.approx([0.025] * len(others))
