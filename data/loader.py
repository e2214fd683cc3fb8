"""Which images come when: the order of an epoch is a function of (seed, epoch), so any batch can be started from."""

import os
import signal
from collections.abc import Iterator

import cv2
import numpy as np
from torch.utils.data import DataLoader

from data.dataset import ImageDataset, collate
from data.keyed import Purpose, keyed_generator


class EpochBatches:
    """The batches of one training epoch, as lists of (epoch, index).

    The last batch is what is left; a single image left over joins the batch before, because batch statistics of one
    image say nothing.
    Set `epoch` and `first_batch` before iterating; persistent workers never see this object, so they need no restart.
    """

    def __init__(self, rows: np.ndarray, labels: np.ndarray, batch_size: int, sampler: str, seed: int) -> None:
        self.rows = rows
        self.labels = labels[rows]
        self.batch_size = batch_size
        self.sampler = sampler
        self.seed = seed
        self.epoch = 0
        self.first_batch = 0

    def __len__(self) -> int:
        full, rest = divmod(len(self.rows), self.batch_size)
        return full + (rest > 1 or full == 0)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self._order()
        for batch in range(self.first_batch, len(self)):
            yield [(self.epoch, int(row)) for row in order[self.first_image(batch) : self.first_image(batch + 1)]]

    def first_image(self, batch: int) -> int:
        """Return how many images of the epoch come before `batch`."""
        return len(self.rows) if batch >= len(self) else batch * self.batch_size

    def _order(self) -> np.ndarray:
        generator = keyed_generator(self.seed, Purpose.ORDER, self.epoch)
        if self.sampler == "shuffle":
            return generator.permutation(self.rows)
        counts = np.bincount(self.labels)[self.labels]
        weights = counts ** (-1.0 if self.sampler == "balanced" else -0.5)
        return generator.choice(self.rows, size=len(self.rows), p=weights / weights.sum())


def default_workers() -> int:
    """Return min(8, cores that this process may use)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)


def train_loader(dataset: ImageDataset, batches: EpochBatches, num_workers: int, pin_memory: bool) -> DataLoader:
    """Return the loader of training batches; `batches` decides epoch and starting point at each iteration."""
    return _loader(dataset, batches, num_workers, pin_memory)


def eval_loader(
    dataset: ImageDataset, rows: np.ndarray, batch_size: int, num_workers: int, pin_memory: bool = False
) -> DataLoader:
    """Return the loader of `rows`, in their order."""
    keys = [(0, int(row)) for row in rows]
    batches = [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]
    return _loader(dataset, batches, num_workers, pin_memory)


def _loader(dataset: ImageDataset, batch_sampler: object, num_workers: int, pin_memory: bool) -> DataLoader:
    return DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        worker_init_fn=_start_worker,
    )


def _start_worker(worker: int) -> None:
    # Ctrl-C reaches every process of a terminal; the main one answers it, and still needs its workers to do so
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # the workers are the parallelism; threads inside them would only compete
    cv2.setNumThreads(0)
