"""Batches read by worker processes. A worker that dies or hangs costs at most the image that caused it."""

import re
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data._utils.worker import WorkerInfo

from common import distributed
from common.errors import RunError
from common.memory import return_freed_memory
from common.processors import processes_here, reading_workers
from configs.input_sizes import eval_size, final_size
from configs.schema import Config, DatasetConfig
from data.dataset import Batch, ImageDataset, collate
from data.sampler import EpochBatches, SampleKey, eval_batches
from data.table import ImageTable
from data.transforms import EvalTransform, train_transform
from data.worker_memory import keep_freed_memory, shared_memory_warning

# skip an image after this many worker deaths while reading it; one may be a coincidence
DEATHS_OF_AN_IMAGE = 2

# give up after this many worker deaths in a row
DEATHS_IN_A_ROW = 6

# torch checks for dead workers when a wait times out
SECONDS_BETWEEN_CHECKS = 2


# what torch says where there is no memory to hand a batch over: on Windows, and elsewhere
_NO_SHARED_MEMORY = ("shared file mapping", "shared memory")

_FEWER_WORKERS = (
    "If memory is short, give fewer of them (dataset.num_workers=1, or 0 for none), a smaller dataset.batch_size, or "
    "more memory: on Windows a larger paging file, in docker a larger shm-size."
)


class _PinningEnded(RuntimeError):
    """The thread that copies batches into pinned memory has ended; nothing would ever come from it."""


