"""The validation images of a run: logits of a model, metrics, and which of them are right."""

from collections.abc import Callable

import numpy as np
import torch

from common.device import choose_inference_precision
from evaluation.metrics import cross_entropy, top_k_accuracy
from models.classifier import Classifier
from prediction.logits import LoaderOutputs, compute_logits
from training.run import Run


def validation_logits(run: Run, model: Classifier, advance: Callable[[int], None]) -> LoaderOutputs:
    """Return the logits of `model` on the validation images, of which there must be some."""
    if run.val_loader is None:
        raise ValueError("the run has no validation images")
    config = run.config.training
    precision = choose_inference_precision(run.device, config.use_amp, config.amp_dtype)
    return compute_logits(model, run.val_loader, len(run.table.classes), run.device, precision, advance)


def validation_metrics(predictions: LoaderOutputs | None) -> dict[str, float | None]:
    """Return `val_loss` (cross-entropy, whatever the training loss), `val_top1`, `val_top5`; None without images."""
    if predictions is None or len(predictions.labels) == 0:
        return {"val_loss": None, "val_top1": None, "val_top5": None}
    return {
        "val_loss": cross_entropy(predictions.logits, predictions.labels),
        "val_top1": top_k_accuracy(predictions.logits, predictions.labels, 1),
        "val_top5": top_k_accuracy(predictions.logits, predictions.labels, 5),
    }


def hits_of(run: Run, predictions: LoaderOutputs) -> torch.Tensor:
    """Return which validation images are right, bool (N,) in the order of `run.split.val`; unreadable ones are not."""
    right = predictions.logits.argmax(axis=1) == predictions.labels
    return torch.from_numpy(np.isin(run.split.val, predictions.indices[right]))
