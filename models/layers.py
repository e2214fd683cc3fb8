"""Layers of a backbone: the depth of each parameter, and the parameters of the head."""

from typing import Any

from timm.models import group_parameters
from timm.optim import auto_group_layers

from models.classifier import Classifier


def layer_of_parameter(backbone: Any) -> dict[str, int]:
    """Return the depth of each parameter: 0 for the stem, the largest for the classifier."""
    if hasattr(backbone, "group_matcher"):
        return group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
    return auto_group_layers(backbone)


def head_parameter_names(model: Classifier) -> set[str]:
    """Return the names of the weights and biases of the classifier, as in `model.named_parameters()`."""
    classifier = model.backbone.pretrained_cfg["classifier"]
    modules = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    prefixes = tuple(f"backbone.{module}." for module in modules)
    return {name for name, _ in model.named_parameters() if name.startswith(prefixes)}
