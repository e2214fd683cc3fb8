"""The training loop: epochs of optimizer steps, validation, and saving."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common import distributed
from common.device import choose_inference_precision
from common.errors import RunError, as_warning
from common.progress import progress
from data.dataset import Batch
from evaluation.metrics import cross_entropy, top_k_accuracy
from models.checkpoint import make_checkpoint, save_checkpoint
from prediction.logits import LoaderOutputs, compute_logits
from training.findings import read_findings, say_lowered_scales
from training.freezing import set_trainable
from training.interrupts import Interrupts
from training.resume import save_state
from training.run import Run, describe_table
from training.run_folder import write_history, write_skipped_images
from training.schedule import learning_rate_at
from training.state import TrainingState
from training.step import take_step
from training.tensorboard import EventLog


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended: best validation top-1 (a fraction; None without validation), its epoch, epochs done."""

    best_top1: float | None
    best_epoch: int
    epochs: int
    stopped_early: bool
    best_model: Path
    output_dir: Path


def fit(run: Run, state: TrainingState) -> TrainingResult:
    """Train from `state` to the last epoch or until early stopping. Raises KeyboardInterrupt after saving."""
    with Interrupts() as interrupts, open_log(run, state) as log:
        while not is_complete(run, state):
            train_epoch(run, state, interrupts)
            predictions = validate(run, state, interrupts)
            finish_epoch(run, state, predictions, log)
            if distributed.any_rank(interrupts.requested):
                _save_and_leave(run, state)
    return TrainingResult(
        best_top1=None if run.val_loader is None else state.best_top1,
        best_epoch=state.best_epoch,
        epochs=state.epoch,
        stopped_early=state.epoch < run.config.training.epochs,
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
    return gave_up or state.epoch >= config.epochs


def train_epoch(run: Run, state: TrainingState, interrupts: Interrupts) -> None:
    """Train the rest of the current epoch, from `state.batch` on; save by time and on an interrupt."""
    config = run.config.training
    run.batches.epoch, run.batches.first_batch = state.epoch, state.batch
    if state.batch == len(run.batches):
        return
    set_trainable(state.model, run.config, head_only=state.epoch < config.freeze_epochs)
    forward = distributed.parallel(torch.compile(state.model) if config.compile else state.model)
    last = saved = time.perf_counter()
    done = run.batches.first_image(state.batch)
    with progress(f"epoch {state.epoch + 1}/{config.epochs}", len(run.batches.rows), done) as advance:
        for batches in _steps(run, state):
            note_skipped(run, state, [problem for batch in batches for problem in batch.skipped])
            take_step(run, state, forward, batches)
            state.batch += len(batches)
            now = time.perf_counter()
            state.seconds, last = state.seconds + now - last, now
            if distributed.any_rank(interrupts.requested):
                _save_and_leave(run, state)
            if distributed.any_rank(now - saved >= 60 * config.checkpoint_every_minutes):
                save_state(run, state)
                saved = last = time.perf_counter()
            advance(run.batches.first_image(state.batch) - done)
            done = run.batches.first_image(state.batch)
    read_findings(run, state)
    state.seconds += time.perf_counter() - last
    say_lowered_scales(state)


def _steps(run: Run, state: TrainingState) -> Iterator[list[Batch]]:
    """Yield the micro-batches of each optimizer step. If the reader fails, the state is saved first."""
    batches = iter(run.train_loader)
    while True:
        try:
            step = list(itertools.islice(batches, run.config.training.accumulation_steps))
        except RunError as error:
            if distributed.world_size() > 1:
                raise
            save_state(run, state)
            raise RunError(f"{error} The state is saved; continue with training.resume=auto.") from error
        if not step:
            return
        yield step


def note_skipped(run: Run, state: TrainingState, skipped: Sequence[tuple[int, str]]) -> None:
    """Remember unreadable images. Raises RunError if they exceed `dataset.max_bad_fraction` of all images."""
    state.skipped.update({run.table.image_ids[row]: problem for row, problem in skipped})
    images, limit = len(run.split.train) + len(run.split.val), run.config.dataset.max_bad_fraction
    if distributed.any_rank(len(state.skipped) > limit * images):
        read_findings(run, state)
        state.add_up()
        path = run.folder.skipped_images
        if distributed.is_main():
            write_skipped_images(path, run.table.image_dir, state.skipped)
        image_id, problem = next(iter(state.skipped.items()))
        raise RunError(
            f"{len(state.skipped)} of {images} images could not be read, more than dataset.max_bad_fraction={limit:g}; "
            f"{path} lists each with its problem (first {image_id}: {problem}). Mend them, or give a larger fraction."
        )


def validate(run: Run, state: TrainingState, interrupts: Interrupts) -> LoaderOutputs | None:
    """Return the logits of the shipped model on the validation images, or None if there are none."""
    if run.val_loader is None:
        return None
    distributed.share_buffers(state.shipped_model)
    config = run.config.training
    with progress("validation", len(run.split.val)) as advance:
        return compute_logits(
            state.shipped_model,
            run.val_loader,
            len(run.table.classes),
            run.device,
            choose_inference_precision(run.device, config.use_amp, config.amp_dtype),
            _leave_when_asked(run, state, interrupts, advance),
        )


def finish_epoch(run: Run, state: TrainingState, predictions: LoaderOutputs | None, log: EventLog | None) -> None:
    """Compute the metrics of the epoch, keep the best model, write history and state, then curves and pictures."""
    if predictions is not None:
        note_skipped(run, state, predictions.skipped)
    state.add_up()
    row = _history_row(run, state, predictions)
    is_best = _is_best(run, state, row["val_top1"])
    state.history.append(row)
    if distributed.is_main():
        write_epoch(run, state, is_best)
    train_accuracy = state.totals.accuracy
    state.start_next_epoch()
    save_state(run, state)
    if log is not None:
        log_epoch(run, row, train_accuracy, predictions if is_best else None, log)
    _print_epoch(run, row, is_best)


def write_epoch(run: Run, state: TrainingState, is_best: bool) -> None:
    """Write the files of an epoch: the model if it is the best, history, skipped images.

    A table that another program holds is written anew after the next epoch.
    """
    row = state.history[-1]
    if is_best:
        metrics = {name: value for name, value in row.items() if name.startswith("val_") and value is not None}
        checkpoint = make_checkpoint(run.config, state.shipped_model, describe_table(run), metrics, row["epoch"])
        save_checkpoint(checkpoint, run.folder.best)
    with as_warning("the new history"):
        write_history(run.folder.history, state.history)
    if state.skipped:
        with as_warning("the new list of skipped images"):
            write_skipped_images(run.folder.skipped_images, run.table.image_dir, state.skipped)


def log_epoch(
    run: Run, row: dict[str, Any], train_accuracy: float, predictions: LoaderOutputs | None, log: EventLog
) -> None:
    """Write the curves of an epoch, and pictures of `predictions`, to the TensorBoard log."""
    with as_warning(f"epoch {row['epoch']} of the TensorBoard log"):
        log.epoch(row, train_accuracy)
    if predictions is not None:
        log.pictures(run, predictions, row["epoch"])


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
        "learning_rate": learning_rate_at(max(state.step - 1, 0), run.schedule),
        "images_per_second": state.totals.images / max(state.seconds, 1e-9),
        "seconds": state.seconds,
    }


