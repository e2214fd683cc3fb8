"""`training.max_minutes`: the epochs that fit into a time, and a run that keeps to it where the machine slows down."""

import itertools
import time
from collections import deque
from dataclasses import replace

from common.errors import InputError
from configs.epochs import epoch_count, steps_of
from configs.schema import Config
from data.dataloader import train_loader
from training.auto_settings import with_values
from training.run import Run
from training.run_times import RunTimes
from training.schedule import Shortening, build_schedule
from training.start import mixes_start
from training.start_mix import tried_shares
from training.state import TrainingState

# what a run plans with; the rest is for what it does not foresee
_PLANNED_SHARE = 0.97

# a run that would end after the first share of its time is shortened to the second
_LATE_SHARE, _SHORTENED_SHARE = 1.02, 0.985

# but not before this share: what is wrong in the speed that is measured matters less, the later it is
_FIRST_LOOK_SHARE = 0.8

# the speed of now is that of this last share of the time
_WINDOW_SHARE = 0.1

# moments are kept this share of the time apart
_MARK_SHARE, _FEWEST_MARKS = 0.001, 4

# the measuring before a run takes so many seconds, or this share of its time if that is less
_MEASURING_SECONDS, _MEASURING_SHARE = 30.0, 0.1

# pictures and temperature at the end of a run
_SECONDS_OF_THE_END = 2.0

_MOST_EPOCHS = 100_000


class WallClock:
    """Counts all time that passes while a run trains, in seconds, into `state.wall_seconds` and `used_seconds`."""

    def __init__(self) -> None:
        self._counted = time.perf_counter()

    def count(self, state: TrainingState) -> None:
        """Add the time since the last call."""
        passed = time.perf_counter() - self._counted
        self._counted += passed
        state.wall_seconds += passed
        state.used_seconds += passed

    def used_seconds(self, state: TrainingState) -> float:
        """Return the seconds of the run until now."""
        return state.used_seconds + time.perf_counter() - self._counted


def limit_seconds(config: Config) -> float:
    """Return `training.max_minutes` in seconds."""
    if config.training.max_minutes is None:
        raise ValueError("training.max_minutes is null")
    return 60 * config.training.max_minutes


def measuring_seconds(config: Config) -> float:
    """Return how long the parts of a run with a limit may be measured before it."""
    return min(_MEASURING_SECONDS, _MEASURING_SHARE * limit_seconds(config))


def planned_config(run: Run, times: RunTimes, used_seconds: float) -> Config:
    """Return the config with the epochs that fit into `training.max_minutes`, of which some seconds are used.

    Raises InputError if not even one optimizer step fits.
    """
    return fitting_config(run, times, _PLANNED_SHARE * limit_seconds(run.config) - used_seconds)


def with_planned_epochs(run: Run, times: RunTimes, used_seconds: float) -> Run:
    """Return the run with the epochs of `planned_config`, and a sentence on them. Raises InputError as that does."""
    config = planned_config(run, times, used_seconds)
    training = config.training
    counts = {
        name: getattr(training, name)
        for name in ("warmup_epochs", "backbone_warmup_epochs", "freeze_epochs", "mix_off_epochs", "final_epochs")
        if getattr(run.config.training, name)
    }
    keys = {"epochs": training.epochs, **counts, "early_stopping.patience": training.early_stopping.patience}
    sentence = (
        f"training.max_minutes={training.max_minutes:g}: "
        + " ".join(f"training.{name}={value:.10g}" for name, value in keys.items())
        + f" (measured: {describe_times(run, times)})"
    )
    return replace(
        run,
        config=config,
        schedule=build_schedule(training, run.steps_per_epoch),
        train_loader=train_loader(config, run.table, run.batches, run.device),
        choices=[*run.choices, sentence],
    )


def describe_times(run: Run, times: RunTimes) -> str:
    """Return what was measured, in words."""
    training = run.config.training
    batch = run.config.dataset.batch_size * training.accumulation_steps
    images = min(batch, len(run.split.train))
    parts = [f"{images / times.first_step:.4g} images/s"]
    if training.freeze_epochs:
        parts.append(f"{images / times.head_only_step:.4g} while only the classifier is trained")
    if training.final_epochs:
        parts.append(f"{images / times.final_step:.4g} in the last epochs")
    return ", ".join([*parts, f"{times.validation:.2g} s a validation, {times.saving:.2g} s a save"])


