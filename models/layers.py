"""Layers of a backbone: the depth of each parameter, and the parameters of the head."""

from typing import Any

from timm.models import group_parameters
from timm.optim import auto_group_layers

from models.classifier import Classifier


def layer_of_parameter(model: Classifier) -> dict[str, int]:
    """Return the depth of each parameter, by its name in `model`: 0 for the stem, the largest for the head."""
    backbone: Any = model.backbone
    if hasattr(backbone, "group_matcher"):
        found: Any = group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
    else:
        found = auto_group_layers(backbone)
    layers = {f"backbone.{name}": layer for name, layer in found.items()}
    if model.head is None:
        return layers
    deepest = max(layers.values()) + 1
    return layers | {f"head.{name}": deepest for name, _ in model.head.named_parameters()}


def head_parameter_names(model: Classifier) -> set[str]:
    """Return the names of the parameters of the head, as in `model.named_parameters()`."""
    if model.head is not None:
        return {f"head.{name}" for name, _ in model.head.named_parameters()}
    classifier = model.backbone.pretrained_cfg["classifier"]
    modules = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    prefixes = tuple(f"backbone.{module}." for module in modules)
    return {name for name, _ in model.named_parameters() if name.startswith(prefixes)}


def classifier_parameter_names(model: Classifier) -> set[str]:
    """Return the names of the weights and biases that give the logits, as in `model.named_parameters()`."""
    return {name for name in head_parameter_names(model) if model.head is None or name.startswith("head.classifier.")}
