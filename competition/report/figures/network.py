"""The stages of a network: channels and sizes of their maps, found by a forward pass that computes shapes alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from models.classifier import Classifier


@dataclass(frozen=True)
class Stage:
    """The stages `first` to `last` (from 1) of a network, whose maps have the same shape; `read`: by the head."""

    first: int
    last: int
    channels: int
    height: int
    width: int
    read: bool


@torch.no_grad()
def stages_of_network(model: Classifier, input_size: int) -> list[Stage]:
    """Return the stages that timm lists for the backbone of a model on the meta device; [] if it lists none.

    A ViT lists its blocks; those below each other with maps of the same shape are one entry. Where a module gives no
    map, the size is the input's divided by the reduction that timm states.
    """
    infos: Sequence[dict[str, Any]] = list(getattr(model.backbone, "feature_info", None) or ())
    modules, shapes, handles = dict(model.backbone.named_modules()), {}, []
    for info in infos:
        if module := modules.get(info.get("module", "")):
            name = info["module"]
            handles.append(module.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: out})))
    model.eval()(torch.empty(1, 3, input_size, input_size, device="meta"))
    for handle in handles:
        handle.remove()
    read = [len(infos) - 1] if model.head is None else model.head.stages
    found: list[Stage] = []
    for place, info in enumerate(infos):
        side = -(-input_size // info["reduction"])
        prefix = getattr(model.backbone, "num_prefix_tokens", 0)
        height, width = _size(shapes.get(info.get("module")), info["num_chs"], prefix) or (side, side)
        stage = Stage(place + 1, place + 1, info["num_chs"], height, width, place in read)
        last = found[-1] if found else None
        if last and (last.channels, last.height, last.width) == (stage.channels, height, width):
            found[-1] = replace(last, last=stage.last, read=last.read or stage.read)
        else:
            found.append(stage)
    return found


def _size(features: Any, channels: int, prefix: int) -> tuple[int, int] | None:
    """Return height and width of a map (N, C, H, W), (N, H, W, C) or of tokens (N, L, C); None for anything else."""
    shape = tuple(getattr(features, "shape", ()))
    if len(shape) == 4 and shape[1] == channels:
        return shape[2], shape[3]
    if len(shape) == 4 and shape[3] == channels:
        return shape[1], shape[2]
    if len(shape) == 3 and shape[2] == channels:
        side = round((shape[1] - prefix) ** 0.5)
        return (side, side) if side * side == shape[1] - prefix else None
    return None