def fitting_config(run: Run, times: RunTimes, seconds: float) -> Config:
    """Return the config with the most epochs that `seconds` allow. Raises InputError if not one step fits."""
    most = _MOST_EPOCHS * run.steps_per_epoch
    low, high = 0, 1
    while high < most and _seconds_with(run, times, high) <= seconds:
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _seconds_with(run, times, middle) <= seconds else (low, middle)
    if low == 0:
        used = limit_seconds(run.config) - seconds
        least = (used + _seconds_with(run, times, run.steps_per_epoch)) / 60
        raise InputError(
            f"training.max_minutes={run.config.training.max_minutes:g}: too few. One epoch, with start and end of the "
            f"run, takes about {least:.2g} minutes here. Give more, or a smaller model.input_size or model."
        )
    return with_epochs(run.config, _epochs_of(low, run.steps_per_epoch))


def _seconds_with(run: Run, times: RunTimes, steps: int) -> float:
    """Return the seconds from the first step to the end of a run of `steps`."""
    config = with_epochs(run.config, _epochs_of(steps, run.steps_per_epoch))
    return seconds_of_epochs(run, times, config, 0) + seconds_of_end(config, times)


def _epochs_of(steps: int, steps_per_epoch: int) -> float:
    # few digits, because users type them
    return round(steps / steps_per_epoch, 4)


def with_epochs(config: Config, epochs: float) -> Config:
    """Return the config with so many epochs. What is counted in epochs keeps its share of the run.

    Early stopping is off, because the rates fall to their lowest only at the end.
    """
    training = config.training
    share, count = epochs / training.epochs, epoch_count(replace(training, epochs=epochs))
    whole = {
        f"training.{name}": min(max(round(value * share), 1), count) if value else 0
        for name in ("mix_off_epochs", "final_epochs")
        for value in [getattr(training, name)]
    }
    # not all of them: the rest of the network is to be trained, too
    whole["training.freeze_epochs"] = min(round(training.freeze_epochs * share), count - 1)
    parts = {
        f"training.{name}": round(getattr(training, name) * share, 4)
        for name in ("warmup_epochs", "backbone_warmup_epochs")
    }
    return with_values(
        config, {"training.epochs": epochs, **whole, **parts, "training.early_stopping.patience": max(count, 1)}
    )


def seconds_of_epochs(run: Run, times: RunTimes, config: Config, first: int) -> float:
    """Return the seconds of the epochs from `first` on, counted from 0, with their validation."""
    return sum(seconds_of_epoch(run, times, config, epoch) for epoch in range(first, epoch_count(config.training)))


def seconds_of_epoch(run: Run, times: RunTimes, config: Config, epoch: int) -> float:
    """Return the seconds of a whole epoch, its validation included."""
    before = epoch * run.steps_per_epoch
    steps = min(run.steps_per_epoch, steps_of(config.training.epochs, run.steps_per_epoch) - before)
    return times.epoch_start + steps * times.step(config, epoch) + times.validation


def seconds_of_end(config: Config, times: RunTimes) -> float:
    """Return the seconds from the last validation to the end: pictures, mixed weights, temperature, files."""
    mixes = len(tried_shares(config)) if mixes_start(config) else 0
    return times.validation * (1 + mixes) + 2 * times.saving + _SECONDS_OF_THE_END


