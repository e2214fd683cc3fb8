"""best_model.pt: a file that explains itself: weights, architecture, classes, metrics, config, versions.

It is read with `weights_only=True`: no value in it is ever imported, called or evaluated.
"""

import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from common.classes import ImageClass
from common.errors import InputError
from common.files import as_path
from common.torch_files import FORMAT_VERSION, load_payload, save_payload
from configs.compose import to_plain
from configs.input_sizes import eval_size
from configs.options import HEADS
from configs.schema import Config
from configs.validate import CHOICES
from models.classifier import Classifier, build_classifier, meta_classifier

CHECKPOINT_FORMAT = "flower-kit-checkpoint"

_CHECKPOINT_TYPES = {
    "architecture": str,
    "architecture_arguments": dict,
    "input_size": int,
    "crop_pct": float,
    "fit": str,
    "state_dict": dict,
    "averaged_weights": bool,
    "classes": list,
    "class_counts": list,
    "split": dict,
    "corrections": dict,
    "metrics": dict,
    "epoch": int,
    "temperature": float,
    "temperature_source": str,
    "config": dict,
    "versions": dict,
    "choices": list,
}

# fields that files of earlier versions lack
_OF_EARLIER_FILES = {"temperature": 1.0, "temperature_source": "", "fit": "crop", "choices": [], "corrections": {}}


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with everything needed to use it; `split` holds the image ids of `train`, `val`, `test`.

    Its probabilities are the softmax of its logits divided by `temperature` (evaluation.calibration), which
    `temperature_source` gave, a few words, or none for the temperature 1 of a model that is not calibrated. `choices`
    are sentences on the values that took the place of `auto`. `corrections` are those of the labels: `changed`,
    `dropped` and `kept` images, the `sha256` of corrections.csv and of its `effect`; empty without such a file.
    """

    architecture: str
    architecture_arguments: dict[str, Any]
    input_size: int
    crop_pct: float
    fit: str
    state_dict: dict[str, torch.Tensor]
    averaged_weights: bool
    classes: list[ImageClass]
    class_counts: list[int]
    split: dict[str, list[str]]
    corrections: dict[str, Any]
    metrics: dict[str, float]
    epoch: int
    temperature: float
    temperature_source: str
    config: dict[str, Any]
    versions: dict[str, str]
    choices: list[str]

    def build_model(self) -> Classifier:
        """Return the model with these weights, in evaluation mode on the CPU. Raises InputError if they do not fit."""
        model = build_classifier(self.architecture, len(self.classes), **self.architecture_arguments)
        try:
            model.load_state_dict(self.state_dict, strict=True)
        except RuntimeError as error:
            raise InputError(f"The checkpoint's weights do not fit its architecture {self.architecture}.") from error
        return model.eval()

    def meta_model(self) -> Classifier:
        """Return the model on torch's meta device, which has shapes but takes no memory."""
        head = self.architecture_arguments["head"]
        return meta_classifier(self.architecture, len(self.classes), self.input_size, head)


