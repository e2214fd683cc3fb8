"""Images to logits, the same for validation, evaluation and prediction."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from common import distributed
from common.device import Precision
from common.errors import print_warning
from data.dataloader import BatchReader
from data.dataset import Batch
from prediction.forward import ForwardPass, Started, overflow_note


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
    single process. Images that overflow in 16 bits are computed again in float32, and counted in a warning; a batch
    that does not fit into memory is split. Raises RunError, with names, for logits that are not finite in float32
    either, and if the memory does not hold one image.
    """
    model.eval()
    forward, parts = ForwardPass(model, device, precision), []
    for batch, logits in _one_in_flight(forward, loader):
        found = np.empty((0, num_classes), np.float32) if logits is None else logits
        # copies: each tensor of a worker process holds an open file, and a pinned one memory that no batch can reuse
        labels, indices = batch.labels.numpy().copy(), batch.indices.numpy().copy()
        parts.append(LoaderOutputs(found, labels, indices, batch.skipped, batch.recovered))
        advance((len(batch.images) + len(batch.skipped)) * distributed.world_size())
    outputs = _join(distributed.gather_in_turn(parts), num_classes)
    (overflowed,) = distributed.add_up([forward.overflowed])
    if overflowed and distributed.is_main():
        print_warning(overflow_note(overflowed, precision))
    return outputs


def _one_in_flight(forward: ForwardPass, loader: BatchReader) -> Iterator[tuple[Batch, np.ndarray | None]]:
    """Yield each batch with its logits, None if it is empty. A batch is read only when the next one is being computed,
    so that the device need not wait.
    """
    waiting: tuple[Batch, Started | None] | None = None
    for batch in loader:
        started = forward.start(batch.images) if len(batch.images) else None
        if waiting is not None:
            yield _finish(forward, loader, *waiting)
        waiting = batch, started
    if waiting is not None:
        yield _finish(forward, loader, *waiting)


def _finish(
    forward: ForwardPass, loader: BatchReader, batch: Batch, started: Started | None
) -> tuple[Batch, np.ndarray | None]:
    if started is None:
        return batch, None
    names = [str(loader.dataset.image_ids[int(row)]) for row in batch.indices]
    return batch, forward.finish(started, names)


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


def calibrated(logits: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Return probabilities float64 (N, C) of logits (N, C) divided by a temperature, one for all or (N, 1).

    The order of an image's classes stays.
    """
    # float32 could make two nearly equal logits equal
    return softmax(logits.astype(np.float64) / temperature)


def log_of(probabilities: np.ndarray) -> np.ndarray:
    """Return the logarithm of probabilities as finite logits; zeros become that of the smallest normal number.

    A higher floor would make overconfident wrong answers look less wrong, and a fitted temperature too low.
    """
    return np.log(np.maximum(probabilities, np.finfo(probabilities.dtype).tiny))
