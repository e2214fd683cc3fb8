"""Sizes of model options, from the networks themselves; `python -m models.model_sizes` writes the table of them all."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from common.files import write_text
from configs.options import CONFIG_DIR, named_models
from configs.timm_models import pretrained_config
from models.catalog import CATALOG, KEYS, ModelOption
from models.classifier import meta_classifier, parameter_count, size_in_bytes

_HEADING = """# Written by: python -m models.model_sizes
# How many numbers the weights of each option hold: per class, and beside the classes.
"""


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


def catalog_text() -> str:
    """Return the content of `models/catalog.yaml`, computed from the networks of all options."""
    rows = {option: _row(CONFIG_DIR / "model" / f"{option}.yaml") for option in named_models()}
    return _HEADING + OmegaConf.to_yaml(OmegaConf.create(rows))


def _row(path: Path) -> dict[str, Any]:
    config: Any = OmegaConf.load(path)
    two, three = (meta_classifier(config.architecture, count, config.input_size, config.head) for count in (2, 3))
    per_class = parameter_count(three) - parameter_count(two)
    return {
        **{key: config[key] for key in KEYS},
        "per_class": per_class,
        "other_parameters": parameter_count(two) - 2 * per_class,
        "other_values": size_in_bytes(two, 1) - 2 * per_class,
        "licence": pretrained_config(config.architecture).license or "not stated",
    }


if __name__ == "__main__":
    write_text(CATALOG, catalog_text())
