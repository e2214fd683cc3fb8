"""Seconds that the parts of a run take on this machine, measured on a throw-away copy of its model."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common import distributed
from common.memory import release_device_memory
from configs.compose import to_plain
from configs.epochs import epoch_count, first_final_epoch, is_final
from configs.schema import Config
from models.checkpoint import make_checkpoint, save_checkpoint
from training.findings import read_findings
from training.forward import Forward
from training.freezing import set_trainable
from training.resume import save_training_state
from training.run import Run, describe_table
from training.schedule import Schedule
from training.start import build_model, state_of
from training.state import TrainingState
from training.step import read_steps, take_step
from training.validation import validation_logits

# a kind of epoch is measured on so many steps at least, or on fewer if they take three times the time that it has
_WANTED_STEPS, _FEWEST_STEPS = 8, 3

# the second-fastest of so many parts of the measured steps counts: a plan for a machine that other work slows down ends
# too early when that work is over, and a plan for the free machine is shortened when it slows down
_PARTS = 5


@dataclass(frozen=True)
class RunTimes:
    """Seconds: of an optimizer step by kind of epoch, of the wait for an epoch's first batch, of one validation, of
    writing the files. Loading is part of a step. A kind of epoch that the recipe lacks has the seconds of another.
    """

    head_only_step: float
    first_step: float
    final_step: float
    epoch_start: float
    validation: float
    saving: float

    def step(self, config: Config, epoch: int) -> float:
        """Return the seconds of an optimizer step in `epoch`, counted from 0."""
        if is_final(config, epoch):
            return self.final_step
        return self.head_only_step if epoch < config.training.freeze_epochs else self.first_step


def measure_run(run: Run, seconds: float) -> RunTimes:
    """Measure the parts of a run for about `seconds` in all; nothing of it is kept. All ranks must call this.

    Random weights take the place of the pretrained ones, which take the same time.
    """
    plain = replace(run, schedule=Schedule("constant", 0.0, 0.0, 0, 1))
    state = state_of(plain, build_model(plain))
    epochs = _epochs_by_kind(run.config)
    share = seconds / (len(set(epochs.values())) + 1)
    measured: dict[int, tuple[float, float]] = {}
    for epoch in dict.fromkeys(epochs.values()):
        measured[epoch] = _seconds_of_steps(plain, state, epoch, share)
    times = RunTimes(
        **{f"{kind}_step": measured[epoch][0] for kind, epoch in epochs.items()},
        epoch_start=max(start for _, start in measured.values()),
        validation=_seconds_of_validation(run, state, share),
        saving=_seconds_of_saving(run, state),
    )
    del state
    release_device_memory()
    # rank 0 plans for all ranks
    return distributed.gather(times)[0]


def _epochs_by_kind(config: Config) -> dict[str, int]:
    """Return an epoch of the recipe, counted from 0, for each kind; a kind that it lacks has that of another."""
    training = config.training
    final = min(first_final_epoch(training), epoch_count(training) - 1)
    first = min(training.freeze_epochs, final)
    return {"head_only": 0, "first": max(first, 0), "final": max(final, 0)}


def _seconds_of_steps(run: Run, state: TrainingState, epoch: int, seconds: float) -> tuple[float, float]:
    """Return the seconds of a step of `epoch` and of the wait for the first batch of an epoch."""
    run.batches.epoch, run.batches.first_batch, run.batches.end = epoch, 0, len(run.batches)
    state.epoch, state.batch = epoch, 0
    training = run.config.training
    set_trainable(state.model, run.config, head_only=epoch < training.freeze_epochs and not is_final(run.config, epoch))
    forward = Forward(run, state).for_epoch()
    # batches that the workers have read ahead would count as read in no time
    uncounted = 1 + 2 * run.train_loader.num_workers // training.accumulation_steps
    steps: list[float] = []
    begun = time.perf_counter()
    while True:
        started, first = time.perf_counter(), True
        for batches in read_steps(run):
            if first:
                # time until here is the wait
                waited, started, first = time.perf_counter() - started, time.perf_counter(), False
            some_empty = distributed.any_rank(any(len(batch.images) == 0 for batch in batches))
            with distributed.own_statistics(state.model, some_empty):
                take_step(run, state, forward, batches)
            now = time.perf_counter()
            steps.append(now - started)
            started = now
            wanted = _WANTED_STEPS if now - begun < 3 * seconds else _FEWEST_STEPS
            if distributed.any_rank(now - begun >= seconds and len(steps) >= wanted):
                read_findings(run, state)
                counted = steps[min(uncounted, len(steps) // 2) :]
                return seconds_without_other_work(counted, run.train_loader.num_workers), waited


def seconds_without_other_work(steps: list[float], workers: int) -> float:
    """Return the mean of one part of the seconds of `steps`; batches come in groups, one of each worker."""
    parts = max(min(_PARTS, len(steps) // max(workers, 1)), 1)
    means = sorted(float(np.mean(part)) for part in np.array_split(steps, parts))
    return means[parts // 4]


def _seconds_of_validation(run: Run, state: TrainingState, seconds: float) -> float:
    """Return the seconds of one validation, measured on as many images as the time allows; 0 without images."""
    loader = run.val_loader
    if loader is None:
        return 0.0
    whole = list(loader.batches)

    def seconds_of(batches: int) -> float:
        loader.batches = whole[:batches]
        started = time.perf_counter()
        validation_logits(run, state.shipped_model, lambda images: None)
        return distributed.gather(time.perf_counter() - started)[0]

    try:
        # the first batch also starts worker processes
        first = seconds_of(1)
        batches = min(max(int(seconds / first), 1), len(whole))
        return seconds_of(batches) * len(whole) / batches
    finally:
        loader.batches = whole


def _seconds_of_saving(run: Run, state: TrainingState) -> float:
    """Return the seconds of writing the state and the best model beside the run's own files; rank 0 writes."""
    if not distributed.is_main():
        return 0.0
    run.folder.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run.folder.root, ignore_cleanup_errors=True) as folder:
        path, facts = Path(folder) / "last.pt", describe_table(run)
        started = time.perf_counter()
        save_checkpoint(make_checkpoint(run.config, state.shipped_model, facts, {}, 1, []), path.with_name("best.pt"))
        saved = {"config": to_plain(run.config), "split": facts["split"], "choices": [], "state": state.to_dict()}
        save_training_state(saved, path, path.with_name("previous.pt"))
        return time.perf_counter() - started
