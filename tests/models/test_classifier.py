"""The model takes raw pixels, and refuses what its architecture cannot do by naming the key."""

import pytest
import timm
import torch

from common.errors import InputError
from models.classifier import build_classifier, meta_classifier, parameter_count, size_in_bytes
from models.layers import head_parameter_names


def test_uint8_and_float_pixels_are_normalised_inside():
    torch.manual_seed(0)
    model = build_classifier("test_efficientnet", 5, 32).eval()
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(model.backbone.pretrained_cfg[name])[:, None, None] for name in ("mean", "std"))
    expected = model.backbone((pixels / 255 - mean) / std)
    torch.testing.assert_close(model(pixels), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model(pixels.float()), model(pixels))


def test_the_normalisation_travels_in_the_state_dict():
    state = build_classifier("tf_efficientnet_lite0.in1k", 2, 32).state_dict()
    torch.testing.assert_close(state["mean"], torch.full((3,), 0.5))
    torch.testing.assert_close(state["std"], torch.full((3,), 0.5))


@pytest.mark.parametrize(
    ("architecture", "names"),
    [
        ("test_convnext", {"backbone.head.fc.weight", "backbone.head.fc.bias"}),
        ("test_vit", {"backbone.head.weight", "backbone.head.bias"}),
        ("test_resnet", {"backbone.fc.weight", "backbone.fc.bias"}),
    ],
)
def test_the_head_is_the_classifier(architecture, names):
    assert head_parameter_names(build_classifier(architecture, 3, 64)) == names


def test_sizes_are_those_of_the_saved_file(tmp_path):
    model = build_classifier("test_resnet", 3, 64)
    saved = sum(t.numel() for t in model.state_dict().values() if t.is_floating_point())
    assert size_in_bytes(model, 4) == 4 * saved
    assert size_in_bytes(model, 2) == 2 * saved
    meta = meta_classifier("test_resnet", 3, 64)
    assert (parameter_count(meta), size_in_bytes(meta)) == (parameter_count(model), size_in_bytes(model))


def test_swin_is_built_for_its_input_size():
    model = meta_classifier("swinv2_cr_tiny_ns_224", 3, 256)
    assert tuple(model.backbone.patch_embed.img_size) == (256, 256)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("resnet5O", 3, 64),
            "model.architecture=resnet5O: timm .* has no such model. The nearest names are resnet50, ",
        ),
        (("test_vit", 3, 600), "model.input_size=600: test_vit does not take it. The nearest is 592 or 608."),
        (("vgg11", 3, 64, 0.0, 0.1), "model.drop_path_rate: vgg11 has no such option. Set it to 0."),
        (("vgg11", 3, 64, 0.0, 0.0, True), "model.grad_checkpointing: vgg11 does not support it. Set it to false."),
    ],
)
def test_what_an_architecture_cannot_do_is_refused(arguments, message):
    with torch.device("meta"), pytest.raises(InputError, match=message):
        build_classifier(*arguments)


def test_grad_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = build_classifier("test_vit", 3, 64, grad_checkpointing=checkpointing).train()
        model(torch.full((2, 3, 64, 64), 99, dtype=torch.uint8)).square().sum().backward()
        gradients.append(model.backbone.head.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_every_tiny_model_of_timm_builds():
    for architecture in ("test_convnext", "test_efficientnet", "test_vit", "test_resnet"):
        assert timm.is_model(architecture)
        assert build_classifier(architecture, 3, 64).eval()(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape == (
            1,
            3,
        )


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_convnext", "test_vit", "mobilenetv3_small_050"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_last_layer_computes_in_float32_under_mixed_precision(architecture, dtype):
    torch.manual_seed(0)
    model = build_classifier(architecture, 5, 160 if architecture == "test_vit" else 32).eval()
    seen = []
    (name,) = {name.rpartition(".")[0] for name in head_parameter_names(model)}
    head = model.get_submodule(name)
    head.register_forward_hook(lambda _layer, inputs, output: seen.append((inputs[0], output)))
    size = 160 if architecture == "test_vit" else 32
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        logits = model(torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8))
    ((features, output),) = seen
    assert logits.dtype == torch.float32
    torch.testing.assert_close(output, features.float() @ head.weight.T + head.bias, rtol=1e-5, atol=1e-6)


def test_the_exact_head_draws_nothing_and_keeps_names():
    torch.manual_seed(0)
    model = build_classifier("test_efficientnet", 5, 32)
    after = torch.rand(3)
    torch.manual_seed(0)
    plain = timm.create_model("test_efficientnet", pretrained=False, num_classes=5)
    assert torch.equal(torch.rand(3), after)
    assert [name for name, _ in plain.named_parameters()] == [name for name, _ in model.backbone.named_parameters()]
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), model.backbone.parameters(), strict=True))


def test_mixed_precision_normalises_pixels_in_float32():
    model = build_classifier("test_efficientnet", 5, 32).eval()
    seen = []
    model.backbone.register_forward_pre_hook(lambda _backbone, inputs: seen.append(inputs[0]))
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        model(pixels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(pixels)
    assert torch.equal(*seen)
