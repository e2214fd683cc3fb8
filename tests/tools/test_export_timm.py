"""The folder of timm: plain timm gives the checkpoint's answers, the card says what was recorded, training reads it."""

import dataclasses
import json

import pytest
import timm
import torch
from timm.data import resolve_model_data_config

from common.classes import ImageClass
from common.errors import InputError
from configs.compose import compose
from models.checkpoint import load_checkpoint, make_checkpoint, save_checkpoint
from models.classifier import build_classifier, classifier_of
from models.pretrained import load_pretrained
from tests.helpers import run_script
from tools.export import export_timm

CLASSES = [ImageClass(label, str(100 + label), f"花 {label}") for label in range(3)]


def written(folder, architecture, size, *words, temperature=1.7):
    """Write a checkpoint of random weights, and return its path."""
    words = [f"model.architecture={architecture}", f"model.input_size={size}", "model.drop_path_rate=0", *words]
    config = compose("config", words)
    torch.manual_seed(3)
    split = {"train": ["a.png"], "val": ["b.png"], "test": []}
    facts = {"classes": CLASSES, "class_counts": [5, 4, 9], "split": split, "corrections": {}}
    checkpoint = make_checkpoint(config, classifier_of(config.model, 3), facts, {}, epoch=2)
    path = folder / "run" / "checkpoints" / "best_model.pt"
    path.parent.mkdir(parents=True)
    save_checkpoint(dataclasses.replace(checkpoint, temperature=temperature, temperature_source="a test"), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        ("test_convnext", 64),
        ("test_vit", 96),
        ("test_efficientnet", 64),
        ("caformer_s18", 64),
        ("mobilenetv3_small_050", 64),
    ],
)
def test_timm_gives_the_logits_of_the_checkpoint(tmp_path, architecture, size):
    path = written(tmp_path, architecture, size)
    export_timm(path, tmp_path / "模型")
    model = timm.create_model(f"local-dir:{tmp_path / '模型'}", pretrained=True).eval()
    data = resolve_model_data_config(model)
    assert data["input_size"] == (3, size, size)
    images = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)
    mean, std = (torch.tensor(data[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        expected = load_checkpoint(path).build_model()(images) / 1.7
        assert model((images / 255 - mean) / std) == pytest.approx(expected, abs=1e-5)
    stated = json.loads((tmp_path / "模型" / "config.json").read_text(encoding="utf-8"))
    assert stated["label_names"] == ["花 0", "花 1", "花 2"]
    assert sorted(file.name for file in (tmp_path / "模型").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_a_head_that_timm_lacks_is_refused(tmp_path):
    path = written(tmp_path, "test_efficientnet", 64, "model.head=second_order")
    with pytest.raises(
        InputError, match=r"model.head=second_order: timm has no such head, .* model.head=pooled trains"
    ):
        export_timm(path, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_the_card_says_what_was_recorded(tmp_path):
    export_timm(written(tmp_path, "test_efficientnet", 64, "model.pretrained=false"), tmp_path / "folder")
    card = (tmp_path / "folder" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: timm\n")
    assert "3 classes, with 4 to 9 training images each" in card
    assert "started from random weights" in card
    assert "Not evaluated." in card


@pytest.mark.integration
def test_the_card_has_the_figures_of_its_own_evaluation(checkpoint, tmp_path):
    path = tmp_path / "run" / "checkpoints" / "best_model.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(checkpoint.read_bytes())
    done = run_script(
        "evaluate.py", "--checkpoint", path, "--output-dir", tmp_path / "run" / "evaluation", "device=cpu"
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    command = (
        "cli/flower_cli.py",
        "export",
        "--runtime",
        "timm",
        "--output",
        tmp_path / "folder",
        "--checkpoint",
        path,
    )
    done = run_script(*command)
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "folder" / "README.md").read_text(encoding="utf-8")
    assert f"top-1: {100 * metrics['top1']:.2f} % (" in card
    metrics["checkpoints"][0]["sha256"] = "0" * 64
    (tmp_path / "run" / "evaluation" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert run_script(*command).returncode == 0
    assert "Not evaluated." in (tmp_path / "folder" / "README.md").read_text(encoding="utf-8")


def test_a_folder_is_read_as_pretrained_weights(tmp_path):
    path = written(tmp_path, "test_efficientnet", 64)
    export_timm(path, tmp_path / "folder")
    stated = json.loads((tmp_path / "folder" / "config.json").read_text(encoding="utf-8"))
    stated["pretrained_cfg"]["mean"] = [0.1, 0.2, 0.3]
    (tmp_path / "folder" / "config.json").write_text(json.dumps(stated), encoding="utf-8")
    model = build_classifier("test_efficientnet", 5, 64)
    report = load_pretrained(model, str(tmp_path / "folder"), list("abcde"))
    assert report.initialised == ["classifier.bias", "classifier.weight"]
    assert model.mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    stem = load_checkpoint(path).state_dict["backbone.conv_stem.weight"]
    assert torch.equal(model.backbone.conv_stem.weight, stem)
    with pytest.raises(InputError, match=r"weights of test_efficientnet, not of test_resnet"):
        load_pretrained(build_classifier("test_resnet", 5, 64), str(tmp_path / "folder"), list("abcde"))
    with pytest.raises(InputError, match=r"no folder of timm, which has config\.json and model\.safetensors"):
        load_pretrained(model, str(tmp_path / "run"), list("abcde"))


@pytest.mark.parametrize("more", [["--precision", "fp16"], ["--tolerance", "0.1"], ["device=cpu"]])
def test_what_would_be_ignored_is_refused(checkpoint, tmp_path, more):
    words = ["export", "--checkpoint", checkpoint, "--runtime", "timm", "--output", tmp_path / "folder", *more]
    done = run_script("cli/flower_cli.py", *words)
    assert done.returncode == 2
    assert "takes --checkpoint and --output alone" in done.stderr
