"""A linear probe: the classifier fitted on the features of a frozen backbone, to start from or as a baseline.

Kumar et al. 2022 (arXiv:2202.10054) show why fine-tuning from such a classifier beats starting from a random one.
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from torch import nn

from configs.errors import InputError, RunError
from data.files import replacing
from data.progress import progress
from data.reader import BatchReader
from engine import distributed
from engine.predictor import Predictions, predict
from engine.setup import Run, eval_loader
from engine.sizes import eval_size
from models.classifier import Classifier, head_parameter_names

# inverse strength of L2, for features of unit variance
REGULARISATION = 0.1
CANDIDATES = (0.01, 0.1, 1.0)
_ITERATIONS = 300
_FOLDS = 5


@dataclass(frozen=True)
class Features:
    """What the classifier of a frozen backbone sees: `values` float32 (N, D) of the readable images, `rows` int64."""

    values: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class LinearClassifier:
    """logits = features @ weight.T + bias; float64 (C, D) and (C,)."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return float64 (N, C) of features (N, D)."""
        return features @ self.weight.T + self.bias


class Backbone(nn.Module):
    """Images to the features that the classifier sees, whatever the architecture's head does before it."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        self.seen = torch.empty(0)
        final_layer(model).register_forward_pre_hook(self._remember)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 (N, D) of images uint8 (N, 3, H, W)."""
        self.model(images)
        return self.seen.float()

    def _remember(self, _layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.seen = inputs[0]


def final_layer(model: Classifier) -> nn.Linear:
    """Return the linear layer that gives the logits. Raises InputError for an architecture that has another head."""
    modules = {name.rpartition(".")[0] for name in head_parameter_names(model)}
    layer = model.get_submodule(modules.pop()) if len(modules) == 1 else None
    if not isinstance(layer, nn.Linear):
        architecture = model.backbone.pretrained_cfg["architecture"]
        raise InputError(f"{architecture} does not end in one linear layer, so no probe can be fitted.")
    return layer


def frozen_features(run: Run, model: Classifier, rows: np.ndarray) -> Features:
    """Return the features of table rows at the size of evaluation, from the cache below `output_dir` if they are there.

    The cache is keyed by weights, size and files, so that it cannot answer for others.
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


def _read_cache(path: Path) -> Features | None:
    try:
        with np.load(path, allow_pickle=False) as saved:
            return Features(saved["values"], saved["rows"])
    except (OSError, ValueError, KeyError, EOFError):
        # absent, or damaged: computed again and replaced
        return None


def _compute(run: Run, model: Classifier, loader: BatchReader, images: int) -> Features:
    backbone = Backbone(model).to(device=run.device, memory_format=torch.channels_last)
    with progress("features", images) as advance:
        predictions: Predictions = predict(
            backbone, loader, final_layer(model).in_features, run.device, run.precision, advance
        )
    if len(predictions.indices) == 0:
        raise RunError(f"{run.table.image_dir}: none of the {images} images could be read.")
    return Features(predictions.logits, predictions.indices)


def _key(run: Run, model: Classifier, rows: np.ndarray) -> str:
    digest = hashlib.sha256(f"{eval_size(run.config)} {run.config.model.crop_pct} {run.precision}".encode())
    head = head_parameter_names(model)
    for name, tensor in model.state_dict().items():
        if name not in head:
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for row in rows:
        path = run.table.image_dir / run.table.image_ids[row]
        status = path.stat() if path.is_file() else None
        digest.update(f"{row} {path.name} {status and (status.st_size, status.st_mtime_ns)}\n".encode())
    return digest.hexdigest()[:32]


def fit_classifier(
    features: np.ndarray, labels: np.ndarray, num_classes: int, regularisation: float = REGULARISATION
) -> LinearClassifier:
    """Fit multinomial logistic regression with an L2 penalty on features (N, D) scaled to unit variance.

    Each image weighs as much as its class is rare, so that frequent classes do not win by their number. A class
    without images gets the lowest bias. The scaling is folded into the weights.
    """
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    # a feature that hardly varies over few images must not weigh as much as the others
    scale = np.maximum(scale, 0.1 * scale.mean() + 1e-12)
    regression = LogisticRegression(C=regularisation, max_iter=_ITERATIONS, class_weight="balanced")
    with warnings.catch_warnings():
        # a start for training need not be the last digit of the optimum
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit((features - mean) / scale, labels)
    found, coefficients, intercepts = regression.classes_, regression.coef_, regression.intercept_
    if len(found) == 2:
        coefficients, intercepts = np.concatenate([-coefficients, coefficients]) / 2, np.array([-1, 1]) * intercepts / 2
    weight = np.zeros((num_classes, features.shape[1]))
    bias = np.full(num_classes, intercepts.min())
    weight[found] = coefficients / scale
    bias[found] = intercepts - weight[found] @ mean
    return LinearClassifier(weight, bias)


def choose_regularisation(features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int) -> float:
    """Return the strength of `CANDIDATES` with the best cross-validated top-1; the default if classes are too small."""
    if np.bincount(labels)[np.unique(labels)].min() < 2:
        return REGULARISATION
    scores = {}
    for candidate in CANDIDATES:
        logits = out_of_fold_logits(features, labels, num_classes, seed, candidate)
        scores[candidate] = (logits.argmax(axis=1) == labels).mean()
    return max(scores, key=scores.get)


def out_of_fold_logits(
    features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int, regularisation: float = REGULARISATION
) -> np.ndarray:
    """Return logits float64 (N, C) of each image by a classifier that was fitted on the other folds."""
    folds = int(np.clip(np.bincount(labels)[np.unique(labels)].min(), 2, _FOLDS))
    logits = np.empty((len(labels), num_classes))
    with warnings.catch_warnings():
        # a class with one image is in one fold alone
        warnings.simplefilter("ignore", UserWarning)
        parts: Sequence = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, labels))
    for train, held_back in parts:
        classifier = fit_classifier(features[train], labels[train], num_classes, regularisation)
        logits[held_back] = classifier.logits(features[held_back])
    return logits


@torch.no_grad()
def start_from_probe(run: Run, model: Classifier) -> None:
    """Give `model` the classifier fitted on the features of its frozen backbone over the training images."""
    layer = final_layer(model)
    features = frozen_features(run, model, run.split.train)
    labels = run.table.labels[features.rows]
    classifier = fit_classifier(features.values, labels, len(run.table.classes)) if distributed.is_main() else None
    classifier = distributed.gather(classifier)[0]
    layer.weight.copy_(torch.from_numpy(classifier.weight))
    layer.bias.copy_(torch.from_numpy(classifier.bias))