class BatchReader:
    """Iterates over `batches`, which are lists of sample keys; `collate` says what a batch holds.

    A worker that dies is replaced, as is the thread that pins memory, and its batch is read again. An image during
    whose reading a second worker dies is skipped and reported like an unreadable image. Workers stay alive from one
    iteration to the next. `timeout` (seconds, 0 = none) limits the wait for a batch; it needs workers.

    Raises RunError if a batch does not come in time, or workers do not start, keep dying, or find no memory.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        batches: Iterable[list[SampleKey]],
        num_workers: int,
        pin_memory: bool = False,
        timeout: float = 0,
    ) -> None:
        self.dataset = dataset
        self.batches = batches
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.timeout = timeout
        # int64 (size of the batch, 2) each: a million tuples would be copied into every worker process
        self._left: list[np.ndarray] = []
        self._loader: DataLoader | None = None
        self._deaths: Counter[int] = Counter()
        self._broken_off: Exception | None = None

    def __iter__(self) -> Iterator[Batch]:
        self._left[:] = [np.array(batch, dtype=np.int64).reshape(-1, 2) for batch in self.batches]
        deaths_in_a_row = 0
        batches = self._start()
        while self._left:
            try:
                batch = self._next(batches)
            except RuntimeError as error:
                pids = [int(pid) for pid in re.findall(r"\d+", str(error).partition("(pid(s)")[2])]
                deaths_in_a_row += 1
                if not pids and any(words in str(error) for words in _NO_SHARED_MEMORY):
                    last = str(error).strip().splitlines()[-1]
                    raise RunError(f"Worker processes cannot hand images over ({last}). {_FEWER_WORKERS}") from error
                if not pids and not isinstance(error, _PinningEnded):
                    raise
                if deaths_in_a_row > DEATHS_IN_A_ROW:
                    raise RunError(
                        f"Worker processes that read images keep dying ({error}). {_FEWER_WORKERS}"
                    ) from error
                self._blame(pids)
                self._loader = None
                batches = self._start()
            else:
                del self._left[0]
                deaths_in_a_row = 0
                yield batch

    def _next(self, batches: Iterator[Batch]) -> Batch:
        started = time.monotonic()
        while True:
            try:
                return next(batches)
            except (OSError, EOFError) as error:
                if not self.num_workers or "worker process" in str(error):
                    raise
                # a worker that dies while it sends a batch breaks the connection before torch notices its death
                self._broken_off = error
            except RuntimeError as error:
                if "timed out" not in str(error):
                    raise
                if self._broken_off:
                    raise self._broken_off from error
                # torch looks at this thread only where it waits without a limit
                pinning = getattr(batches, "_pin_memory_thread", None)
                if pinning is not None and not pinning.is_alive():
                    raise _PinningEnded("the thread that pins memory ended") from error
                if self.timeout and time.monotonic() - started >= self.timeout:
                    raise RunError(self._describe_wait()) from error

    def _start(self) -> Iterator[Batch]:
        if self._loader is None:
            if self.num_workers:
                return_freed_memory()
                self.dataset.in_flight = torch.full((self.num_workers, 2), -1, dtype=torch.int64).share_memory_()
            self._loader = DataLoader(
                self.dataset,
                # a copy, because workers read ahead of the batches that were yielded
                batch_sampler=_Remaining(self._left),
                collate_fn=collate,
                num_workers=self.num_workers,
                pin_memory=self.pin_memory,
                persistent_workers=self.num_workers > 0,
                worker_init_fn=_start_worker,
                timeout=min(self.timeout or SECONDS_BETWEEN_CHECKS, SECONDS_BETWEEN_CHECKS) if self.num_workers else 0,
            )
        self._broken_off = None
        try:
            batches = iter(self._loader)
        except OSError as error:
            # spawned processes that end while they import torch break the pipe; a fork may find no memory
            raise RunError(f"Worker processes that read images do not start ({error}). {_FEWER_WORKERS}") from error
        if self.num_workers and hasattr(signal, "SIGCHLD"):
            # torch's handler raises anywhere, even within an optimizer step; `next` notices the death too
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return batches

    def _blame(self, pids: list[int]) -> None:
        """Count the death for the image that each dead worker was reading; skip an image that killed two."""
        in_flight = [int(index) for pid, index in self.dataset.in_flight.tolist() if pid in pids and index >= 0]
        for index in in_flight:
            self._deaths[index] += 1
            name = self.dataset.image_dir / self.dataset.image_ids[index]
            if self._deaths[index] < DEATHS_OF_AN_IMAGE:
                print(f"warning: a worker process died while it read {name}; it is read once more", flush=True)
            else:
                self.dataset.excluded[index] = "the process that reads it dies"
                print(f"warning: another worker process died while it read {name}; it is left out", flush=True)
        if not in_flight:
            print("warning: a worker process died and was replaced", flush=True)

    def _describe_wait(self) -> str:
        names = [str(self.dataset.image_dir / self.dataset.image_ids[int(index)]) for _, index in self._left[0]]
        return (
            f"No batch came within {self.timeout:g} s (dataset.loader_timeout). Its images: {', '.join(names)}. "
            "Check that their disk answers."
        )


class _Remaining:
    """The batches that are left when an iteration starts."""

    def __init__(self, batches: list[np.ndarray]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[list[SampleKey]]:
        return ([(epoch, row) for epoch, row in batch.tolist()] for batch in list(self.batches))


def _start_worker(worker: int) -> None:
    # Ctrl-C reaches all processes of a terminal; the main process handles it, and needs its workers for that
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # the workers already use all cores; threads inside them would only compete
    cv2.setNumThreads(0)
    keep_freed_memory()
    cast(ImageDataset, cast(WorkerInfo, get_worker_info()).dataset).enter_worker(worker)


def train_loader(config: Config, table: ImageTable, batches: EpochBatches, device: torch.device) -> BatchReader:
    """Return this rank's share of the training images; `eval_loader` may read beside it."""
    images = ImageDataset(table.image_dir, table.image_ids, table.labels, train_transform(config))
    dataset, side = config.dataset, max(config.model.input_size, final_size(config), eval_size(config))
    training, validation = num_workers(dataset, device), num_workers(dataset, device, beside_training=True)
    share = -(-dataset.batch_size // distributed.world_size())
    _warn_of_little_memory(training * share + validation * dataset.batch_size, side)
    return BatchReader(images, batches, training, device.type == "cuda", dataset.loader_timeout)


def eval_loader(
    config: Config,
    table: ImageTable,
    rows: Sequence[int] | np.ndarray,
    device: torch.device,
    beside_training: bool = False,
) -> BatchReader:
    """Return this rank's share of the batches of table rows, transformed as in evaluation.

    `beside_training`: while the reader of training images keeps its processes, this one starts fewer.
    """
    transform = EvalTransform(eval_size(config), config.model.crop_pct, (config.model.fit,))
    images = ImageDataset(table.image_dir, table.image_ids, table.labels, transform)
    return _share_of(images, rows, config.dataset, device, num_workers(config.dataset, device, beside_training))


def eval_reader(
    images: ImageDataset, rows: Sequence[int] | np.ndarray, config: DatasetConfig, device: torch.device
) -> BatchReader:
    """Return this rank's share of the batches of `rows`, for `compute_logits`."""
    workers = num_workers(config, device)
    if isinstance(images.transform, EvalTransform):
        _warn_of_little_memory(workers * config.batch_size * len(images.transform.fits), images.transform.input_size)
    return _share_of(images, rows, config, device, workers)


def _share_of(
    images: ImageDataset,
    rows: Sequence[int] | np.ndarray,
    config: DatasetConfig,
    device: torch.device,
    workers: int,
) -> BatchReader:
    batches = eval_batches(rows, config.batch_size, distributed.rank(), distributed.world_size())
    return BatchReader(images, batches, workers, device.type == "cuda", config.loader_timeout)


def num_workers(config: DatasetConfig, device: torch.device, beside_training: bool = False) -> int:
    """Return the number of worker processes of a reader: what the config says, or what suits the machine."""
    if config.num_workers is not None:
        return config.num_workers
    return reading_workers(device.type == "cuda", beside_training)


def _warn_of_little_memory(images: int, side: int) -> None:
    """Say, before it kills workers, that `images` of each process, a batch for each worker, have too little room."""
    warning = shared_memory_warning(images * processes_here() * side * side * 3)
    if warning:
        print(warning, flush=True)
