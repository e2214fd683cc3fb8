"""Linear probe: logistic regression on the features of a frozen backbone, as start of training or baseline.

Kumar et al. 2022 (arXiv:2202.10054) show why fine-tuning from such a classifier beats a random one.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch.nn.functional import cross_entropy

from common import distributed
from models.classifier import Classifier
from training.features import final_layer, frozen_features
from training.run import Run

# inverse strength of L2, for features of unit variance
REGULARISATION = 0.1

CANDIDATES = (0.01, 0.1, 1.0)

# training continues from here, so the exact optimum is not needed
_ITERATIONS = 100

_FOLDS = 5


@dataclass(frozen=True)
class LinearClassifier:
    """logits = features @ weight.T + bias; float64 (C, D) and (C,)."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return float64 (N, C) of features (N, D)."""
        return features @ self.weight.T + self.bias


def fit_classifier(
    features: np.ndarray, labels: np.ndarray, num_classes: int, regularisation: float = REGULARISATION
) -> LinearClassifier:
    """Fit multinomial logistic regression with an L2 penalty on features (N, D), scaled to unit variance.

    Classes have equal weight in total, so that frequent ones do not win by number. A class without images gets the
    lowest bias. The scaling is folded into the weights.
    """
    mean, scale = standardisation(features)
    found, positions = np.unique(labels, return_inverse=True)
    coefficients, intercepts = _logistic_regression(
        torch.from_numpy(((features - mean) / scale).astype(np.float32)),
        torch.from_numpy(positions),
        regularisation,
    )
    weight = np.zeros((num_classes, features.shape[1]))
    bias = np.full(num_classes, np.min(intercepts))
    weight[found] = coefficients / scale
    bias[found] = intercepts - weight[found] @ mean
    return LinearClassifier(weight, bias)


def standardisation(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale float64 (D,) that give features (N, D) the mean 0 and at most the deviation 1."""
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    # a feature with almost no variance over few images must not be scaled up to the others
    return mean, np.maximum(scale, 0.1 * scale.mean() + 1e-12)


@torch.enable_grad()
def _logistic_regression(
    features: torch.Tensor, labels: torch.Tensor, regularisation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients float64 (C, D) and intercepts (C,) for float32 (N, D) and labels 0..C-1, by L-BFGS.

    Least is the sum of the cross-entropy over images, weighted so that classes have equal weight in total, and of half
    the squared coefficients divided by `regularisation`.
    """
    counts = torch.bincount(labels)
    weights = (len(labels) / (len(counts) * counts.float()))[labels]
    coefficients = torch.zeros(len(counts), features.shape[1], requires_grad=True)
    intercepts = torch.zeros(len(counts), requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [coefficients, intercepts], max_iter=_ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        losses = cross_entropy(torch.addmm(intercepts, features, coefficients.T), labels, reduction="none")
        total = (weights * losses).sum() + coefficients.square().sum() / (2 * regularisation)
        total.backward()
        return total

    optimizer.step(loss)
    return coefficients.detach().double().numpy(), intercepts.detach().double().numpy()


def choose_regularisation(features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int) -> float:
    """Return the strength of `CANDIDATES` with the best cross-validated top-1; the default for tiny classes."""
    if np.bincount(labels)[np.unique(labels)].min() < 2:
        return REGULARISATION
    scores: dict[float, float] = {}
    for candidate in CANDIDATES:
        logits = out_of_fold_logits(features, labels, num_classes, seed, candidate)
        scores[candidate] = float((logits.argmax(axis=1) == labels).mean())
    return max(scores, key=scores.__getitem__)


def out_of_fold_logits(
    features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int, regularisation: float = REGULARISATION
) -> np.ndarray:
    """Return logits float64 (N, C) of each image by a classifier that was fitted on the other folds."""
    folds = int(np.clip(np.bincount(labels)[np.unique(labels)].min(), 2, _FOLDS))
    logits = np.empty((len(labels), num_classes))
    with warnings.catch_warnings():
        # scikit-learn warns about classes with fewer images than folds
        warnings.simplefilter("ignore", UserWarning)
        parts: Sequence = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, labels))
    for train, held_back in parts:
        classifier = fit_classifier(features[train], labels[train], num_classes, regularisation)
        logits[held_back] = classifier.logits(features[held_back])
    return logits


@torch.no_grad()
def start_from_probe(run: Run, model: Classifier, regularisation: float = REGULARISATION) -> None:
    """Give `model` the classifier fitted on the frozen features of the training images."""
    layer = final_layer(model)
    features = frozen_features(run, model, run.split.train)
    values, labels = features.values, run.table.labels[features.rows]
    if model.head is not None:
        values = (values - model.head.feature_mean.numpy()) / model.head.feature_scale.numpy()
    classifier = None
    if distributed.is_main():
        classifier = fit_classifier(values, labels, len(run.table.classes), regularisation)
    classifier = distributed.gather(classifier)[0]
    layer.weight.copy_(torch.from_numpy(classifier.weight))
    layer.bias.copy_(torch.from_numpy(classifier.bias))
