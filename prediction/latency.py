"""Latency: how long the whole pipeline takes for one image, from the file to the averaged probabilities."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common.device import describe_device
from common.errors import InputError
from common.files import as_paths
from common.memory import is_out_of_memory, release_device_memory
from common.progress import progress
from data.flower_drawing import drawn_jpegs
from data.images import attempt, read_image
from data.inputs import find_inputs
from prediction.pipeline import Pipeline, predict_batches, to_batches

IMAGES = 100

WARM_UP_IMAGES = 5

REPETITIONS = 5

# preprocess includes resizing; forward includes all views, all members and the average
STAGES = ("decode", "preprocess", "forward")


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds per image."""

    median_ms: float
    p95_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"median {self.median_ms:.1f} ms, p95 {self.p95_ms:.1f} ms, p99 {self.p99_ms:.1f} ms"


@dataclass(frozen=True)
class Latency(Percentiles):
    """Milliseconds per image at batch size 1: decode, resize, all views of all members, average; and per stage."""

    stages: dict[str, Percentiles]
    images: int
    hardware: str
    runtime: str
    precision: str
    views: tuple[str, ...]
    on_cpu: bool

    def __str__(self) -> str:
        caveat = "; not the judges' hardware" if self.on_cpu else ""
        return (
            f"median {self.median_ms:.1f}, p95 {self.p95_ms:.1f}, p99 {self.p99_ms:.1f} ms on {self.hardware}, "
            f"{self.runtime}, {self.precision}, {'+'.join(self.views)}{caveat}"
        )


@dataclass(frozen=True)
class Benchmark:
    """Latency of single images, and the batch size with the least forward time per image.

    `source` is the folder or file of the timed images; None for drawn ones.
    """

    latency: Latency
    best_batch: int
    ms_per_image: float
    source: Path | None


def measure_latency(pipeline: Pipeline, paths: Sequence[Path]) -> Latency:
    """Time the pipeline on up to `IMAGES` of these files, one at a time, after a warm-up.

    Unreadable files are skipped. Raises InputError if none can be read.
    """
    chosen = list(paths)[:IMAGES]
    for path in chosen[:WARM_UP_IMAGES]:
        _time(pipeline, path)
    timed = []
    with progress("benchmark", len(chosen)) as advance:
        for path in chosen:
            timed.append(_time(pipeline, path))
            advance(1)
    stages = np.array([milliseconds for milliseconds in timed if milliseconds is not None])
    skipped = [str(path) for path, milliseconds in zip(chosen, timed, strict=True) if milliseconds is None]
    if skipped and len(stages):
        print(f"warning: {len(skipped)} images cannot be read and are not timed: {', '.join(skipped)}", flush=True)
    if len(stages) == 0:
        raise InputError(f"None of the {len(chosen)} images to be timed can be read, first {chosen[0]}.")
    whole = _percentiles(stages.sum(axis=1))
    return Latency(
        median_ms=whole.median_ms,
        p95_ms=whole.p95_ms,
        p99_ms=whole.p99_ms,
        stages={name: _percentiles(column) for name, column in zip(STAGES, stages.T, strict=True)},
        images=len(stages),
        hardware=describe_device(pipeline.device),
        runtime=pipeline.runtime,
        precision=pipeline.computed_in,
        views=pipeline.views,
        on_cpu=pipeline.device.type == "cpu",
    )


def best_batch(pipeline: Pipeline, paths: Sequence[Path], seconds: float = 20.0) -> tuple[int, float]:
    """Return the batch size of 1, 2, 4, ... 64 with the least forward time per image, and that time in ms.

    Batches are copies of the first readable image. Larger batches are tried while they are faster, fit in memory, and
    less than `seconds` have passed.
    """
    one = _first_readable(pipeline, paths)
    best, started = (1, float("inf")), time.perf_counter()
    for exponent in range(7):
        size = 2**exponent
        taken = _seconds_of_batch(pipeline, one, size)
        if taken is None:
            # outside `except`, where the error would keep what the failed pass has computed
            release_device_memory()
            break
        milliseconds = 1000 * taken / size
        if milliseconds >= best[1] or time.perf_counter() - started > seconds:
            break
        best = (size, milliseconds)
    return best


def _seconds_of_batch(pipeline: Pipeline, one: Sequence[torch.Tensor], size: int) -> float | None:
    """Return the median time of `size` copies of an image, or None if they do not fit in memory."""
    try:
        batches = [batch.repeat(size, 1, 1, 1) for batch in one]
        predict_batches(pipeline, batches, may_split=False)
        timed = [_seconds(lambda: predict_batches(pipeline, batches, may_split=False)) for _ in range(REPETITIONS)]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    return float(np.median(timed))


def _first_readable(pipeline: Pipeline, paths: Sequence[Path]) -> list[torch.Tensor]:
    for path in paths:
        batches, _ = attempt(functools.partial(_read_batches, pipeline, path))
        if batches is not None:
            return batches
    raise InputError(f"None of the {len(paths)} images can be read, first {paths[0]}.")


def _read_batches(pipeline: Pipeline, path: Path, moments: list[float] | None = None) -> list[torch.Tensor]:
    """Return the input of each member; the time at which the file is decoded is added to `moments`."""
    pixels = read_image(path).pixels
    if moments is not None:
        moments.append(time.perf_counter())
    return to_batches(pipeline, pixels)


def _percentiles(milliseconds: np.ndarray) -> Percentiles:
    return Percentiles(*(float(value) for value in np.percentile(milliseconds, [50, 95, 99])))


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _time(pipeline: Pipeline, path: Path) -> tuple[float, float, float] | None:
    """Return the milliseconds of each of `STAGES` for one image, or None if it cannot be read."""
    moments = [time.perf_counter()]
    batches, _ = attempt(lambda: _read_batches(pipeline, path, moments))
    if batches is None:
        return None
    moments.append(time.perf_counter())
    # the result is on the CPU, so the device has finished
    predict_batches(pipeline, batches, [path.name])
    moments.append(time.perf_counter())
    decode, preprocess, forward = (1000 * float(passed) for passed in np.diff(moments))
    return decode, preprocess, forward


def benchmark(pipeline: Pipeline, images: str | Path | Sequence[str | Path] | None = None) -> Benchmark:
    """Time the pipeline on images (see `find_inputs`); None draws some of `competition.input_size`."""
    limits, paths = pipeline.config.competition, [] if images is None else as_paths(images, "images")
    with drawn_jpegs(limits.input_size, 0 if paths else IMAGES) as drawn:
        files = find_inputs(paths).paths if paths else drawn
        latency = measure_latency(pipeline, files)
        size, milliseconds = best_batch(pipeline, files)
    return Benchmark(latency, size, milliseconds, paths[0] if paths else None)
