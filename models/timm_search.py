"""The pretrained models of timm whose names hold a word, with their sizes; nothing is downloaded or allocated."""

import functools
from dataclasses import dataclass

import timm
import torch

from common.errors import InputError
from configs.timm_models import pretrained_config
from models.classifier import parameter_count, size_in_bytes

# building a network on the meta device takes up to a second
MOST_SHOWN = 30


@dataclass(frozen=True)
class TimmMatch:
    """A pretrained model of timm; megabytes are 10^6 bytes of weights in float32, `origin` where they come from.

    `name` ends in the tag of the weights, `input_size` is the side in pixels, or height x width.
    """

    name: str
    input_size: str
    parameters: int
    megabytes: float
    licence: str
    origin: str


def search(word: str, num_classes: int) -> tuple[list[TimmMatch], int]:
    """Return the first `MOST_SHOWN` models whose names hold `word`, and how many there are.

    Names that start with the word come first. Sizes are for `num_classes` classes. Raises InputError if there are none.
    """
    names = timm.list_pretrained(f"*{word}*")
    if not names:
        raise InputError(f"{word}: timm {timm.__version__} has no pretrained model with this in its name.")
    names.sort(key=lambda name: not name.startswith(word))
    return [_match(name, num_classes) for name in names[:MOST_SHOWN]], len(names)


def _match(name: str, num_classes: int) -> TimmMatch:
    stated = pretrained_config(name)
    parameters, megabytes = _size(str(stated.architecture), num_classes)
    height, width = stated.input_size[1:]
    return TimmMatch(
        name=name,
        input_size=str(height) if height == width else f"{height} x {width}",
        parameters=parameters,
        megabytes=megabytes,
        licence=stated.license or "not stated",
        origin=stated.origin_url or stated.hf_hub_id or "not stated",
    )


@functools.cache
def _size(architecture: str, num_classes: int) -> tuple[int, float]:
    """Return parameters and megabytes; weights of one architecture differ in their tags alone."""
    with torch.device("meta"):
        model = timm.create_model(architecture, num_classes=num_classes)
    return parameter_count(model), size_in_bytes(model) / 1e6