def architecture_arguments(config: Config) -> dict[str, Any]:
    """Return the arguments of `build_classifier`, besides architecture and classes, that rebuild the model."""
    model = config.model
    return {
        "input_size": eval_size(config),
        "drop_rate": model.drop_rate,
        "drop_path_rate": model.drop_path_rate,
        "grad_checkpointing": model.grad_checkpointing,
        "head": model.head,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that influence results."""
    libraries = ("torch", "timm", "albumentations", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in libraries}


def make_checkpoint(
    config: Config,
    model: Classifier,
    table_facts: dict[str, Any],
    metrics: dict[str, float],
    epoch: int,
    choices: Sequence[str] = (),
) -> Checkpoint:
    """Return a checkpoint of `model`; `table_facts` are those of `describe_table`, `choices` those of the run.

    `model` has the EMA weights if the run averages. They are copied, so that training may go on.
    """
    return Checkpoint(
        architecture=config.model.architecture,
        architecture_arguments=architecture_arguments(config),
        input_size=eval_size(config),
        crop_pct=config.model.crop_pct,
        fit=config.model.fit,
        state_dict={
            name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in model.state_dict().items()
        },
        averaged_weights=config.training.ema_decay is not None,
        metrics=metrics,
        epoch=epoch,
        # fitted once training has ended
        temperature=1.0,
        temperature_source="",
        config=to_plain(config),
        versions=versions(),
        choices=list(choices),
        **table_facts,
    )


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write `checkpoint` to `path`, atomically."""
    save_payload({"format": CHECKPOINT_FORMAT, "format_version": FORMAT_VERSION, **plain_fields(checkpoint)}, path)


def half_weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Return the weights with all floating-point tensors as float16."""
    return {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in checkpoint.state_dict.items()
    }


def plain_fields(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the checkpoint as plain containers and tensors, which `checkpoint_of` reads."""
    fields = {name: getattr(checkpoint, name) for name in _CHECKPOINT_TYPES}
    return {**fields, "classes": [asdict(image_class) for image_class in checkpoint.classes]}


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read best_model.pt. Raises InputError if it is missing, damaged, or not of this kit."""
    path = as_path(path)
    return checkpoint_of(load_payload(path, CHECKPOINT_FORMAT), path)


def load_facts(path: Path) -> Checkpoint:
    """Read best_model.pt without its weights: `state_dict` is empty. Damaged weights are not noticed.

    It takes milliseconds, however large the file is. Raises InputError as `load_checkpoint` does.
    """
    payload = load_payload(path, CHECKPOINT_FORMAT, whole=False)
    return checkpoint_of({**payload, "state_dict": {}}, path)


def checkpoint_of(payload: dict[str, Any], path: Path) -> Checkpoint:
    """Return the checkpoint in `payload`, read from `path`. Raises InputError if parts are missing or contradict."""
    payload = _OF_EARLIER_FILES | payload
    for name, expected in _CHECKPOINT_TYPES.items():
        if not isinstance(payload.get(name), expected):
            raise InputError(f"{path}: damaged checkpoint: '{name}' is missing or not a {expected.__name__}.")
    # files of earlier versions name no head
    payload["architecture_arguments"] = {"head": "pooled", **payload["architecture_arguments"]}
    try:
        payload["classes"] = [ImageClass(**image_class) for image_class in payload["classes"]]
    except TypeError as error:
        raise InputError(f"{path}: damaged checkpoint: its class table has other columns than ours.") from error
    checkpoint = Checkpoint(**{name: payload[name] for name in _CHECKPOINT_TYPES})
    problem = _inconsistency(checkpoint)
    if problem:
        raise InputError(f"{path}: damaged checkpoint: {problem}.")
    return checkpoint


def _inconsistency(checkpoint: Checkpoint) -> str:
    """Return what is contradictory in a checkpoint, or an empty string."""
    classes = len(checkpoint.classes)
    arguments = checkpoint.architecture_arguments
    split = checkpoint.split
    checks = {
        "its class table is not numbered from 0": [entry.label for entry in checkpoint.classes] == list(range(classes)),
        "it has less than two classes": classes >= 2,
        "its image counts are not one per class": len(checkpoint.class_counts) == classes
        and all(isinstance(count, int) for count in checkpoint.class_counts),
        "its architecture has other arguments than ours": set(arguments)
        == {"input_size", "drop_rate", "drop_path_rate", "grad_checkpointing", "head"},
        "its architecture has arguments of other kinds than ours": all(
            type(arguments.get(name)) in (int, float) and 0 <= arguments[name] < 1
            for name in ("drop_rate", "drop_path_rate")
        )
        and isinstance(arguments.get("grad_checkpointing"), bool)
        and arguments.get("head") in HEADS,
        "its temperature is out of range": 0 < checkpoint.temperature < math.inf,
        "its input sizes differ": arguments.get("input_size") == checkpoint.input_size,
        "its input size is out of range": 16 <= checkpoint.input_size <= 4096 and 0 < checkpoint.crop_pct <= 1,
        "its choices are not sentences": all(isinstance(sentence, str) for sentence in checkpoint.choices),
        "its fit is none of ours": checkpoint.fit in CHOICES["model.fit"],
        "its split is not lists of image ids": {"train", "val"} <= set(split) <= {"train", "val", "test"}
        and all(isinstance(ids, list) and all(isinstance(name, str) for name in ids) for ids in split.values()),
    }
    return next((problem for problem, holds in checks.items() if not holds), "")
