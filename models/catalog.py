"""The model options of configs/model with their sizes and licences, computed from the architectures themselves."""

import functools
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from configs.options import CONFIG_DIR, option_names
from models.classifier import meta_classifier, parameter_count, pretrained_config, size_in_bytes


@dataclass(frozen=True)
class ModelOption:
    """One option of `model=`; megabytes are 10^6 bytes of weights, the licence that of timm's weights."""

    option: str
    architecture: str
    input_size: int
    parameters: int
    megabytes_fp32: float
    megabytes_fp16: float
    licence: str


def model_options(num_classes: int = 100) -> list[ModelOption]:
    """Return every option for `num_classes` classes, smallest first; nothing is downloaded or allocated."""
    options = [_describe(option, num_classes) for option in option_names("model")]
    return sorted(options, key=lambda option: (option.parameters, option.option))


@functools.cache
def _describe(option: str, num_classes: int) -> ModelOption:
    return describe_model(option, OmegaConf.load(CONFIG_DIR / "model" / f"{option}.yaml"), num_classes)


def describe_model(option: str, config: Any, num_classes: int) -> ModelOption:
    """Return the sizes of an option whose keys may have been changed; `config` is a `ModelConfig`, or has its keys."""
    model = meta_classifier(config.architecture, num_classes, config.input_size, config.head)
    return ModelOption(
        option=option,
        architecture=config.architecture,
        input_size=config.input_size,
        parameters=parameter_count(model),
        megabytes_fp32=size_in_bytes(model, 4) / 1e6,
        megabytes_fp16=size_in_bytes(model, 2) / 1e6,
        licence=pretrained_config(config.architecture).license or "not stated",
    )
