"""The training loop: epochs of optimizer steps, validation, and saving."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from common import distributed
from common.errors import RunError, as_warning
from common.progress import progress
from configs.epochs import epoch_count
from data.dataset import Batch
from evaluation.epoch_choice import is_better
from models.checkpoint import make_checkpoint
from prediction.logits import LoaderOutputs
from training.findings import read_findings, say_lowered_scales
from training.forward import Forward
from training.freezing import set_trainable
from training.interrupts import Interrupts
from training.run import Run, describe_table
from training.run_folder import write_skipped_images
from training.saving import Saver, write_config
from training.schedule import learning_rate_at
from training.skipped import note_skipped, raise_for_skipped, skipped_too_many
from training.state import TrainingState
from training.step import read_steps, take_step
from training.tensorboard import EventLog, answers_of
from training.time_limit import TimeLimit, WallClock, time_limit_of
from training.validation import hits_of, validation_logits, validation_metrics

# gets the row of the history that an epoch has added; True ends the run there
AfterEpoch = Callable[[Mapping[str, float | None]], bool]


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended: best validation top-1 (a fraction; None without validation), its epoch, epochs done."""

    best_top1: float | None
    best_epoch: int
    epochs: int
    stopped_early: bool
    best_model: Path
    output_dir: Path


@dataclass(frozen=True)
class Course:
    """What accompanies a run while it trains; only rank 0 has a log."""

    interrupts: Interrupts
    saver: Saver
    forward: Forward
    log: EventLog | None
    clock: WallClock
    limit: TimeLimit | None


def fit(run: Run, state: TrainingState, after_epoch: AfterEpoch | None = None) -> TrainingResult:
    """Train from `state` to the last epoch, until early stopping, or until `after_epoch` ends the run.

    Its files are whole in each case. Raises KeyboardInterrupt after saving.
    """
    with Interrupts() as interrupts, Saver(run) as saver, open_log(run, state) as log:
        clock = WallClock()
        course = Course(interrupts, saver, Forward(run, state), log, clock, time_limit_of(run, state, clock))
        while not is_complete(run, state):
            train_epoch(run, state, course)
            predictions = validate(run, state, course)
            finish_epoch(run, state, predictions, course)
            ended = after_epoch is not None and distributed.any_rank(after_epoch(state.history[-1]))
            if ended and not is_complete(run, state):
                _save(state, course)
            if ended or is_complete(run, state):
                saver.finish()
                draw_pictures(run, state, log)
                break
            if distributed.any_rank(interrupts.requested):
                _save_and_leave(run, state, course)
    return TrainingResult(
        best_top1=None if run.val_loader is None else state.best_top1,
        best_epoch=state.best_epoch,
        epochs=state.epoch,
        stopped_early=state.epoch < epoch_count(run.config.training),
        best_model=run.folder.best,
        output_dir=run.folder.root,
    )


def open_log(run: Run, state: TrainingState) -> AbstractContextManager[EventLog | None]:
    """Return the TensorBoard log, on rank 0; a run goes on without one."""
    if distributed.is_main():
        with as_warning("the TensorBoard log"):
            return EventLog(run.folder.logs, run.config, state.epoch)
    return nullcontext()


def is_complete(run: Run, state: TrainingState) -> bool:
    """Say whether all epochs are done, or validation top-1 has not improved for `patience` epochs."""
    config = run.config.training
    gave_up = run.val_loader is not None and state.epochs_without_gain >= config.early_stopping.patience
    return gave_up or state.epoch >= epoch_count(config)


def last_batch(run: Run, state: TrainingState) -> int:
    """Return where the current epoch ends, in micro-batches; the last may be a part of an epoch."""
    # none, if a resumed run has fewer than it has done
    steps_left = max(state.schedule_of(run.schedule).steps - state.step, 0)
    return min(state.batch + steps_left * run.config.training.accumulation_steps, len(run.batches))


