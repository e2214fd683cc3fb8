"""Optimizer groups: one per learning-rate scale (layer decay, head) and weight decay."""

from typing import Any

import torch
from timm.optim import create_optimizer_v2, list_optimizers

from common.errors import InputError, did_you_mean
from configs.schema import TrainingConfig
from models.classifier import Classifier
from models.layers import head_parameter_names, layer_of_parameter
from training.adamw import GroupedAdamW

# a placeholder; every step sets the rate of each group
_UNSET_RATE = 1e-3

# what a group has from the config and the device; the rest of a saved group, such as Lamb's count of steps, is state
_SETTINGS = ("params", "names", "lr_scale", "in_backbone", "weight_decay", "foreach", "fused")


def build_optimizer(model: Classifier, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimizer with one group per learning-rate scale and weight decay.

    `lr_scale` of a group is the factor from layer decay and head; `set_learning_rate` applies it.
    """
    groups = parameter_groups(model, config)
    if config.optimizer == "adamw":
        return GroupedAdamW(groups, _UNSET_RATE)
    on_cuda = groups[0]["params"][0].is_cuda
    options: dict[str, Any] = {"fused": True} if on_cuda and config.optimizer == "sgd" else {}
    try:
        return create_optimizer_v2(groups, opt=config.optimizer, lr=_UNSET_RATE, **options)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise InputError(
            f"training.optimizer={config.optimizer}: timm refuses it ({' '.join(str(error).split())[:120]})."
            f"{did_you_mean(config.optimizer, map(str, list_optimizers()))}"
        ) from error


def parameter_groups(model: Classifier, config: TrainingConfig) -> list[dict]:
    """Return optimizer groups `{params, names, lr_scale, in_backbone, weight_decay}`.

    `config.layer_decay` is meant for 12 groups (a ViT-B). A backbone with L layers uses layer_decay ** (13 / L) per
    layer, so that the rate of the stem is the same fraction of the rate of the head. Vectors (biases, norms) and the
    names in `no_weight_decay` of the backbone have no weight decay. `in_backbone` parts the classifier from the rest,
    only where the rest has a warm-up of its own.
    """
    backbone = model.backbone
    layers = layer_of_parameter(model)
    last_layer = max(layers.values())
    per_layer = config.layer_decay ** (13 / max(last_layer, 1))
    unregularised = set(backbone.no_weight_decay()) if hasattr(backbone, "no_weight_decay") else set()
    head = head_parameter_names(model)

    groups: dict[tuple[float, float, bool], dict] = {}
    for full_name, parameter in model.named_parameters():
        # the names of files of earlier versions
        name = full_name.removeprefix("backbone.")
        scale = per_layer ** (last_layer - layers[full_name])
        in_head = full_name in head
        if in_head:
            scale *= config.head_lr_multiplier
        decay = 0.0 if parameter.ndim <= 1 or name in unregularised else config.weight_decay
        in_backbone = config.backbone_warmup_epochs > 0 and not in_head
        settings = {"lr_scale": scale, "in_backbone": in_backbone, "weight_decay": decay}
        group = groups.setdefault((scale, decay, in_backbone), {"params": [], "names": [], **settings})
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float, backbone_factor: float = 1.0) -> None:
    """Give every group `learning_rate` times its `lr_scale`, and those of the backbone times `backbone_factor`."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["lr_scale"] * (backbone_factor if group["in_backbone"] else 1.0)


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Restore `optimizer.state_dict()` of a run, parameter by parameter; rates and decays stay those of `optimizer`.

    So the groups of the saved run may be others. Raises ValueError if its parameters are others.
    """
    group_of = {name: group for group in saved["param_groups"] for name in group["names"]}
    number_of = {
        name: number
        for group in saved["param_groups"]
        for name, number in zip(group["names"], group["params"], strict=True)
    }
    groups = []
    for group in optimizer.state_dict()["param_groups"]:
        if not group_of.keys() >= set(group["names"]):
            raise ValueError("other parameters")
        settings = {key: group[key] for key in _SETTINGS if key in group}
        groups.append({**group_of[group["names"][0]], **settings})
    names = {number: name for group in groups for name, number in zip(group["names"], group["params"], strict=True)}
    if len(names) != len(number_of):
        raise ValueError("other parameters")
    states = {number: saved["state"].get(number_of[name]) for number, name in names.items()}
    state = {number: found for number, found in states.items() if found is not None}
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def reads_found_inf(optimizer: torch.optim.Optimizer) -> bool:
    """Say whether the optimizer leaves everything as it is where its attribute `found_inf` is 1."""
    is_fused = all(group.get("fused") for group in optimizer.param_groups)
    return is_fused and isinstance(optimizer, GroupedAdamW | torch.optim.SGD)


def step_unless(optimizer: torch.optim.Optimizer, found_inf: torch.Tensor) -> None:
    """Take a step, unless `found_inf` (a float32 scalar on the device) is 1; the host does not wait for its value."""
    setattr(optimizer, "found_inf", found_inf)  # noqa: B010 - torch's types do not know the attribute
    try:
        optimizer.step()
    finally:
        delattr(optimizer, "found_inf")