class TimeLimit:
    """Watches whether a run will end in its time, and says how to shorten it if not; once, when it has slowed down."""

    def __init__(self, run: Run, times: RunTimes, clock: WallClock) -> None:
        self.run = run
        self.times = times
        self.clock = clock
        self.seconds = limit_seconds(run.config)
        # moments of this process: seconds of its clock, and seconds that were left by the plan
        self._marks: deque[tuple[float, float]] = deque()
        self._later = _seconds_from_each_epoch(run, times)

    def is_missed(self, state: TrainingState) -> bool:
        """Say whether the run will end too late, and may still be shortened; call this before each step."""
        if state.shortening is not None:
            return False
        used, left = self.clock.used_seconds(state), self._planned_left(state)
        if not self._marks or used - self._marks[-1][0] >= _MARK_SHARE * self.seconds:
            self._marks.append((used, left))
        while len(self._marks) > 2 and used - self._marks[1][0] >= _WINDOW_SHARE * self.seconds:
            self._marks.popleft()
        # a resumed run must have been watched for a while, too, and not at its first, slow step alone
        watched = used - self._marks[0][0] >= _WINDOW_SHARE / 2 * self.seconds and len(self._marks) >= _FEWEST_MARKS
        if used < _FIRST_LOOK_SHARE * self.seconds or not watched:
            return False
        return used + left * self._slowness() > _LATE_SHARE * self.seconds

    def shortening(self, state: TrainingState) -> tuple[Shortening, str]:
        """Return what of the run still fits into its time at the speed of now, and the sentence on it."""
        config, slowness = self.run.config, self._slowness()
        end = seconds_of_end(config, self.times)
        seconds = (_SHORTENED_SHARE * self.seconds - self.clock.used_seconds(state)) / slowness - end
        count, steps_left = epoch_count(config.training), self._steps_left(state)
        current = steps_left * self.times.step(config, state.epoch) + self.times.validation
        if seconds < current or state.epoch + 1 >= count:
            step = self.times.step(config, state.epoch)
            steps = min(max(int((seconds - self.times.validation) / step), 1), steps_left)
            next_epoch, cut = count, steps_left - steps
        else:
            next_epoch, cut = self._epochs_that_fit(state, seconds - current)
            steps = steps_left + self._steps_of(range(next_epoch, count)) - cut
        change = Shortening(state.step, state.step + steps, state.epoch, next_epoch)
        skipped = next_epoch - state.epoch - 1
        said = [f"{skipped} of the {count - state.epoch - 1} epochs after this one are skipped"] if skipped else []
        said += [f"the last has {cut} optimizer steps less"] if cut else []
        return change, (
            f"training.max_minutes={config.training.max_minutes:g}: in epoch {state.epoch + 1} the machine takes "
            f"{slowness:.2f} times as long as planned, so {' and '.join(said)}; the rates fall accordingly faster"
        )

    def _epochs_that_fit(self, state: TrainingState, seconds: float) -> tuple[int, int]:
        """Return the epoch that follows the current one, so that it and all later ones fit, and what the last lacks.

        The last epochs are kept, because they have sizes and transforms of their own.
        """
        config, count = self.run.config, epoch_count(self.run.config.training)
        first = count
        while first > state.epoch + 1 and self._seconds_from(first - 1) <= seconds:
            first -= 1
        if first == state.epoch + 1:
            return first, 0
        step = self.times.step(config, count - 1)
        missing = int((self._seconds_from(first - 1) - seconds) / step) + 1
        steps_of_last = self._steps_of(range(count - 1, count))
        return (first - 1, missing) if missing < steps_of_last else (first, 0)

    def _slowness(self) -> float:
        """Return by what the seconds of the plan are to be multiplied, from the newest marks."""
        (used, left), (used_now, left_now) = self._marks[0], self._marks[-1]
        return (used_now - used) / max(left - left_now, 1e-9)

    def _planned_left(self, state: TrainingState) -> float:
        config = self.run.config
        current = self._steps_left(state) * self.times.step(config, state.epoch) + self.times.validation
        return current + self._seconds_from(state.epoch + 1) + seconds_of_end(config, self.times)

    def _steps_left(self, state: TrainingState) -> int:
        """Return the optimizer steps that are left in the current epoch."""
        batches = self.run.batches.end - state.batch
        return -(-batches // self.run.config.training.accumulation_steps)

    def _steps_of(self, epochs: range) -> int:
        steps, total = self.run.steps_per_epoch, self.run.schedule.total_steps
        return sum(min(steps, total - epoch * steps) for epoch in epochs)

    def _seconds_from(self, epoch: int) -> float:
        return self._later[min(epoch, len(self._later) - 1)]


def _seconds_from_each_epoch(run: Run, times: RunTimes) -> list[float]:
    """Return the planned seconds from the start of each epoch to the end of the last one; the last number is 0."""
    count = epoch_count(run.config.training)
    seconds = [seconds_of_epoch(run, times, run.config, epoch) for epoch in range(count)]
    return [*reversed(list(itertools.accumulate(reversed(seconds)))), 0.0]


def time_limit_of(run: Run, state: TrainingState, clock: WallClock) -> TimeLimit | None:
    """Return the limit of a run that has one."""
    if run.config.training.max_minutes is None or state.times is None:
        return None
    return TimeLimit(run, RunTimes(**state.times), clock)
