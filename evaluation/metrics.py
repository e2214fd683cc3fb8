"""Metrics: pure functions on numpy arrays; accuracies are fractions."""

import numpy as np


def top_k_accuracy(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Return the fraction of rows whose label is among the `k` largest logits.

    `logits` (N, C), `labels` int (N,). k is limited to the number of classes. Of equal logits the lower class comes
    first, as in argmax. Returns NaN for N = 0.
    """
    if len(labels) == 0:
        return float("nan")
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return float((ranked == labels[:, None]).any(axis=1).mean())


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return counts int64 (C, C): rows are true classes, columns predicted ones."""
    flat = np.bincount(labels * num_classes + predicted, minlength=num_classes * num_classes)
    return flat.reshape(num_classes, num_classes)


def per_class_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Return each class's recall (C,); NaN for a class without images."""
    totals = matrix.sum(axis=1)
    return np.divide(np.diag(matrix), totals, out=np.full(len(matrix), np.nan), where=totals > 0)


def macro_f1(matrix: np.ndarray) -> float:
    """Return the mean over classes of 2TP / (2TP + FP + FN), over the classes that have images; NaN for none.

    An image taken for a class without images counts as an error of its own class.
    """
    hits, counts = np.diag(matrix), matrix.sum(axis=1)
    present = counts > 0
    sizes = counts + matrix.sum(axis=0)
    return float((2 * hits[present] / sizes[present]).mean()) if present.any() else float("nan")


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log probability of the labels, in nats; NaN for N = 0."""
    if len(labels) == 0:
        return float("nan")
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())
