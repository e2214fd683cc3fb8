"""The learning-rate range test (Smith 2017, arXiv:1506.01186): how the loss falls, then rises, as the rate grows.

`training.learning_rate=auto` runs it before the first step of a run.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from common import distributed
from common.errors import RunError
from common.memory import release_device_memory
from common.progress import progress
from configs.epochs import first_final_epoch
from training.auto_settings import with_values
from training.findings import read_findings
from training.freezing import set_trainable
from training.run import Run
from training.schedule import Schedule, build_schedule
from training.start import fresh_state
from training.state import StepTotals, TrainingState
from training.step import take_step

# the rates and optimizer steps of `training.learning_rate=auto`, and the defaults of the command
LOWEST_RATE, HIGHEST_RATE, STEPS = 1e-6, 1.0, 100

# smoothing and stop as in the fastai library's finder
_SMOOTHING = 0.9

_DIVERGED = 4.0

_FEWEST = 10

# the loss has risen where it stays above 1.1 times its lowest, in a test whose last loss is 1.5 times the lowest
_RISEN, _RISEN_IN_THE_END = 1.1, 1.5

# so many steps the running mean is behind
_LAG = round(1 / (1 - _SMOOTHING))


@dataclasses.dataclass(frozen=True)
class RangeTest:
    """Learning rates and smoothed losses per step, and rates read from them.

    `steepest` is the rate of the steepest fall, `tenth_of_lowest` a tenth of the rate with the lowest loss, and
    `before_rise` the rate ten steps before the smoothed loss, which is ten steps behind, is above 1.1 times its lowest
    for good; None if it never rises, or from the start.
    """

    rates: list[float]
    losses: list[float]
    steepest: float
    tenth_of_lowest: float
    before_rise: float | None


def range_test(run: Run, low: float, high: float, steps: int) -> RangeTest:
    """Train a fresh model with a rate that grows from `low` to `high` over `steps`; all ranks must call this.

    Stops when the loss is four times its lowest. Raises RunError if it does so before ten steps.
    """
    run = dataclasses.replace(run, schedule=Schedule("exponential", high, low, 0, steps))
    state, _ = fresh_state(run)
    measured, diverged = _losses(run, state, steps)
    if len(measured) < _FEWEST:
        raise RunError(f"The loss diverged after {len(measured)} steps. Start at a lower rate, such as {low / 100:g}.")
    return _analysed(
        [low * (high / low) ** (step / (steps - 1)) for step in measured], list(measured.values()), diverged
    )


def with_tested_rate(run: Run) -> Run:
    """Return the run with the rate that a range test finds safe, and a sentence on it.

    Raises RunError if the test shows nothing.
    """
    print(f"training.learning_rate=auto: a range test of {STEPS} optimizer steps comes first", flush=True)
    try:
        found = range_test(run, LOWEST_RATE, HIGHEST_RATE, STEPS)
    except RunError as error:
        raise RunError(f"training.learning_rate=auto: {error} {_ADVICE}") from error
    release_device_memory()
    if found.before_rise is None:
        rates = f"the rates {LOWEST_RATE:g} to {found.rates[-1]:.2g}"
        raise RunError(f"training.learning_rate=auto: the loss shows no place among {rates} where it rises. {_ADVICE}")
    rate = float(f"{found.before_rise:.2g}")
    config = with_values(run.config, {"training.learning_rate": rate})
    sentence = (
        f"training.learning_rate=auto: {rate:g}, the rate of a range test ten steps before its smoothed loss rose by a "
        f"tenth above its lowest ({min(found.losses):.3g})"
    )
    schedule = build_schedule(config.training, run.steps_per_epoch)
    return dataclasses.replace(run, config=config, schedule=schedule, choices=[*run.choices, sentence])


_ADVICE = "Give a number, or null for the model's own rate; flower_cli.py lr-range draws the curve."


def _losses(run: Run, state: TrainingState, steps: int) -> tuple[dict[int, float], bool]:
    """Return the bias-corrected running mean of the loss after each step that counted, and whether the loss diverged.

    A step without a readable image does not count.
    """
    mean, losses = 0.0, {}
    with progress("range test", steps) as advance:
        while state.step < steps:
            # the last epochs, with gentle crops and a size of their own, are no part of the test
            state.epoch %= max(first_final_epoch(run.config.training), 1)
            run.batches.epoch, run.batches.first_batch = state.epoch, 0
            set_trainable(state.model, run.config)
            forward = distributed.parallel(state.model)
            batches, count = iter(run.train_loader), run.config.training.accumulation_steps
            while state.step < steps and (step := list(itertools.islice(batches, count))):
                number = state.step
                state.totals = StepTotals.zero(run.device)
                flags = [not len(batch.images) for batch in step]
                some_empty, some_image = distributed.any_ranks([any(flags), not all(flags)])
                with distributed.own_statistics(state.model, some_empty):
                    take_step(run, state, forward, step)
                read_findings(run, state)
                state.add_up()
                state.batch += len(step)
                advance(1)
                if state.totals.images:
                    mean = _SMOOTHING * mean + (1 - _SMOOTHING) * state.totals.mean_loss
                    losses[number] = mean / (1 - _SMOOTHING ** (len(losses) + 1))
                    if len(losses) > _FEWEST and losses[number] > _DIVERGED * min(losses.values()):
                        return losses, True
                elif some_image:
                    # a loss that is not finite any more
                    return losses, True
            state.start_next_epoch()
    return losses, False


def _analysed(rates: Sequence[float], losses: Sequence[float], diverged: bool) -> RangeTest:
    slopes = np.gradient(np.asarray(losses), np.log(np.asarray(rates)))
    # the first steps are left out, where the running mean has seen too little
    first = _FEWEST - 1
    lowest = first + int(np.argmin(losses[first:]))
    steepest = first + int(np.argmin(slopes[first : max(lowest, first + 1)]))
    rises = diverged or losses[-1] > _RISEN_IN_THE_END * losses[lowest]
    edge = max(place for place in range(first, len(losses)) if losses[place] <= _RISEN * losses[lowest])
    # a rise within the first steps is that of a start which every rate disturbs
    before_rise = rates[edge - _LAG] if rises and edge >= 2 * _LAG else None
    return RangeTest(list(rates), list(losses), rates[steepest], rates[lowest] / 10, before_rise)