def train_epoch(run: Run, state: TrainingState, course: Course) -> None:
    """Train the rest of the current epoch, from `state.batch` on; save by time and on an interrupt."""
    config = run.config.training
    run.batches.epoch, run.batches.first_batch = state.epoch, state.batch
    run.batches.end = last_batch(run, state)
    if state.batch == run.batches.end:
        return
    set_trainable(state.model, run.config, head_only=state.epoch < config.freeze_epochs)
    forward = course.forward.for_epoch()
    last = time.perf_counter()
    done = run.batches.first_image(state.batch)
    images = run.batches.first_image(run.batches.end)
    with progress(f"epoch {state.epoch + 1}/{epoch_count(config)}", images, done) as advance:
        for batches in _steps(run, state, course):
            agreed = agree(run, state, course, batches)
            if agreed.shorten and course.limit is not None:
                shorten(run, state, course.limit)
            last += _seconds_of_saving(run, state, course, agreed)
            with distributed.own_statistics(state.model, agreed.empty_somewhere):
                take_step(run, state, forward, batches)
            state.batch += len(batches)
            now = time.perf_counter()
            state.seconds, last = state.seconds + now - last, now
            advance(run.batches.first_image(state.batch) - done)
            done = run.batches.first_image(state.batch)
            if state.batch >= run.batches.end:
                break
    read_findings(run, state)
    state.seconds += time.perf_counter() - last
    say_lowered_scales(state)


def _steps(run: Run, state: TrainingState, course: Course) -> Iterator[list[Batch]]:
    """Yield the micro-batches of each optimizer step. If the reader fails, the state is saved first."""
    steps = read_steps(run)
    while True:
        try:
            step = next(steps, None)
        except RunError as error:
            if distributed.world_size() > 1:
                raise
            _save(state, course)
            course.saver.finish()
            raise RunError(f"{error} The state is saved; continue with training.resume=auto.") from error
        if step is None:
            return
        yield step


@dataclass(frozen=True)
class Agreement:
    """What all ranks do at a step; `empty_somewhere` says that one of them has a micro-batch without images."""

    leave: bool
    save: bool
    empty_somewhere: bool
    shorten: bool


def agree(run: Run, state: TrainingState, course: Course, batches: Sequence[Batch]) -> Agreement:
    """Exchange in one message what the ranks must decide together before a step.

    Raises RunError on all ranks if one has skipped too many images.
    """
    note_skipped(run, state, [problem for batch in batches for problem in batch.skipped])
    flags = (
        course.interrupts.requested,
        course.saver.is_due(at_the_end_of_an_epoch=False),
        skipped_too_many(run, state),
        any(len(batch.images) == 0 for batch in batches),
        course.limit is not None and distributed.is_main() and course.limit.is_missed(state),
    )
    leave, save, too_many, empty, late = distributed.any_ranks(flags)
    if too_many:
        raise_for_skipped(run, state)
    return Agreement(leave, save, empty, shorten=late)


def shorten(run: Run, state: TrainingState, limit: TimeLimit) -> None:
    """Cut what is left of the run to the time that is left, as rank 0 decides, and record it."""
    # only rank 0 has watched the clock
    change, sentence = distributed.gather(limit.shortening(state) if distributed.is_main() else None)[0]
    state.shortening = change
    run.batches.end = last_batch(run, state)
    run.choices.append(sentence)
    if distributed.is_main():
        print(sentence, flush=True)
        write_config(run)


def _seconds_of_saving(run: Run, state: TrainingState, course: Course, agreed: Agreement) -> float:
    """Leave or save if the ranks agreed to; return the seconds for which training stood still."""
    started = time.perf_counter()
    if agreed.leave:
        _save_and_leave(run, state, course)
    if agreed.save:
        _save(state, course)
    return time.perf_counter() - started


def validate(run: Run, state: TrainingState, course: Course) -> LoaderOutputs | None:
    """Return the logits of the shipped model on the validation images, or None if there are none."""
    if run.val_loader is None:
        return None
    distributed.share_buffers(state.shipped_model)
    with progress("validation", len(run.split.val)) as advance:
        return validation_logits(run, state.shipped_model, _leave_when_asked(run, state, course, advance))


def finish_epoch(run: Run, state: TrainingState, predictions: LoaderOutputs | None, course: Course) -> None:
    """Compute the metrics of the epoch, keep the best model, save if it is time to, then write the curves."""
    if predictions is not None:
        note_skipped(run, state, predictions.skipped)
        if distributed.any_rank(skipped_too_many(run, state)):
            raise_for_skipped(run, state)
    state.add_up()
    course.clock.count(state)
    if predictions is not None:
        state.validation_hits.append(hits_of(run, predictions))
    row = _history_row(run, state, predictions)
    state.history.append(row)
    is_best = _is_best(run, state, row["val_top1"])
    if is_best:
        _keep_best(run, state, predictions, course.saver)
    train_accuracy = state.totals.accuracy
    state.start_next_epoch()
    if distributed.any_rank(course.saver.is_due(at_the_end_of_an_epoch=True)) or is_complete(run, state):
        _save(state, course)
    if course.log is not None:
        with as_warning(f"epoch {row['epoch']} of the TensorBoard log"):
            course.log.epoch(row, train_accuracy)
    _print_epoch(run, row, is_best)


