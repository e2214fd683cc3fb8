"""The judges' training: images read by threads give the same run each time, few optimizer groups, a scaled loss."""

# a None where a value should be fails the test like any other fault
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false

import dataclasses
import threading
import time
import zipfile

import numpy as np
import pytest
import torch

from competition.zip_writer import write_zip
from models.classifier import build_classifier
from prediction.pipeline import load_pipeline
from tests.conftest import stripes, write_picture
from tests.helpers import training_config
from tools.instant import instant
from training.linear_probe import REGULARISATION
from training.start_mix import FALLBACK, SHARES

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Twelve pictures of two classes, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("pictures")
    found = [(folder / f"{index}.png", index % 2) for index in range(12)]
    for index, (path, label) in enumerate(found):
        write_picture(path, stripes(label, index))
    found[5][0].write_bytes(b"")
    return found


def epoch_of(template_train, rows, seed=0):
    return list(template_train.batches(rows, 16, 5, np.random.RandomState(seed), False))


def test_threads_read_and_augment_and_their_order_changes_nothing(template_train, rows, monkeypatch, capsys):
    names, expected = set(), epoch_of(template_train, rows)
    real, delays = template_train.augment, np.random.default_rng(0)

    def slow(*arguments):
        names.add(threading.current_thread())
        time.sleep(delays.uniform(0, 0.02))
        return real(*arguments)

    monkeypatch.setattr(template_train, "augment", slow)
    for readers in (1, 8):
        monkeypatch.setitem(template_train.in_batches.__globals__, "READERS", readers)
        found = epoch_of(template_train, rows)
        assert [labels.tolist() for _, labels in found] == [labels.tolist() for _, labels in expected]
        assert all(torch.equal(one, other) for (one, _), (other, _) in zip(found, expected, strict=True))
    assert threading.main_thread() not in names
    assert sum(len(labels) for _, labels in expected) == 11
    assert "5.png: the file is empty; left out" in capsys.readouterr().err
    other = epoch_of(template_train, rows, seed=1)
    assert not torch.equal(other[0][0], expected[0][0])


def test_crops_keep_their_bounds(template_train):
    image = np.zeros((40, 60, 3), np.uint8)
    image[0, :, 0] = image[-1, :, 0] = 255
    for draws in (np.zeros(5), np.full(5, np.nextafter(1, 0))):
        for final in (False, True):
            assert template_train.augment(image, 16, draws, final).shape == (16, 16, 3)
    whole = template_train.augment(image, 40, np.array([np.nextafter(1, 0), 0, 0, 1, 0.5]), False)
    # with the largest draw, all of the shorter side
    assert whole[0].max() > 200 or whole[-1].max() > 200
    mirrored = template_train.augment(image, 40, np.array([np.nextafter(1, 0), 0, 0, 0, 0.5]), False)
    assert np.array_equal(mirrored, whole[:, ::-1])


