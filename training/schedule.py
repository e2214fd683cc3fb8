"""The learning rate as a pure function of the optimizer step."""

import math
from dataclasses import dataclass

from configs.schema import TrainingConfig


@dataclass(frozen=True)
class Schedule:
    """A learning-rate schedule; all counts are optimizer steps."""

    kind: str
    peak: float
    minimum: float
    warmup_steps: int
    total_steps: int


def build_schedule(config: TrainingConfig, steps_per_epoch: int) -> Schedule:
    """Return the schedule of a run; a warm-up that does not fit is cut to half the steps."""
    total_steps = config.epochs * steps_per_epoch
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if warmup_steps >= total_steps:
        warmup_steps = total_steps // 2
    if config.learning_rate is None:
        raise ValueError("training.learning_rate is null: training.run.with_learning_rate gives it a number")
    minimum = min(config.min_lr, config.learning_rate)
    return Schedule(config.scheduler, config.learning_rate, minimum, warmup_steps, total_steps)


def learning_rate_at(step: int, schedule: Schedule) -> float:
    """Return the learning rate of optimizer step `step`, counted from 0."""
    # 1. linear warm-up, which reaches the peak at step warmup_steps
    if step < schedule.warmup_steps:
        return schedule.peak * (step + 1) / (schedule.warmup_steps + 1)
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