def validation_metrics(predictions: LoaderOutputs | None) -> dict[str, float | None]:
    """Return `val_loss` (cross-entropy, whatever the training loss), `val_top1`, `val_top5`; None without images."""
    if predictions is None or len(predictions.labels) == 0:
        return {"val_loss": None, "val_top1": None, "val_top5": None}
    return {
        "val_loss": cross_entropy(predictions.logits, predictions.labels),
        "val_top1": top_k_accuracy(predictions.logits, predictions.labels, 1),
        "val_top5": top_k_accuracy(predictions.logits, predictions.labels, 5),
    }


def _is_best(run: Run, state: TrainingState, top1: float | None) -> bool:
    """Update the early-stopping counters; without validation the latest epoch is the one to ship."""
    if top1 is None:
        state.best_epoch = state.epoch + 1
        return True
    # the tolerance keeps a gain of exactly min_delta from being lost to rounding
    if top1 > state.best_top1 + max(run.config.training.early_stopping.min_delta - 1e-12, 0):
        state.best_top1, state.best_epoch, state.epochs_without_gain = top1, state.epoch + 1, 0
        return True
    state.epochs_without_gain += 1
    return False


def _leave_when_asked(
    run: Run, state: TrainingState, interrupts: Interrupts, advance: Callable[[int], None]
) -> Callable[[int], None]:
    def advance_or_leave(images: int) -> None:
        advance(images)
        if distributed.any_rank(interrupts.requested):
            _save_and_leave(run, state)

    return advance_or_leave


def _save_and_leave(run: Run, state: TrainingState) -> None:
    save_state(run, state)
    print(
        f"Saved {run.folder.last} in epoch {state.epoch + 1}, after optimizer step {state.step}. "
        "Continue with the same command and training.resume=auto."
    )
    raise KeyboardInterrupt


def _print_epoch(run: Run, row: dict[str, Any], is_best: bool) -> None:
    parts = [f"epoch {row['epoch']:>3}/{run.config.training.epochs}  train loss {row['train_loss']:.4f}"]
    if row["val_top1"] is not None:
        parts.append(
            f"val loss {row['val_loss']:.4f}  top-1 {100 * row['val_top1']:.2f} %  top-5 {100 * row['val_top5']:.2f} %"
        )
    parts.append(f"{row['images_per_second']:.1f} images/s  {row['seconds']:.0f} s")
    print("  ".join(parts) + ("  best so far" if is_best and row["val_top1"] is not None else ""), flush=True)
