"""What timm states of its models: names, sizes, normalisation, licence. `model=timm` takes its values from there.

timm is imported by the functions, because it imports torch, which takes seconds that few configs need.
"""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import InputError
from configs.options import OPEN_MODEL
from configs.schema import Config, ModelConfig

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

_NEAREST = 3

# how a user finds a name
SEARCH = "python cli/flower_cli.py models says how names are found"


@dataclass(frozen=True)
class TimmModel:
    """What timm states: the whole name with its tag, and pixels a side, None if images are no squares of 3 colours."""

    name: str
    input_size: int | None
    crop_pct: float


def pretrained_config(architecture: str) -> PretrainedCfg:
    """Return timm's description of a model. Raises InputError, with the nearest names, if timm has none."""
    import timm

    found = _stated(architecture)
    if found is None:
        known = [*timm.list_models(), *timm.list_pretrained()]
        near = difflib.get_close_matches(architecture, known, n=_NEAREST)
        hint = f"The nearest names are {', '.join(near)}." if near else f"{SEARCH}."
        raise InputError(f"model.architecture={architecture}: timm {timm.__version__} has no such model. {hint}")
    return found


def is_timm_model(name: str) -> bool:
    """Say whether timm has a model of this name, which may end in the tag of its weights."""
    return _stated(name) is not None


def timm_model(architecture: str) -> TimmModel:
    """Return what timm states of a model. Raises InputError if it has no such model."""
    stated = pretrained_config(architecture)
    channels, height, width = stated.input_size
    name = f"{stated.architecture}.{stated.tag}" if stated.tag else str(stated.architecture)
    return TimmModel(name, height if channels == 3 and height == width else None, stated.crop_pct)


def with_final_size(config: Config) -> Config:
    """Return the config with the pixels of the pretraining, or null, for `training.final_input_size=auto`.

    null where the other epochs have as many, nothing is pretrained, or the model is built for one size.
    """
    if config.training.final_input_size != "auto":
        return config
    size = None
    if config.training.final_epochs > 0 and config.model.pretrained:
        pretrained = pretrained_config(config.model.architecture)
        larger = pretrained.input_size[-1] > config.model.input_size
        size = pretrained.input_size[-1] if larger and not pretrained.fixed_input_size else None
    return dataclasses.replace(config, training=dataclasses.replace(config.training, final_input_size=size))


def _stated(name: str) -> PretrainedCfg | None:
    import timm

    try:
        return timm.get_pretrained_cfg(name) if timm.is_model(name.partition(".")[0]) else None
    except RuntimeError:
        # the architecture has no such tag
        return None


def note_on(model: ModelConfig) -> str | None:
    """Return a sentence on what a config of `model=timm` took from timm, None for the other options."""
    if model.name != OPEN_MODEL:
        return None
    stated = pretrained_config(model.architecture)
    values = {"input_size": stated.input_size[-1], "crop_pct": stated.crop_pct}
    given = {key: getattr(model, key) for key, value in values.items() if getattr(model, key) != value}
    taken = [f"{key} {value}" for key, value in values.items() if key not in given]
    taken += [f"mean {stated.mean}", f"std {stated.std}"]
    differs = ", ".join(f"{key} {value} (timm: {values[key]})" for key, value in given.items())
    return f"{', '.join(taken)} from timm's {model.architecture}" + (f"; given: {differs}" if given else "")
