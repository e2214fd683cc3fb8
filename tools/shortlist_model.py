"""One model of a shortlist: its size, weights, latency, training speed and linear probe, the cheap reasons first."""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm

from common.errors import InputError, RunError
from common.memory import is_out_of_memory
from configs.input_sizes import eval_size
from configs.schema import Config
from data.split import Split
from evaluation.intervals import wilson_interval
from models.catalog import ModelOption
from models.checkpoint import make_checkpoint, save_checkpoint
from models.classifier import Classifier
from models.weight_sources import WeightFinder, WeightSource
from prediction.latency import Latency
from tools.shortlist_file import Row
from training.auto_settings import with_values
from training.features import check_readable, frozen_features
from training.head_start import start_head
from training.linear_probe import out_of_fold_logits
from training.plan import TIMED_IMAGES, latency_of
from training.run import Run, describe_table, set_up_run
from training.run_times import RunTimes, measure_run
from training.start import build_model, pretrained_model

# the judges' hardware may be so much faster than a CPU
_CPU_FACTOR = 10

# images that tell whether a latency on a CPU is far over the limit, and how many can be timed
_FIRST_IMAGES = 3

# of the seconds of a model; the rest is for reading the images of the probe
_SHARE_OF_LATENCY, _SHARE_OF_SPEED, _SHARE_OF_FITTING = 0.25, 0.25, 0.1

# more of them change no decision
_MOST_SECONDS_OF_SPEED = 20.0

# a training step takes about three forward passes; a kind of epoch is measured on at least three steps, so that a
# batch of large images on a CPU would take longer than all the rest
_STEPS, _PASSES_OF_A_STEP = 3, 3

# BatchNorm needs two images
_SMALLEST_BATCH = 2


class Out(Exception):
    """A model is out; the text says why. `stage` is None for the one that is measured."""

    def __init__(self, reason: str, stage: str | None = None) -> None:
        super().__init__(reason)
        self.stage = stage


@dataclass(frozen=True)
class Settings:
    """What all models share: `probe_rows` of the table in the order of `tools.shortlist.probe_order`, at most."""

    seconds: float
    weights: WeightFinder
    probe_rows: np.ndarray
    fewest_probe_images: int


