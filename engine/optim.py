"""Optimizer groups and the learning rate as a pure function of the step."""

import math
from dataclasses import dataclass

import torch
from timm.models import group_parameters
from timm.optim import auto_group_layers, create_optimizer_v2, list_optimizers
from torch import nn

from configs.errors import InputError, did_you_mean
from configs.schema import TrainingConfig
from models.classifier import Classifier, head_parameter_names

# what the optimizer is built with; every step sets the rate of its groups
_UNSET_RATE = 1e-3


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule; all counts are optimizer steps."""

    kind: str
    peak: float
    minimum: float
    warmup_steps: int
    total_steps: int


def build_schedule(config: TrainingConfig, steps_per_epoch: int) -> Schedule:
    """Return the schedule of a run. A warm-up as long as the run or longer is cut to half the run."""
    total_steps = config.epochs * steps_per_epoch
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if warmup_steps >= total_steps:
        warmup_steps = total_steps // 2
    minimum = min(config.min_lr, config.learning_rate)
    return Schedule(config.scheduler, config.learning_rate, minimum, warmup_steps, total_steps)


def learning_rate_at(step: int, schedule: Schedule) -> float:
    """Return the learning rate of optimizer step `step`, counted from 0."""
    # 1. linear warm-up, which reaches the peak at step warmup_steps
    if step < schedule.warmup_steps:
        return schedule.peak * (step + 1) / (schedule.warmup_steps + 1)
    # 2. constant
    if schedule.kind == "constant":
        return schedule.peak
    # 3. exponential growth from the minimum to the peak at the last step, for a range test
    if schedule.kind == "exponential":
        return schedule.minimum * (schedule.peak / schedule.minimum) ** (step / max(schedule.total_steps - 1, 1))
    # 4. decay to the minimum, which the step after the last would reach
    progress = min((step - schedule.warmup_steps) / max(schedule.total_steps - schedule.warmup_steps, 1), 1.0)
    factor = 0.5 * (1 + math.cos(math.pi * progress)) if schedule.kind == "cosine" else 1 - progress
    return schedule.minimum + (schedule.peak - schedule.minimum) * factor


def build_optimizer(model: Classifier, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimizer with one group for each learning-rate scale and weight decay.

    `lr_scale` of a group is the factor of layer decay and of the head; `set_learning_rate` applies it.
    """
    groups = parameter_groups(model, config)
    options = {"fused": True} if config.optimizer == "adamw" else {}
    try:
        return create_optimizer_v2(groups, opt=config.optimizer, lr=_UNSET_RATE, **options)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise InputError(
            f"training.optimizer={config.optimizer}: timm refuses it ({' '.join(str(error).split())[:120]})."
            f"{did_you_mean(config.optimizer, list_optimizers())}"
        ) from error


def parameter_groups(model: Classifier, config: TrainingConfig) -> list[dict]:
    """Return optimizer groups `{params, names, lr_scale, weight_decay}`.

    `config.layer_decay` is meant for 12 groups (a ViT-B): over the L layers of another backbone each layer decays by
    layer_decay ** (13 / L), so that the stem's rate is the same fraction of the head's. Vectors (biases, norms) and
    what the backbone names in `no_weight_decay` have no weight decay.
    """
    backbone = model.backbone
    layers = layer_of_parameter(backbone)
    last_layer = max(layers.values())
    per_layer = config.layer_decay ** (13 / max(last_layer, 1))
    unregularised = set(backbone.no_weight_decay()) if hasattr(backbone, "no_weight_decay") else set()
    head = head_parameter_names(model)

    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in backbone.named_parameters():
        scale = per_layer ** (last_layer - layers[name])
        if f"backbone.{name}" in head:
            scale *= config.head_lr_multiplier
        decay = 0.0 if parameter.ndim <= 1 or name in unregularised else config.weight_decay
        group = groups.setdefault((scale, decay), {"params": [], "names": [], "lr_scale": scale, "weight_decay": decay})
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every group `learning_rate` times its `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["lr_scale"]


def layer_of_parameter(backbone: nn.Module) -> dict[str, int]:
    """Return the depth of each parameter, 0 for the stem; the classifier is the deepest."""
    if hasattr(backbone, "group_matcher"):
        return group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
    return auto_group_layers(backbone)
