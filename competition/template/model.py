"""The network: a timm backbone that takes raw pixels, with its normalisation as the first layer, and a head."""

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import timm
import torch
from torch import nn
from utils import mixed_precision

REDUCED_CHANNELS = 64
SQUARE_ROOT_STEPS = 5
MOST_STAGES = 6


class StageHead(nn.Module):
    """Logits from the maps of stages, in float32: averages, maxima, and the root of a covariance (arXiv:1712.01034)."""

    def __init__(self, kind: str, channels: Sequence[int], num_classes: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        features = 2 * sum(channels)
        self.reduction = None
        if kind == "second_order":
            reduced = min(REDUCED_CHANNELS, channels[-1])
            self.reduction = nn.Linear(channels[-1], reduced, bias=False)
            features += reduced * (reduced + 1) // 2
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_scale", torch.ones(features))
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = nn.Linear(features, num_classes)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return logits (N, C) of one map (N, channels, H, W) per stage."""
        features = (self.features(maps) - self.feature_mean) / self.feature_scale
        with mixed_precision(features.device.type, None):
            return self.classifier(self.dropout(features))

    def features(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return features (N, D) that are not standardised."""
        with mixed_precision(maps[0].device.type, None):
            maps = [stage.float() for stage in maps]
            parts = [pooled for stage in maps for pooled in (stage.mean(dim=(2, 3)), stage.amax(dim=(2, 3)))]
            if self.reduction is not None:
                root = covariance_root(self.reduction.weight @ maps[-1].flatten(2))
                rows, columns = torch.triu_indices(root.shape[1], root.shape[1], device=root.device)
                parts.append(root.flatten(1)[:, rows * root.shape[1] + columns])
            return torch.cat(parts, dim=1)


def covariance(places: torch.Tensor) -> torch.Tensor:
    """Return the covariance (N, D, D) over the P places of (N, D, P)."""
    centred = places - places.mean(dim=2, keepdim=True)
    return centred @ centred.transpose(1, 2) / places.shape[2]


def covariance_root(places: torch.Tensor) -> torch.Tensor:
    """Return the square root (N, D, D) of the covariance divided by its trace, by Newton-Schulz steps."""
    matrix = covariance(places)
    trace = matrix.diagonal(dim1=1, dim2=2).sum(dim=1).clamp(min=1e-12)
    identity = torch.eye(matrix.shape[1], device=matrix.device)
    root, inverse = matrix / trace[:, None, None], identity.expand_as(matrix)
    for _ in range(SQUARE_ROOT_STEPS):
        factor = 0.5 * (3 * identity - inverse @ root)
        root, inverse = root @ factor, factor @ inverse
    return root


class Classifier(nn.Module):
    """Normalisation, backbone, head; `mean` and `std` (3,) are of pixels scaled to 0..1 and stand in the weights file.

    Without a head, the backbone gives the logits.
    """

    def __init__(self, backbone: nn.Module, head: Optional[StageHead] = None, stages: Sequence[int] = ()) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.stages = list(stages)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("std", torch.ones(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C) of images (N, 3, H, W) with values 0..255."""
        pixels = self.normalised(images)
        return self.backbone(pixels) if self.head is None else self.head(self.stage_maps(pixels))

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Return images as the backbone takes them."""
        scale, shift = 1 / (255 * self.std), self.mean / self.std
        return images.float() * scale[:, None, None] - shift[:, None, None]

    def stage_maps(self, pixels: torch.Tensor) -> List[torch.Tensor]:
        """Return the map (N, channels, H, W) of each stage that the head reads."""
        return self.backbone.forward_intermediates(pixels, indices=self.stages, intermediates_only=True)

    def last_layer(self) -> nn.Module:
        """Return the layer that gives the logits."""
        return self.backbone.get_classifier() if self.head is None else self.head.classifier


def read_config(model_dir: Path) -> Dict[str, Any]:
    """Return config.json: classes, models, views, and the recipe of the training."""
    with open(str(model_dir / "config.json"), encoding="utf-8") as file:
        return json.load(file)


def build_model(entry: Dict[str, Any], **options: Any) -> Classifier:
    """Return an entry of the config's `models` with random weights; nothing is downloaded."""
    kind, arguments = entry.get("head", "pooled"), dict(entry["arguments"], **options)
    if kind == "pooled":
        return Classifier(timm.create_model(entry["architecture"], pretrained=False, **arguments))
    backbone = timm.create_model(entry["architecture"], pretrained=False, **dict(arguments, num_classes=0))
    if not hasattr(backbone, "prune_intermediate_layers"):
        raise SystemExit("error: timm {} gives no maps of stages; install timm 1.0.9 or later".format(timm.__version__))
    count = len(backbone.feature_info)
    stages = [count - 1] if kind == "last_block" else list(range(count))
    if len(stages) > MOST_STAGES:
        stages = [count * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]
    channels = [backbone.feature_info[stage]["num_chs"] for stage in stages]
    backbone.prune_intermediate_layers(stages, prune_norm=True, prune_head=True)
    head = StageHead(kind, channels, arguments["num_classes"], arguments.get("drop_rate", 0.0))
    return Classifier(backbone, head, stages)


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
    layer = model.last_layer()
    if model.head is not None or not isinstance(layer, nn.Linear):
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
