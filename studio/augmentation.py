"""A changed copy of an augmentation: how often each of its steps is applied, shown on images and saved as YAML."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from common.errors import InputError
from common.files import WINDOWS_DEVICES, write_text
from configs.compose import compose
from configs.options import CONFIG_DIR
from data.preview import contact_sheet
from data.table import ImageTable
from data.transforms import TrainTransform

FOLDER = CONFIG_DIR / "augmentation"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

# of the contact sheet
_IMAGES, _EPOCHS, _TILE = 3, 6, 160

# albumentations applies a step this often if its entry does not say
_DEFAULT_CHANCE = 0.5


def steps_of(name: str) -> dict[str, Any]:
    """Return the training steps of an option of `augmentation`, in order: free name to arguments."""
    return dict(compose("config", [f"augmentation={name}"], allow_unused=True).augmentation.train)


def chances_of(steps: Mapping[str, Any]) -> dict[str, float]:
    """Return the probability with which each step is applied."""
    return {name: float(step.get("p", _DEFAULT_CHANCE)) for name, step in steps.items()}


def with_chances(steps: Mapping[str, Any], chances: Mapping[str, float]) -> dict[str, Any]:
    """Return a copy of the steps with other probabilities. Raises InputError if one is not from 0 to 1."""
    changed = {}
    for name, step in steps.items():
        chance = round(float(chances[name]), 4)
        if not 0 <= chance <= 1:
            raise InputError(f"{name}: expected a probability from 0 to 1, not {chance}.")
        changed[name] = {**step, "p": chance}
    return changed


def augmented_sheet(table: ImageTable, steps: dict[str, Any], seed: int = 0) -> np.ndarray:
    """Return a contact sheet, uint8 RGB: each row a training image, then its copies in six epochs."""
    return contact_sheet(table, TrainTransform(steps, _TILE, seed), _IMAGES, _EPOCHS, _TILE, seed)


def save_augmentation(name: str, base: str, chances: Mapping[str, float], folder: str | Path = FOLDER) -> Path:
    """Write a copy of the option `base` with other probabilities as a new option; return its file.

    Raises InputError for a name that is no option's name or is taken already, also in other letters.
    """
    folder = Path(folder)
    if not _NAME.fullmatch(name) or WINDOWS_DEVICES.fullmatch(name):
        raise InputError(f"'{name}': a name has small letters, digits and _, begins with a letter, and is short.")
    path = folder / f"{name}.yaml"
    if name in {other.stem.lower() for other in folder.glob("*.yaml")}:
        raise InputError(f"{path.name} is there already; choose another name.")
    changed = {"name": name, "train": with_chances(steps_of(base), chances)}
    content = OmegaConf.merge(OmegaConf.load(FOLDER / f"{base}.yaml"), changed)
    write_text(path, f"# A copy of {base} with other probabilities.\n{OmegaConf.to_yaml(content)}")
    return path
