"""A file of pretrained weights: what to do where it is not there. Imports nothing heavy."""

from pathlib import Path

from common.errors import InputError

WAYS_OUT = (
    "Name a mirror with the environment variable HF_ENDPOINT, or a file with model.weights=<file>, or train "
    "model=efficientnet_lite0 (its weights come with pip), or start from random weights with model.pretrained=false."
)


def check_weight_file(path: Path) -> None:
    """Raise InputError if the file of `model.weights` is missing."""
    if not path.is_file():
        raise InputError(f"model.weights={path}: no such file. {WAYS_OUT}")
