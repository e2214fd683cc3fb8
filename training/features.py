"""Features: what the last linear layer gets from a frozen backbone, computed once and cached."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import nn

from common import distributed
from common.errors import InputError, RunError
from common.files import replacing
from common.progress import progress
from configs.input_sizes import eval_size
from data.dataloader import BatchReader, eval_loader
from models.classifier import Classifier, on_device
from models.layers import classifier_parameter_names
from prediction.logits import LoaderOutputs, compute_logits
from training.run import Run


@dataclass(frozen=True)
class Features:
    """Features `values` float32 (N, D) of the readable images, and their table `rows` int64 (N,)."""

    values: np.ndarray
    rows: np.ndarray


class Backbone(nn.Module):
    """A model that returns features instead of logits, for every kind of head in timm."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 (N, D) of images uint8 (N, 3, H, W); those of a stage head are not standardised."""
        if self.model.head is not None:
            return self.model.head.features(self.model.stage_maps(self.model.normalised(images)))
        seen: list[torch.Tensor] = []
        # only for this call: in training it would keep the graph of a step that failed
        hook = final_layer(self.model).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self.model(images)
        finally:
            hook.remove()
        return seen[0].float()


def final_layer(model: Classifier) -> nn.Linear:
    """Return the linear layer that computes the logits. Raises InputError if the architecture has another head."""
    modules = {name.rpartition(".")[0] for name in classifier_parameter_names(model)}
    layer = model.get_submodule(modules.pop()) if len(modules) == 1 else None
    if not isinstance(layer, nn.Linear):
        architecture = model.backbone.pretrained_cfg["architecture"]
        raise InputError(f"{architecture} does not end in one linear layer, so no probe can be fitted.")
    return layer


def frozen_features(run: Run, model: Classifier, rows: np.ndarray) -> Features:
    """Return the features of table rows at the evaluation size; cached below `output_dir`.

    The cache key covers weights, size and files, so a cached result always belongs to the same input.
    """
    path = run.folder.root / "features" / f"{_key(run, model, rows)}.npz"
    cached = _read_cache(path) if distributed.is_main() else None
    if distributed.any_rank(cached is not None):
        return distributed.gather(cached)[0]
    features = _compute(run, model, eval_loader(run.config, run.table, rows, run.device), len(rows))
    if distributed.is_main():
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, values=features.values, rows=features.rows)
    return features


def check_readable(run: Run, rows: np.ndarray, features: Features) -> int:
    """Return how many of the table `rows` have no features because their images cannot be read.

    Raises RunError if they are more than `dataset.max_bad_fraction`.
    """
    missing = np.setdiff1d(rows, features.rows)
    limit = run.config.dataset.max_bad_fraction
    if len(missing) > limit * len(rows):
        raise RunError(
            f"{len(missing)} of {len(rows)} images could not be read, more than dataset.max_bad_fraction={limit:g} "
            f"(first: {run.table.image_ids[missing[0]]}). Mend them, or give a larger fraction."
        )
    return len(missing)


def _read_cache(path: Path) -> Features | None:
    try:
        with np.load(path, allow_pickle=False) as saved:
            return Features(saved["values"], saved["rows"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        # missing or damaged: computed again
        return None


def _compute(run: Run, model: Classifier, loader: BatchReader, images: int) -> Features:
    backbone = on_device(Backbone(model), run.device)
    with progress("features", images) as advance:
        predictions: LoaderOutputs = compute_logits(
            backbone, loader, final_layer(model).in_features, run.device, run.precision, advance
        )
    if len(predictions.indices) == 0:
        raise RunError(f"{run.table.image_dir}: none of the {images} images could be read.")
    return Features(predictions.logits, predictions.indices)


def _key(run: Run, model: Classifier, rows: np.ndarray) -> str:
    model_config = run.config.model
    head = "pooled" if model.head is None else model.head.kind
    seen = f"{eval_size(run.config)} {model_config.crop_pct} {model_config.fit} {head} {run.precision}"
    digest = hashlib.sha256(seen.encode())
    # what the features do not depend on
    others = {"head.feature_mean", "head.feature_scale"} | classifier_parameter_names(model)
    for name, tensor in model.state_dict().items():
        if name not in others:
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for row in rows:
        path = run.table.image_dir / run.table.image_ids[row]
        status = path.stat() if path.is_file() else None
        digest.update(f"{row} {path.name} {status and (status.st_size, status.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:32]
