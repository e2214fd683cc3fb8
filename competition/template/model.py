"""The network: a timm backbone that takes raw pixels, with its normalisation as the first layer."""

import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import timm
import torch
from torch import nn
from utils import mixed_precision


class Classifier(nn.Module):
    """Normalisation and backbone; `mean` and `std` (3,) are of pixels scaled to 0..1 and stand in the weights file."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("std", torch.ones(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C) of images (N, 3, H, W) with values 0..255."""
        scale, shift = 1 / (255 * self.std), self.mean / self.std
        return self.backbone(images.float() * scale[:, None, None] - shift[:, None, None])


def read_config(model_dir: Path) -> Dict[str, Any]:
    """Return config.json: classes, models, views, and the recipe of the training."""
    with open(str(model_dir / "config.json"), encoding="utf-8") as file:
        return json.load(file)


def build_model(entry: Dict[str, Any], **options: Any) -> Classifier:
    """Return an entry of the config's `models` with random weights; nothing is downloaded."""
    return Classifier(timm.create_model(entry["architecture"], pretrained=False, **entry["arguments"], **options))


def load_models(
    config: Dict[str, Any], model_dir: Path, device: torch.device
) -> List[Tuple[Dict[str, Any], nn.Module]]:
    """Return all models of the config with their weights, in evaluation mode, each beside its entry."""
    models = []
    for entry in config["models"]:
        model = build_model(entry)
        model.load_state_dict(load_weights(model_dir / entry["weights"]))
        keep_classifier_exact(model)
        models.append((entry, model.eval().to(device=device, memory_format=torch.channels_last)))
    return models


def keep_classifier_exact(model: Classifier) -> None:
    """Compute the last linear layer in float32 even where the rest is 16 bits: it decides between close classes."""
    layer = model.backbone.get_classifier()
    if not isinstance(layer, nn.Linear):
        return

    def exact(features: torch.Tensor) -> torch.Tensor:
        with mixed_precision(features.device.type, None):
            return nn.Linear.forward(layer, features.float())

    layer.forward = exact


def load_weights(path: Path) -> Dict[str, torch.Tensor]:
    """Return a state dict; float16 values become float32 when they are copied into a model."""
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (1, 13):
        return torch.load(str(path), map_location="cpu")
    return torch.load(str(path), map_location="cpu", weights_only=True)
