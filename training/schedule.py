"""The learning rate as a pure function of the optimizer step."""

import math
from dataclasses import dataclass

from configs.epochs import steps_of
from configs.schema import TrainingConfig


@dataclass(frozen=True)
class Shortening:
    """A run that ends early: what was planned for the steps after `step` passes in fewer, until `total_steps`.

    It happens in `epoch`, which `next_epoch` follows; both are counted from 0.
    """

    step: int
    total_steps: int
    epoch: int
    next_epoch: int


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule; all counts are optimizer steps; no `backbone_warmup_steps`: `warmup_steps`.

    `total_steps` are the planned ones; a `shortening` leaves fewer.
    """

    kind: str
    peak: float
    minimum: float
    warmup_steps: int
    total_steps: int
    backbone_warmup_steps: int = 0
    shortening: Shortening | None = None

    @property
    def steps(self) -> int:
        """The optimizer steps of the run."""
        return self.total_steps if self.shortening is None else self.shortening.total_steps


def build_schedule(config: TrainingConfig, steps_per_epoch: int) -> Schedule:
    """Return the schedule of a run; warm-ups that do not fit are cut to half the steps."""
    total_steps = steps_of(config.epochs, steps_per_epoch)
    warmup_steps, backbone_warmup_steps = (
        _fitting(round(epochs * steps_per_epoch), total_steps)
        for epochs in (config.warmup_epochs, config.backbone_warmup_epochs)
    )
    if config.learning_rate in (None, "auto"):
        raise ValueError("training.learning_rate is no number: training.run.with_learning_rate gives it one")
    minimum = min(config.min_lr, config.learning_rate)
    return Schedule(config.scheduler, config.learning_rate, minimum, warmup_steps, total_steps, backbone_warmup_steps)


def _fitting(warmup_steps: int, total_steps: int) -> int:
    return warmup_steps if warmup_steps < total_steps else total_steps // 2


def learning_rate_at(step: float, schedule: Schedule) -> float:
    """Return the learning rate of optimizer step `step`, counted from 0."""
    step = _planned_step(step, schedule)
    # 1. linear warm-up, which reaches the peak at step warmup_steps
    if step < schedule.warmup_steps:
        return schedule.peak * _rise(step, schedule.warmup_steps)
    # 2. constant
    if schedule.kind == "constant":
        return schedule.peak
    # 3. exponential growth from the minimum to the peak at the last step, for a range test
    if schedule.kind == "exponential":
        return schedule.minimum * (schedule.peak / schedule.minimum) ** (step / max(schedule.total_steps - 1, 1))
    # 4. decay towards the minimum, reached one step after the last
    progress = min((step - schedule.warmup_steps) / max(schedule.total_steps - schedule.warmup_steps, 1), 1.0)
    factor = 0.5 * (1 + math.cos(math.pi * progress)) if schedule.kind == "cosine" else 1 - progress
    return schedule.minimum + (schedule.peak - schedule.minimum) * factor


def backbone_factor_at(step: float, schedule: Schedule) -> float:
    """Return by what the rate of the layers below the classifier is multiplied at optimizer step `step`.

    Their own warm-up takes the place of the schedule's: what decays is the same.
    """
    if schedule.backbone_warmup_steps == 0:
        return 1.0
    step = _planned_step(step, schedule)
    return _rise(step, schedule.backbone_warmup_steps) / _rise(step, schedule.warmup_steps)


def _planned_step(step: float, schedule: Schedule) -> float:
    """Return the step of the planned schedule whose rate optimizer step `step` has."""
    change = schedule.shortening
    if change is None or step <= change.step:
        return step
    planned, left = schedule.total_steps - change.step, change.total_steps - change.step
    return change.step + (step - change.step) * planned / left


def _rise(step: float, warmup_steps: int) -> float:
    """Return the share of the peak that a linear warm-up has reached."""
    return min((step + 1) / (warmup_steps + 1), 1.0)
