"""How long the whole pipeline takes for one image, from the file to the averaged answer."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from configs.errors import InputError
from data.drawing import draw_flower, species_of
from data.images import UnreadableImage
from data.progress import progress
from engine.hardware import describe_device
from engine.pipeline import Pipeline, answer_one

IMAGES = 100
WARM_UP_IMAGES = 5


@dataclass(frozen=True)
class Latency:
    """Milliseconds an image, batch 1: decode, resize, all views of all members, average."""

    median_ms: float
    p95_ms: float
    p99_ms: float
    images: int
    hardware: str
    precision: str
    views: tuple[str, ...]
    on_cpu: bool

    def __str__(self) -> str:
        caveat = "; not the judges' hardware" if self.on_cpu else ""
        return (
            f"median {self.median_ms:.1f}, p95 {self.p95_ms:.1f}, p99 {self.p99_ms:.1f} ms on {self.hardware}, "
            f"{self.precision}, {'+'.join(self.views)}{caveat}"
        )


def measure_latency(pipeline: Pipeline, paths: Sequence[Path]) -> Latency:
    """Time the pipeline on up to `IMAGES` of these files, one at a time, after a warm-up. Unreadable ones are left out.

    Raises InputError if none of them can be read.
    """
    chosen = list(paths)[:IMAGES]
    for path in chosen[:WARM_UP_IMAGES]:
        _time(pipeline, path)
    timed = []
    with progress("benchmark", len(chosen)) as advance:
        for path in chosen:
            timed.append(_time(pipeline, path))
            advance(1)
    timed = [milliseconds for milliseconds in timed if milliseconds is not None]
    if not timed:
        raise InputError(f"None of the {len(chosen)} images to be timed can be read, first {chosen[0]}.")
    median, p95, p99 = np.percentile(timed, [50, 95, 99])
    return Latency(
        median_ms=float(median),
        p95_ms=float(p95),
        p99_ms=float(p99),
        images=len(timed),
        hardware=describe_device(pipeline.device),
        precision=str(pipeline.precision),
        views=pipeline.views,
        on_cpu=pipeline.device.type == "cpu",
    )


def _time(pipeline: Pipeline, path: Path) -> float | None:
    """Return the milliseconds of one image, or None if it cannot be read."""
    started = time.perf_counter()
    try:
        # the answer lies on the CPU, so the device has finished
        answer_one(pipeline, path)
    except (UnreadableImage, OSError):
        return None
    return 1000 * (time.perf_counter() - started)


@contextmanager
def drawn_jpegs(image_size: int, count: int = IMAGES) -> Iterator[list[Path]]:
    """Yield `count` JPEG files of drawn flowers, `image_size` pixels a side, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="flower_benchmark_") as folder:
        yield draw_jpegs(Path(folder), image_size, count)


def draw_jpegs(folder: Path, image_size: int, count: int) -> list[Path]:
    """Draw `count` JPEG files of flowers into `folder` and return them."""
    kinds = species_of(10, np.random.default_rng(0))
    paths = []
    for number in range(count):
        pixels = draw_flower(kinds[number % len(kinds)], image_size, np.random.default_rng([0, number]))
        paths.append(folder / f"flower_{number:03d}.jpg")
        paths[-1].write_bytes(cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes())
    return paths