class ModelTest:
    """Measures a model step by step; a step adds to the row or raises `Out`."""

    def __init__(self, config: Config, size: ModelOption, settings: Settings) -> None:
        self.config, self.size, self.settings = config, size, settings
        self.started = time.perf_counter()
        limits = config.competition
        half = size.megabytes_fp32 > limits.max_model_mb
        self.found = Row(
            option=size.option,
            family=timm.model_entrypoint(size.architecture.partition(".")[0]).__module__.rpartition(".")[2],
            input_size=eval_size(config),
            megabytes=size.megabytes_fp16 if half else size.megabytes_fp32,
            precision="fp16" if half else "fp32",
            parameters=size.parameters,
        )

    def row(self) -> Row:
        """Return what was found; nothing is measured after a reason to be out."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            # checkpoints and cached features are of no use later
            self.config = dataclasses.replace(self.config, output_dir=folder)
            for stage, step in self._steps():
                try:
                    step()
                except Out as out:
                    self._add(is_in=False, out_by=out.stage or stage, reason=str(out))
                except (InputError, RunError, RuntimeError, MemoryError) as error:
                    self._add(is_in=False, out_by=stage, reason=_reason(error))
                if not self.found.is_in:
                    break
        return self.found

    def _steps(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("size", self._check_size),
            ("weights", self._find_weights),
            ("latency", self._measure_latency),
            ("speed", self._measure_speed),
            ("probe", self._probe),
        ]

    def _add(self, **figures: Any) -> None:
        self.found = dataclasses.replace(self.found, **figures)

    def _note(self, text: str) -> None:
        self._add(notes=(*self.found.notes, text))

    def _left(self) -> float:
        return self.settings.seconds - (time.perf_counter() - self.started)

    def _check_size(self) -> None:
        limits, found = self.config.competition, self.found
        if found.megabytes > limits.max_model_mb:
            raise Out(f"{found.megabytes:.1f} MB even in float16, over the limit of {limits.max_model_mb:g} MB")
        if found.parameters > limits.max_parameters:
            millions = found.parameters / 1e6
            raise Out(f"{millions:.1f} M parameters, over the limit of {limits.max_parameters / 1e6:g} M")
        if found.precision == "fp16":
            self._note("keeps the size limit in float16 only")

    def _find_weights(self) -> None:
        self.source = WeightSource(None, (), local=True)
        if self.config.model.pretrained:
            try:
                self.source = self.settings.weights.find(self.size.option, self.config.model)
            except InputError as error:
                raise Out(str(error)) from error
            model = dataclasses.replace(self.config.model, weights=self.source.weights)
            self.config = dataclasses.replace(self.config, model=model)
        self._add(keys=self.source.keys)
        self.run = set_up_run(self.config)
        if self.source.local:
            # a damaged file is found before minutes of measuring; one of the hub is loaded when nothing else is against
            # the model
            self._load(self.run)

    def _load(self, run: Run) -> Classifier:
        try:
            return pretrained_model(run)[0]
        except Exception as error:
            if self.source.local or is_out_of_memory(error):
                raise
            # requests or httpx, by the version of huggingface_hub, have errors of their own
            self.settings.weights.hub_failed(f"the download for {self.size.option} failed")
            raise Out(_reason(error), stage="weights") from error

    def _measure_latency(self) -> None:
        limit = self.config.competition.max_latency_ms
        path = Path(self.config.output_dir) / "model.pt"
        # the time does not depend on the weights
        checkpoint = make_checkpoint(self.run.config, build_model(self.run), describe_table(self.run), {}, 1, [])
        save_checkpoint(checkpoint, path)
        latency = self._latency(path, limit)
        self.latency = latency
        self._add(latency_ms=latency.p95_ms)
        if latency.p95_ms <= limit:
            return
        words = f"p95 {latency.p95_ms:.0f} ms, over the limit of {limit:g} ms"
        if not latency.on_cpu:
            raise Out(words)
        # not the p95, which on a busy machine is that of the other work
        if latency.median_ms > _CPU_FACTOR * limit:
            raise Out(f"{words} more than {_CPU_FACTOR} times, on a CPU, which is not the judges' hardware")
        self._note(f"{words}, but a CPU is not the judges' hardware")

    def _latency(self, path: Path, limit: float) -> Latency:
        """Return the latency of as many images as a share of the seconds allows."""
        images = TIMED_IMAGES
        if self.run.device.type == "cpu":
            first = latency_of(path, self.run.config, _FIRST_IMAGES)
            allowed = int(_SHARE_OF_LATENCY * self.settings.seconds / (first.median_ms / 1000))
            if first.median_ms > _CPU_FACTOR * limit or allowed <= 2 * _FIRST_IMAGES:
                return first
            images = min(allowed, TIMED_IMAGES)
        return latency_of(path, self.run.config, images)

    def _measure_speed(self) -> None:
        run = self._run_of_small_batches()
        times = measure_run(run, min(_SHARE_OF_SPEED * self.settings.seconds, _MOST_SECONDS_OF_SPEED))
        dataset, training = run.config.dataset, run.config.training
        images = min(dataset.batch_size * training.accumulation_steps, len(run.split.train))
        self.times = times
        self._add(
            images_per_second=images / times.first_step,
            images_per_second_last=images / times.final_step,
            validation_seconds=times.validation if len(run.split.val) else None,
        )

    def _run_of_small_batches(self) -> Run:
        """Return the run; on a CPU with a batch of which some steps fit into the seconds. Its rate is much the same."""
        config, training = self.run.config, self.run.config.training
        kinds = 1 + (training.freeze_epochs > 0) + (training.final_epochs > 0)
        passes = _STEPS * _PASSES_OF_A_STEP * kinds
        # the rest is for the probe
        seconds = self.settings.seconds / 2
        fitting = max(int(seconds / (passes * self.latency.median_ms / 1000)), _SMALLEST_BATCH)
        if self.run.device.type != "cpu" or fitting >= config.dataset.batch_size * training.accumulation_steps:
            return self.run
        batch = min(fitting, config.dataset.batch_size)
        self._note(f"speed measured with batches of {batch}")
        return set_up_run(with_values(config, {"dataset.batch_size": batch, "training.accumulation_steps": 1}))

    def _probe(self) -> None:
        rows = np.sort(self.settings.probe_rows[: self._probe_images()])
        nothing = np.empty(0, dtype=np.int64)
        # the start of a head reads the training images of the run
        run = dataclasses.replace(self.run, split=Split(rows, nothing, nothing))
        model = self._load(run).eval()
        start_head(run, model)
        features = frozen_features(run, model, rows)
        if not np.isfinite(features.values).all():
            raise Out("its features are not finite")
        unreadable = check_readable(run, rows, features)
        if unreadable:
            self._note(f"{unreadable} images of the probe could not be read")
        labels = run.table.labels[features.rows]
        logits = out_of_fold_logits(features.values, labels, len(run.table.classes), run.config.seed)
        hits = logits.argmax(axis=1) == labels
        self._add(
            probe_top1=float(hits.mean()),
            probe_interval=wilson_interval(float(hits.sum()), len(hits)),
            probe_images=len(hits),
        )

    def _probe_images(self) -> int:
        """Return how many images the seconds that are left allow, within the settings."""
        most = len(self.settings.probe_rows)
        # a second-order head reads images twice: for its components, and for its features
        passes = 2 if self.config.model.head == "second_order" else 1
        per_image = passes * _seconds_of_an_image(self.run, self.times, self.latency)
        allowed = int((self._left() - _SHARE_OF_FITTING * self.settings.seconds) / per_image)
        if allowed >= most:
            return most
        images = max(min(allowed, most), self.settings.fewest_probe_images)
        if images < most:
            self._note(f"probe of {images} images instead of {most}, because of the limit of seconds")
        return images


def _seconds_of_an_image(run: Run, times: RunTimes, latency: Latency) -> float:
    """Return the seconds in which an image is read and passes the backbone."""
    if len(run.split.val):
        return times.validation / len(run.split.val)
    return latency.median_ms / 1000


def _reason(error: BaseException) -> str:
    if is_out_of_memory(error):
        return "out of memory"
    words = " ".join(str(error).split())[:300]
    return words if isinstance(error, InputError | RunError) else f"{type(error).__name__}: {words}"
