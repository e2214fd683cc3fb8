"""A checkpoint as a folder that plain timm reads: model.safetensors, config.json, and a model card.

`timm.create_model("local-dir:<folder>", pretrained=True)` gives the logits of the checkpoint, divided by its
temperature, for normalised images. The folder has the form of the Hugging Face hub.
"""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import save_for_hf
from torch import nn

from common.errors import InputError, RunError
from common.files import write_text
from models.checkpoint import Checkpoint
from models.classifier import Classifier
from tools.model_card import model_card

FILES = ("model.safetensors", "config.json", "README.md")

# timm's word for each model.fit; its padding is of one colour, where ours is mirrored
_CROP_MODES = {"crop": "center", "pad": "border", "stretch": "squash"}


def check_expressible(checkpoint: Checkpoint) -> None:
    """Raise InputError if plain timm has no place for the head."""
    head = checkpoint.architecture_arguments["head"]
    if head != "pooled":
        raise InputError(
            f"model.head={head}: timm has no such head, so it is not exported. model.head=pooled trains one."
        )


def write_folder(checkpoint: Checkpoint, metrics: dict[str, Any] | None, folder: Path) -> None:
    """Write the files of `FILES`. `metrics` are those of the run's evaluation, None without one.

    Raises RunError if timm does not read its own folder to the same logits, within 1e-5 of the largest.
    """
    classifier = checkpoint.build_model()
    folded = _folded(classifier, checkpoint)
    mean, std = (buffer.tolist() for buffer in (classifier.mean, classifier.std))
    size = checkpoint.input_size
    save_for_hf(
        folded,
        str(folder),
        model_config={
            "label_names": label_names(checkpoint),
            "pretrained_cfg": {"crop_mode": _CROP_MODES[checkpoint.fit], "tag": "", "hf_hub_id": None, "url": None},
        },
        safe_serialization=True,
        data_config={
            "input_size": (3, size, size),
            "mean": mean,
            "std": std,
            "crop_pct": checkpoint.crop_pct,
            "interpolation": "bicubic",
        },
    )
    write_text(folder / "README.md", model_card(checkpoint, metrics))
    _check_same(classifier, checkpoint, folder)


def label_names(checkpoint: Checkpoint) -> list[str]:
    """Return a name per class: its own, or its category id where several classes have one name."""
    names = [entry.name for entry in checkpoint.classes]
    return names if len(set(names)) == len(names) else [entry.category_id for entry in checkpoint.classes]


def _folded(classifier: Classifier, checkpoint: Checkpoint) -> Any:
    """Return a network of timm whose last layer has the temperature in its weights."""
    fixed = classifier.backbone.pretrained_cfg["fixed_input_size"]
    size: dict[str, Any] = {"img_size": checkpoint.input_size} if fixed else {}
    model: Any = timm.create_model(checkpoint.architecture, num_classes=len(checkpoint.classes), **size)
    model.load_state_dict(classifier.backbone.state_dict())
    names = model.pretrained_cfg["classifier"]
    with torch.no_grad():
        for name in (names,) if isinstance(names, str) else names:
            for parameter in _last_layer(model.get_submodule(name)).parameters():
                parameter /= checkpoint.temperature
    return model.eval()


def _last_layer(module: nn.Module) -> nn.Module:
    """Return the linear layer that gives the logits; a classifier may have others before it."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]


@torch.no_grad()
def _check_same(classifier: Classifier, checkpoint: Checkpoint, folder: Path) -> None:
    exported = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    size = checkpoint.input_size
    images = torch.randint(0, 256, (2, 3, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))["pretrained_cfg"]
    mean, std = (torch.tensor(stated[key])[:, None, None] for key in ("mean", "std"))
    expected = classifier(images) / checkpoint.temperature
    difference = (exported((images / 255 - mean) / std) - expected).abs().max().item()
    if not difference <= 1e-5 * max(1.0, expected.abs().max().item()):
        raise RunError(
            f"timm reads other logits from the folder than the checkpoint gives: they differ by {difference:.1e}."
        )
