"""Images to logits, the same way in validation, evaluation and prediction."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader

from engine.hardware import Precision
from models.classifier import Classifier


@dataclass(frozen=True)
class Predictions:
    """Logits float32 (N, C) of the readable images, their labels and table rows int64 (N,), and what was left out."""

    logits: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    skipped: list[tuple[int, str]]
    recovered: list[int]


@torch.inference_mode()
def predict(
    model: Classifier,
    loader: DataLoader,
    num_classes: int,
    device: torch.device,
    precision: Precision,
    advance: Callable[[int], None] = lambda images: None,
) -> Predictions:
    """Run `model`, in evaluation mode, over `loader`; `advance` is told the images done after each batch."""
    model.eval()
    logits, labels, indices = [np.empty((0, num_classes), np.float32)], [], []
    skipped, recovered = [], []
    for batch in loader:
        if len(batch.images):
            with precision.context():
                output = model(batch.images.to(device, non_blocking=True))
            logits.append(output.float().cpu().numpy())
        labels.append(batch.labels.numpy())
        indices.append(batch.indices.numpy())
        skipped.extend(batch.skipped)
        recovered.extend(batch.recovered)
        advance(len(batch.images) + len(batch.skipped))
    return Predictions(
        np.concatenate(logits),
        np.concatenate([*labels, np.empty(0, np.int64)]),
        np.concatenate([*indices, np.empty(0, np.int64)]),
        skipped,
        recovered,
    )