@pytest.mark.parametrize("architecture", ["test_resnet", "test_convnext"])
def test_merged_groups_take_the_steps_of_single_ones(template_train, architecture):
    recipe = dataclasses.asdict(training_config(layer_decay=0.8, head_lr_multiplier=3.0, weight_decay=0.1))
    models = [build_classifier(architecture, 5, 160) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    merged = template_train.build_optimizer(models[0], recipe)
    twin = template_train.build_optimizer(models[1], recipe)
    single = torch.optim.AdamW(
        [{**group, "params": [parameter]} for group in twin.param_groups for parameter in group["params"]]
    )
    assert len(merged.param_groups) < len(single.param_groups) / 2
    keys = [(group["scale"], group["weight_decay"], group["in_backbone"]) for group in merged.param_groups]
    assert len(set(keys)) == len(keys)
    for step in range(3):
        for model, optimizer in zip(models, (merged, single), strict=True):
            generator = torch.Generator().manual_seed(step)
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * group["scale"]
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("known", [True, False])
def test_cuda_gets_the_fused_optimizer_where_torch_has_it(template_train, monkeypatch, known):
    """Torch before 2.0 does not know the word, and a card may not be able to."""
    real, asked = torch.optim.AdamW, []

    def optimizer(groups, **options):
        asked.append(options)
        if options and not known:
            raise TypeError("__init__() got an unexpected keyword argument 'fused'")
        return real(groups)

    monkeypatch.setattr(torch.optim, "AdamW", optimizer)
    recipe, model = dataclasses.asdict(training_config()), build_classifier("test_resnet", 5, 160)
    template_train.build_optimizer(model, recipe)
    assert asked == [{}]
    monkeypatch.setattr(torch.nn.Parameter, "is_cuda", True, raising=False)
    template_train.build_optimizer(model, recipe)
    assert asked[1:] == ([{"fused": True}] if known else [{"fused": True}, {}])


def test_float16_scales_the_loss_and_other_dtypes_do_not(utils):
    assert utils.loss_scaler("cpu", "float16").get_scale() == 2**12
    for dtype in (None, "bfloat16"):
        scaler = utils.loss_scaler("cpu", dtype)
        assert not scaler.is_enabled()
        assert scaler.scale(torch.ones(1)).item() == 1


def trained(template_train, rows, dtype, monkeypatch, **changes):
    """Train two epochs as on a card that computes in `dtype`, and return the weights and what they began with."""
    asked = []

    def choose(wanted, device):
        asked.append(wanted)
        return dtype

    monkeypatch.setattr(template_train, "choose_dtype", choose)
    torch.manual_seed(0)
    config = training_config(epochs=2, warmup_epochs=0, learning_rate=1e-3, ema_decay=0.0, use_amp=True, **changes)
    recipe = dataclasses.asdict(config) | {"seed": 0, "batch_size": 6, "input_size": 32, "pretrained": False}
    entry = {"architecture": "test_resnet", "arguments": {"num_classes": 2}, "input_size": 32, "crop_pct": 1.0}
    entry["fit"] = "crop"
    model = template_train.build_model(entry)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss_of = template_train.build_loss(recipe, np.array([6, 6]), CPU)
    after = template_train.train(model, entry, recipe, rows, [], loss_of, CPU)
    return before, after, asked


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_float16_trains_as_float32_does(template_train, rows, monkeypatch, clip):
    before, exact, _ = trained(template_train, rows, None, monkeypatch, clip_grad_norm=clip)
    _, half, asked = trained(template_train, rows, "float16", monkeypatch, clip_grad_norm=clip, amp_dtype="auto")
    assert asked == ["bfloat16"]
    names = [
        name for name, value in before.items() if value.is_floating_point() and not torch.equal(value, exact[name])
    ]
    moved = torch.cat([(exact[name] - before[name]).flatten() for name in names])
    also = torch.cat([(half[name] - before[name]).flatten() for name in names])
    assert torch.isfinite(also).all()
    assert torch.nn.functional.cosine_similarity(moved, also, dim=0) > 0.9
    _, _, asked = trained(template_train, rows, None, monkeypatch, amp_dtype="float16")
    assert asked == ["float16"]


def test_small_gradients_survive_float16(template_train, rows, monkeypatch):
    """A gradient of 1e-8 is zero in float16, unless the loss is scaled."""
    real = template_train.build_loss

    def tiny(*arguments):
        loss_of = real(*arguments)
        return lambda logits, targets: 1e-7 * loss_of(logits, targets)

    monkeypatch.setattr(template_train, "build_loss", tiny)
    before, after, _ = trained(template_train, rows, "float16", monkeypatch, weight_decay=0.0)
    first = next(name for name in before if name.endswith("weight"))
    assert not torch.equal(before[first], after[first])


@pytest.mark.parametrize(
    ("wanted", "validation", "share"), [(0.25, ["row"], 0.25), ("auto", ["row"], 0.3), ("auto", [], FALLBACK)]
)
def test_weights_are_mixed_with_the_start_as_in_the_kit(template_train, monkeypatch, wanted, validation, share):
    assert (template_train.START_SHARES, template_train.START_SHARE) == (SHARES, FALLBACK)
    model = build_classifier("test_efficientnet", 3, 32)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    end = {name: value + 1 for name, value in start.items()}
    # the best of two equal ones is the smaller
    answers = iter([0.5, 0.6, 0.6, 0.7, 0.7, 0.1])
    monkeypatch.setattr(template_train, "evaluate", lambda *_: next(answers))
    recipe = {"start_mix": wanted, "batch_size": 2}
    mixed = template_train.mix_with_start(end, start, model, {}, recipe, validation, CPU)
    for name, value in end.items():
        torch.testing.assert_close(mixed[name], value - share if value.is_floating_point() else value)


@pytest.mark.parametrize("head_init", ["random", "probe"])
def test_a_head_of_stages_is_standardised_with_and_without_a_probe(template_train, rows, head_init):
    entry = {"architecture": "test_efficientnet", "arguments": {"num_classes": 2}, "head": "second_order"}
    entry |= {"input_size": 32, "crop_pct": 1.0, "fit": "crop"}
    model = template_train.build_model(entry)
    classifier, reduction = (layer.weight.detach().clone() for layer in (model.last_layer(), model.head.reduction))
    recipe = {"head_init": head_init, "batch_size": 4}
    template_train.start_classifier(model, entry, recipe, rows, 2, CPU)
    assert torch.equal(model.last_layer().weight, classifier) is (head_init == "random")
    assert not torch.equal(model.head.reduction.weight, reduction)
    features, labels = template_train.start_features(model, entry, recipe, rows, CPU)
    assert len(labels) == 11
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(features.shape[1]), atol=1e-4, rtol=0)


@pytest.mark.integration
def test_of_a_model_without_training_the_judges_fit_the_classifier_alone(
    template_train, tiny, pictures, profile, tmp_path, monkeypatch, capsys
):
    made = instant(tiny("dataset.val_split=0"), ["stages"])
    assert made.regularisation != REGULARISATION
    pipeline = load_pipeline([made.path])
    write_zip(tmp_path / "s.zip", pipeline, profile, half=False)
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        archive.extractall(tmp_path / "z")
    submitted = template_train.load_weights(tmp_path / "z" / "model" / "best_model.pth")
    backbone = {name.removeprefix("backbone."): value for name, value in submitted.items() if "backbone" in name}
    torch.save(backbone, tmp_path / "start.pth")
    monkeypatch.setattr(template_train, "MODEL_DIR", tmp_path / "z" / "model")
    words = [str(pictures / "train"), str(pictures / "train.csv"), "--output", str(tmp_path / "m")]
    for more in ([], ["--weights", str(tmp_path / "start.pth"), "--epochs", "2"]):
        with pytest.raises(SystemExit, match=r"an unchanged network: give its --weights, and no --epochs"):
            template_train.main([*words, *more])
    assert template_train.main([*words, "--weights", str(tmp_path / "start.pth")]) == 0
    found = template_train.load_weights(tmp_path / "m" / "best_model.pth")
    assert all(torch.equal(found[f"backbone.{name}"], value) for name, value in backbone.items())
    for name in ("head.classifier.weight", "head.classifier.bias"):
        assert torch.allclose(found[name], submitted[name], rtol=0.02, atol=0.002)
    assert "epoch" not in capsys.readouterr().out
