"""Samples: an image file is decoded and transformed to uint8. One that fails is reported, never replaced."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from data.images import attempt, read_image
from data.transforms import reduction_of

# (uint8 RGB pixels, epoch, sample index) -> uint8 RGB pixels
Transform = Callable[[np.ndarray, int, int], np.ndarray]


class Sample(NamedTuple):
    """One image; `pixels` is None and `problem` says why where it could not be read or transformed."""

    index: int
    label: int
    pixels: np.ndarray | None
    problem: str = ""
    recovered: bool = False


class Batch(NamedTuple):
    """Images uint8 (N, 3, H, W) in channels_last memory, labels and indices int64 (N,), and the skipped images."""

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor
    skipped: list[tuple[int, str]]
    recovered: list[int]


class ImageDataset(Dataset):
    """Samples by (epoch, index): `index` is a row of the table, `epoch` decides the augmentation."""

    def __init__(self, image_dir: Path, image_ids: Sequence[str], labels: np.ndarray, transform: Transform) -> None:
        self.image_dir = image_dir
        self.image_ids = image_ids
        self.labels = labels
        self.transform = transform
        # skipped rows, and why
        self.excluded: dict[int, str] = {}
        # shared int64 (workers, 2): each worker's process id, and the row that it is reading, or -1
        self.in_flight = torch.empty((0, 2), dtype=torch.int64)
        self._worker: int | None = None

    def enter_worker(self, worker: int) -> None:
        """Tell the copy in worker process number `worker` where to note what it reads."""
        self._worker = worker
        self.in_flight[worker, 0] = os.getpid()

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        if self._worker is None:
            return self._read(epoch, index)
        self.in_flight[self._worker, 1] = index
        sample = self._read(epoch, index)
        self.in_flight[self._worker, 1] = -1
        return sample

    def _read(self, epoch: int, index: int) -> Sample:
        label = int(self.labels[index])
        if index in self.excluded:
            return Sample(index, label, None, problem=self.excluded[index])

        def view() -> Sample:
            decoded = read_image(self.image_dir / self.image_ids[index], reduction_of(self.transform, epoch, index))
            return Sample(index, label, self.transform(decoded.pixels, epoch, index), recovered=decoded.recovered)

        sample, problem = attempt(view)
        return sample or Sample(index, label, None, problem=problem)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack the readable samples to a batch; N = 0 if none could be read."""
    readable = [sample for sample in samples if sample.pixels is not None]
    return Batch(
        images=_stacked([sample.pixels for sample in samples if sample.pixels is not None]),
        labels=torch.tensor([sample.label for sample in readable], dtype=torch.int64),
        indices=torch.tensor([sample.index for sample in readable], dtype=torch.int64),
        skipped=[(sample.index, sample.problem) for sample in samples if sample.pixels is None],
        recovered=[sample.index for sample in samples if sample.recovered],
    )


def _stacked(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """Return uint8 (N, 3, H, W) in channels_last memory of N arrays uint8 (H, W, 3)."""
    if not pictures:
        return torch.empty((0, 3, 0, 0), dtype=torch.uint8)
    shape = (len(pictures), *pictures[0].shape)
    images = torch.empty(0, dtype=torch.uint8)
    if get_worker_info() is None:
        images.resize_(shape)
    else:
        # a worker writes where the main process reads: a batch of 600 px is 35 MB, and each copy of it takes 10 ms
        cast(Any, images).set_(torch.UntypedStorage._new_shared(math.prod(shape)), 0, shape)
    np.stack(pictures, out=images.numpy())
    return images.permute(0, 3, 1, 2)
