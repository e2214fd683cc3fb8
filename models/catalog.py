"""The model options of configs/model with their sizes and licences, from a table that ships with the kit.

`models/catalog.yaml` holds figures that building each network would give (`models.model_sizes` writes it). So listing
the options takes no torch. It is a YAML file because the kit's own ZIP packs those.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from configs.options import CONFIG_DIR, named_models

CATALOG = Path(__file__).with_suffix(".yaml")

# what decides the figures of a row; a row with others is not used
KEYS = ("architecture", "head", "input_size")


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
    """Return every option for `num_classes` classes, smallest first; nothing is downloaded or allocated.

    An option that the table lacks, or has with other keys than its YAML file, is built on torch's meta device.
    """
    rows = _read(CATALOG)
    options = [_option(option, rows.get(option, {}), num_classes) for option in named_models()]
    return sorted(options, key=lambda option: (option.parameters, option.option))


def _option(option: str, row: Mapping[str, Any], num_classes: int) -> ModelOption:
    config = _read(CONFIG_DIR / "model" / f"{option}.yaml")
    if any(row.get(key) != config[key] for key in KEYS):
        # imports torch, which takes seconds
        from models.model_sizes import describe_model

        return describe_model(option, OmegaConf.create(config), num_classes)
    # each class adds a row of weights, and a bias, to the last layer
    of_classes = num_classes * row["per_class"]
    values = row["other_values"] + of_classes
    return ModelOption(
        option=option,
        architecture=row["architecture"],
        input_size=row["input_size"],
        parameters=row["other_parameters"] + of_classes,
        megabytes_fp32=4 * values / 1e6,
        megabytes_fp16=2 * values / 1e6,
        licence=row["licence"],
    )


def _read(path: Path) -> Any:
    return OmegaConf.to_container(OmegaConf.load(path))
