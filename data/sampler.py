"""The order of images in an epoch, a function of (seed, epoch), so that training can resume at any batch."""

from collections.abc import Iterator, Sequence

import numpy as np

from common.randomness import Purpose, keyed_generator

# (epoch, row of the table); the epoch decides the augmentation
SampleKey = tuple[int, int]


class EpochBatches:
    """The batches of one training epoch, as lists of (epoch, index).

    The last batch may be smaller. A single image left over joins the batch before it, because batch statistics of one
    image mean nothing. Set `epoch` and `first_batch` before iterating, and `end` for an epoch that ends before that
    batch. With `parts` processes, process `part` gets every `parts`-th image of each batch, so the batches are those of
    a single process.
    """

    def __init__(
        self,
        rows: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        sampler: str,
        seed: int,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self.rows = rows
        self.labels = labels[rows]
        self.batch_size = batch_size
        self.sampler = sampler
        self.seed = seed
        self.part = part
        self.parts = parts
        self.epoch = 0
        self.first_batch = 0
        self.end = len(self)

    def __len__(self) -> int:
        full, rest = divmod(len(self.rows), self.batch_size)
        return full + (rest > 1 or full == 0)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order = self._order()
        for batch in range(self.first_batch, self.end):
            rows = order[self.first_image(batch) : self.first_image(batch + 1)]
            yield [(self.epoch, int(row)) for row in rows[self.part :: self.parts]]

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


def eval_batches(
    rows: Sequence[int] | np.ndarray, batch_size: int, part: int = 0, parts: int = 1
) -> list[list[SampleKey]]:
    """Return the batches of `rows` in order; process `part` of `parts` gets every `parts`-th batch.

    Batches stay whole, because the last bits of a logit depend on the batch in which it was computed. Every process
    gets the same number of batches; the last may be empty.
    """
    keys = [(0, int(row)) for row in rows]
    batches = [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]
    batches += [[]] * (-len(batches) % parts)
    return batches[part::parts]
