"""Images/s of a run's loader against images/s of its training steps: which of the two the other waits for."""

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from configs.input_sizes import training_size
from configs.schema import Config, DemoConfig
from data.dataloader import BatchReader
from data.dataset import Batch
from data.sampler import SampleKey
from training.auto_settings import with_values
from training.freezing import set_trainable
from training.run import Run, set_up_run
from training.schedule import Schedule
from training.start import fresh_state
from training.step import take_step

# drawn where no images are at hand: the size of the contest's
_DRAWN = DemoConfig(classes=8, images_per_class=8, image_size=600, seed=0)

# more than any loader reads in the time
_BATCHES = 2000


@dataclasses.dataclass(frozen=True)
class Throughput:
    """Images/s of loader and training steps, each measured alone; the steps had `step_images` images at once.

    `images` says which images the loader read, `choices` what took the place of `auto`.
    """

    loader: float
    steps: float
    step_images: int
    batch_size: int
    workers: int
    images: str
    device: torch.device
    precision: str
    choices: list[str]

    @property
    def loader_limits(self) -> bool:
        """Whether training steps wait for the loader."""
        return self.loader < self.steps


def throughput(config: Config, seconds: float = 12) -> Throughput:
    """Measure the loader and the training steps of a config, each for about `seconds` beside their start.

    The weights are random, the images of the steps too. On a CPU, where a whole batch may take minutes, the steps have
    as many images as the time allows. Nothing is written.
    """
    with _images_of(config) as (readable, images):
        run = set_up_run(readable)
        loader = loader_rate(run, seconds)
        steps, step_images = step_rate(run, seconds)
    return Throughput(
        loader=loader,
        steps=steps,
        step_images=step_images,
        batch_size=run.config.dataset.batch_size,
        workers=run.train_loader.num_workers,
        images=images,
        device=run.device,
        precision=str(run.precision),
        choices=run.choices,
    )


@contextlib.contextmanager
def _images_of(config: Config) -> Iterator[tuple[Config, str]]:
    """Yield the config without validation, with drawn images where its own are not at hand, and what is read."""
    config = with_values(config, {"dataset.val_split": 0, "dataset.test_split": 0, "dataset.fold": None})
    root = Path(config.dataset.root)
    table = Path(config.dataset.train_csv) if config.dataset.train_csv else root / "train.csv"
    if table.is_file():
        yield config, f"images of {table.parent}"
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        drawn = {"source": "demo", "root": folder, "demo": _DRAWN}
        elsewhere = dict.fromkeys(("train_csv", "train_dir", "val_csv"))
        changes = {f"dataset.{name}": value for name, value in {**drawn, **elsewhere}.items()}
        yield with_values(config, changes), f"drawn images of {_DRAWN.image_size} px, because {table} is not there"


def loader_rate(run: Run, seconds: float) -> float:
    """Return the images/s of the run's training loader when nothing waits for it."""
    own = run.train_loader
    reader = BatchReader(own.dataset, _endless_batches(run), own.num_workers, own.pin_memory, own.timeout)
    # what workers have read ahead would count as read in no time
    ahead = 2 * own.num_workers
    begun, images, since = time.perf_counter(), 0, None
    for number, batch in enumerate(reader):
        now = time.perf_counter()
        if since is None:
            since = now if number >= ahead or now - begun > seconds else None
        else:
            images += len(batch.images)
            if now - since >= seconds:
                return images / (now - since)
    raise ValueError(f"more than {_BATCHES} batches in {seconds} s")


def _endless_batches(run: Run) -> list[list[SampleKey]]:
    rows, size = run.split.train, run.config.dataset.batch_size
    return [
        [(number, int(rows[(number * size + place) % len(rows)])) for place in range(size)]
        for number in range(_BATCHES)
    ]


def step_rate(run: Run, seconds: float) -> tuple[float, int]:
    """Return the images/s of training steps on random pixels, and how many images a micro-batch had."""
    # random weights need no download, and a rate of 0 keeps them as they are
    plain = with_values(run.config, {"model.pretrained": False, "training.head_init": "random"})
    run = dataclasses.replace(run, schedule=Schedule("constant", 0.0, 0.0, 0, 1))
    state, _ = fresh_state(dataclasses.replace(run, config=plain))
    set_trainable(state.model, run.config)
    wanted, accumulated = run.config.dataset.batch_size, run.config.training.accumulation_steps

    def seconds_of_step(images: int) -> float:
        batch = _random_batch(run, images)
        begun = time.perf_counter()
        take_step(run, state, state.model, [batch] * accumulated)
        if run.device.type == "cuda":
            torch.cuda.synchronize(run.device)
        return time.perf_counter() - begun

    # the first steps also choose kernels and make the optimizer's state
    end = time.perf_counter() + seconds
    images = min(2, wanted)
    last = min(seconds_of_step(images) for _ in range(2))
    while images < wanted and time.perf_counter() + 3 * last < end:
        images = min(2 * images, wanted)
        last = seconds_of_step(images)
    times = [seconds_of_step(images)]
    while time.perf_counter() + last < end:
        times.append(seconds_of_step(images))
    return images * accumulated * len(times) / sum(times), images


def _random_batch(run: Run, images: int) -> Batch:
    side = training_size(run.config, 0)
    generator = torch.Generator().manual_seed(run.config.seed)
    pixels = torch.randint(256, (images, 3, side, side), dtype=torch.uint8, generator=generator)
    labels = torch.arange(images) % len(run.table.classes)
    rows = torch.as_tensor(run.split.train)[torch.arange(images) % len(run.split.train)]
    return Batch(pixels.contiguous(memory_format=torch.channels_last), labels, rows, [], [])
