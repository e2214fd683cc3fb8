"""The learning-rate range test (Smith 2017, arXiv:1506.01186): how the loss falls, then rises, as the rate grows."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.csv_files import write_rows
from common.errors import RunError, as_warning
from common.files import as_path, check_writable_folder
from common.progress import progress
from configs.schema import Config
from evaluation.plots import range_figure, save_figure
from training.findings import read_findings
from training.freezing import set_trainable
from training.run import Run, set_up_run
from training.schedule import Schedule
from training.start import fresh_state
from training.state import StepTotals, TrainingState
from training.step import take_step

# smoothing and stop as in the fastai library's finder
_SMOOTHING = 0.9

_DIVERGED = 4.0

_FEWEST = 10


@dataclasses.dataclass(frozen=True)
class RangeTest:
    """Learning rates and smoothed losses per step; the rate of the steepest fall, and a tenth of the best rate."""

    rates: list[float]
    losses: list[float]
    steepest: float
    tenth_of_lowest: float


def lr_range(config: Config, low: float, high: float, steps: int, folder: str | Path) -> RangeTest:
    """Train a fresh model with a rate that grows from `low` to `high` over `steps`; write lr_range.csv and .png.

    Stops when the loss is four times its lowest. Raises RunError if it does so before ten steps.
    """
    folder = as_path(folder)
    check_writable_folder(folder)
    run = set_up_run(config)
    run = dataclasses.replace(run, schedule=Schedule("exponential", high, low, 0, steps))
    state, _ = fresh_state(run)
    measured = _losses(run, state, steps)
    if len(measured) < _FEWEST:
        raise RunError(f"The loss diverged after {len(measured)} steps. Start at a lower rate, such as {low / 100:g}.")
    found = _analysed([low * (high / low) ** (step / (steps - 1)) for step in measured], list(measured.values()))
    rows = [(f"{rate:.6g}", f"{loss:.6g}") for rate, loss in zip(found.rates, found.losses, strict=True)]
    write_rows(folder / "lr_range.csv", ("learning_rate", "smoothed_loss"), rows)
    with as_warning(f"the picture {folder / 'lr_range.png'}"):
        save_figure(range_figure(found.rates, found.losses, found.steepest), folder / "lr_range.png")
    return found


def _losses(run: Run, state: TrainingState, steps: int) -> dict[int, float]:
    """Return the bias-corrected running mean of the loss after each step that counted, until the loss diverges.

    A step without a readable image does not count.
    """
    mean, losses = 0.0, {}
    with progress("range test", steps) as advance:
        while state.step < steps:
            run.batches.epoch, run.batches.first_batch = state.epoch, 0
            set_trainable(state.model, run.config)
            batches, count = iter(run.train_loader), run.config.training.accumulation_steps
            while state.step < steps and (step := list(itertools.islice(batches, count))):
                number = state.step
                state.totals = StepTotals.zero(run.device)
                take_step(run, state, state.model, step)
                read_findings(run, state)
                state.batch += len(step)
                advance(1)
                if state.totals.images:
                    mean = _SMOOTHING * mean + (1 - _SMOOTHING) * state.totals.mean_loss
                    losses[number] = mean / (1 - _SMOOTHING ** (len(losses) + 1))
                    if len(losses) > _FEWEST and losses[number] > _DIVERGED * min(losses.values()):
                        return losses
                elif any(len(batch.images) for batch in step):
                    # a loss that is not finite any more
                    return losses
            state.start_next_epoch()
    return losses


def _analysed(rates: Sequence[float], losses: Sequence[float]) -> RangeTest:
    slopes = np.gradient(np.asarray(losses), np.log(np.asarray(rates)))
    lowest = int(np.argmin(losses))
    # the first steps are left out, where the running mean has seen too little
    first = min(_FEWEST, lowest)
    steepest = first + int(np.argmin(slopes[first : max(lowest, first + 1)]))
    return RangeTest(list(rates), list(losses), rates[steepest], rates[lowest] / 10)