def _keep_best(run: Run, state: TrainingState, predictions: LoaderOutputs | None, saver: Saver) -> None:
    """Remember the model of the epoch, which the next save writes, and its predictions for pictures."""
    row = state.history[-1]
    state.best_answers = None if predictions is None else answers_of(predictions)
    if distributed.is_main():
        metrics = {name: value for name, value in row.items() if name.startswith("val_") and value is not None}
        model, facts = state.shipped_model, describe_table(run)
        saver.keep_best(make_checkpoint(run.config, model, facts, metrics, row["epoch"], run.choices))


def draw_pictures(run: Run, state: TrainingState, log: EventLog | None) -> None:
    """Write pictures of the best epoch's predictions to the TensorBoard log; the other ranks wait."""
    if log is not None and state.best_answers is not None:
        log.pictures(run, state.best_answers, state.best_epoch)
    # if a process ends, torchrun ends the others; rank 0 must have finished writing by then
    distributed.wait_for_all()


def _history_row(run: Run, state: TrainingState, predictions: LoaderOutputs | None) -> dict[str, float | None]:
    """Return the figures of the epoch. Raises RunError if no image was trained on, or the loss is not finite."""
    if state.totals.images == 0 and state.skipped_steps:
        raise RunError(
            f"The training loss of epoch {state.epoch + 1} is not finite. Lower training.learning_rate, "
            "or try training.use_amp=false."
        )
    if state.totals.images == 0:
        write_skipped_images(run.folder.skipped_images, run.table.image_dir, state.skipped)
        raise RunError(f"No training image could be read; {run.folder.skipped_images} lists each with its problem.")
    return {
        "epoch": state.epoch + 1,
        "train_loss": state.totals.mean_loss,
        **validation_metrics(predictions),
        "learning_rate": learning_rate_at(max(state.step - 1, 0), state.schedule_of(run.schedule)),
        "images_per_second": state.totals.images / max(state.seconds, 1e-9),
        "seconds": state.seconds,
        "wall_seconds": state.wall_seconds,
    }


def _is_best(run: Run, state: TrainingState, top1: float | None) -> bool:
    """Update the early-stopping counters; without validation the latest epoch is the one to ship."""
    if top1 is None:
        state.best_epoch = state.epoch + 1
        return True
    if is_better(top1, state.best_top1, run.config.training.early_stopping.min_delta):
        state.best_top1, state.best_epoch, state.epochs_without_gain = top1, state.epoch + 1, 0
        return True
    state.epochs_without_gain += 1
    return False


def _leave_when_asked(
    run: Run, state: TrainingState, course: Course, advance: Callable[[int], None]
) -> Callable[[int], None]:
    def advance_or_leave(images: int) -> None:
        advance(images)
        if distributed.any_rank(course.interrupts.requested):
            _save_and_leave(run, state, course)

    return advance_or_leave


def _save(state: TrainingState, course: Course) -> None:
    course.clock.count(state)
    course.saver.save(state)


def _save_and_leave(run: Run, state: TrainingState, course: Course) -> NoReturn:
    """Save, wait until the files are whole, and raise KeyboardInterrupt."""
    _save(state, course)
    course.saver.finish()
    print(
        f"Saved {run.folder.last} in epoch {state.epoch + 1}, after optimizer step {state.step}. "
        "Continue with the same command and training.resume=auto."
    )
    draw_pictures(run, state, course.log)
    raise KeyboardInterrupt


def _print_epoch(run: Run, row: dict[str, Any], is_best: bool) -> None:
    parts = [f"epoch {row['epoch']:>3}/{epoch_count(run.config.training)}  train loss {row['train_loss']:.4f}"]
    if row["val_top1"] is not None:
        parts.append(
            f"val loss {row['val_loss']:.4f}  top-1 {100 * row['val_top1']:.2f} %  top-5 {100 * row['val_top5']:.2f} %"
        )
    parts.append(f"{row['images_per_second']:.1f} images/s  {row['seconds']:.0f} s")
    print("  ".join(parts) + ("  best so far" if is_best and row["val_top1"] is not None else ""), flush=True)
