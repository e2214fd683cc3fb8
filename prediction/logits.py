"""Images to logits, the same for validation, evaluation and prediction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from common import distributed
from common.device import Precision
from data.dataloader import BatchReader


@dataclass(frozen=True)
class LoaderOutputs:
    """Logits float32 (N, C) of readable images, their labels and table rows int64 (N,), and the skipped images."""

    logits: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    skipped: list[tuple[int, str]]
    recovered: list[int]


@torch.inference_mode()
def compute_logits(
    model: nn.Module,
    loader: BatchReader,
    num_classes: int,
    device: torch.device,
    precision: Precision,
    advance: Callable[[int], None] = lambda images: None,
) -> LoaderOutputs:
    """Run `model` in evaluation mode over `loader`; `advance` gets the number of images after each batch.

    With several ranks, each computes every n-th batch, and all return the logits of all images, in the order of a
    single process.
    """
    model.eval()
    parts = []
    for batch in loader:
        logits = np.empty((0, num_classes), np.float32)
        if len(batch.images):
            with precision.context():
                logits = model(batch.images.to(device, non_blocking=True)).float().cpu().numpy()
        parts.append(LoaderOutputs(logits, batch.labels.numpy(), batch.indices.numpy(), batch.skipped, batch.recovered))
        advance((len(batch.images) + len(batch.skipped)) * distributed.world_size())
    return _join(distributed.gather_in_turn(parts), num_classes)


def _join(parts: Sequence[LoaderOutputs], num_classes: int) -> LoaderOutputs:
    return LoaderOutputs(
        np.concatenate([np.empty((0, num_classes), np.float32), *(part.logits for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.labels for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.indices for part in parts)]),
        [problem for part in parts for problem in part.skipped],
        [row for part in parts for row in part.recovered],
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities float64 (..., C) of logits (..., C)."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def log_of(probabilities: np.ndarray) -> np.ndarray:
    """Return the logarithm of probabilities as finite logits; zeros become log(1e-12)."""
    return np.log(np.maximum(probabilities, 1e-12))
