"""What a run would take: epochs, time, memory, and the size and latency of its model. Measured, without training."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from configs.epochs import epoch_count
from configs.schema import Config
from data.flower_drawing import drawn_jpegs
from models.checkpoint import make_checkpoint, save_checkpoint
from models.classifier import parameter_count, size_in_bytes
from prediction.latency import Latency, measure_latency
from prediction.pipeline import load_pipeline
from training.auto_settings import check_memory
from training.memory_estimate import training_memory
from training.run import Run, describe_table, set_up_run
from training.run_times import RunTimes, measure_run
from training.start import build_model
from training.time_limit import (
    describe_times,
    limit_seconds,
    measuring_seconds,
    seconds_of_end,
    seconds_of_epochs,
    with_planned_epochs,
)

# of a run without a limit
_MEASURING_SECONDS = 30.0

# of the contest's size; the median of many says no more about a plan
TIMED_IMAGES = 30

# fitting the classifier to cached features
_SECONDS_OF_A_PROBE = 5.0


@dataclass(frozen=True)
class RunPlan:
    """What a run would take. `run` has the epochs that would be trained; `times` are measured, `seconds` are of all.

    `start_seconds` are estimated: loading, and the probe of `training.head_init`. `memory_bytes` are those of a step,
    computed. `megabytes` (10^6 bytes) are of float32 weights.
    """

    run: Run
    times: RunTimes
    speeds: str
    start_seconds: float
    seconds: float
    memory_bytes: int
    parameters: int
    megabytes: float
    latency: Latency

    @property
    def epochs(self) -> int:
        """How many epochs the run would begin."""
        return epoch_count(self.run.config.training)


def plan_run(config: Config) -> RunPlan:
    """Measure the parts of the run of a config and its model's latency, and add them up.

    Nothing is trained and nothing is left in `output_dir`. Raises InputError if `training.max_minutes` is too short.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # whether a learning rate is tested first changes nothing here
        elsewhere = replace(config, output_dir=folder)
        run = set_up_run(elsewhere)
        check_memory(run.config, len(run.table.classes), run.device, run.precision)
        limited = config.training.max_minutes is not None
        set_up = time.perf_counter() - started
        times = measure_run(run, measuring_seconds(config) if limited else _MEASURING_SECONDS)
        before = set_up + estimated_start(run, times)
        if limited:
            run = with_planned_epochs(run, times, before + measuring_seconds(config))
        whole = before + seconds_of_epochs(run, times, run.config, 0) + seconds_of_end(run.config, times)
        model = build_model(run)
        memory = training_memory(run.config, len(run.table.classes), run.precision.dtype)
        path = Path(folder) / "model.pt"
        save_checkpoint(make_checkpoint(run.config, model, describe_table(run), {}, 1, []), path)
        return RunPlan(
            run=replace(run, config=replace(run.config, output_dir=config.output_dir)),
            times=times,
            speeds=describe_times(run, times),
            start_seconds=before,
            seconds=min(whole, limit_seconds(config)) if limited else whole,
            memory_bytes=memory.total(run.config.dataset.batch_size),
            parameters=parameter_count(model),
            megabytes=size_in_bytes(model) / 1e6,
            latency=latency_of(path, run.config),
        )


def latency_of(checkpoint: Path, config: Config, images: int = TIMED_IMAGES) -> Latency:
    """Return the latency of a checkpoint on drawn files of `competition.input_size`, on the config's device."""
    pipeline = load_pipeline(checkpoint, overrides=[f"device={config.device}"])
    with drawn_jpegs(config.competition.input_size, images) as drawn:
        return measure_latency(pipeline, drawn)


def estimated_start(run: Run, times: RunTimes) -> float:
    """Return the seconds of a run's start after its data are read: its weights, and its probe if it has one."""
    if run.config.training.head_init != "probe":
        return times.saving
    images = len(run.split.train)
    if len(run.split.val):
        features = times.validation * images / len(run.split.val)
    else:
        # a forward pass is about a third of a training step
        features = times.first_step / 3 * run.steps_per_epoch
    return times.saving + features + _SECONDS_OF_A_PROBE


def fits_memory(plan: RunPlan) -> bool | None:
    """Say whether a step fits into the memory of the GPU; None on another device."""
    if plan.run.device.type != "cuda":
        return None
    return plan.memory_bytes <= torch.cuda.get_device_properties(plan.run.device).total_memory
