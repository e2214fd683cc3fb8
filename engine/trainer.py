"""The training loop: epochs of optimizer steps, validation, and what is saved when."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from configs.errors import RunError
from data.dataset import Batch
from data.keyed import Purpose, keyed_generator, keyed_integer
from data.progress import progress
from engine.checkpoint import make_checkpoint, save_checkpoint
from engine.event_log import EventLog
from engine.interrupts import Interrupts
from engine.metrics import cross_entropy, top_k_accuracy
from engine.mixing import mix_batch, mixes
from engine.optim import learning_rate_at, set_learning_rate
from engine.predictor import Predictions, predict
from engine.resume import save_state
from engine.run_folder import write_history, write_skipped_images
from engine.setup import Run, describe_table
from engine.state import TrainingState
from models.classifier import head_parameter_names


@dataclass(frozen=True)
class TrainingResult:
    """Where a run ended: its best validation top-1 (None without validation), its epoch, epochs done, and why."""

    best_top1: float | None
    best_epoch: int
    epochs: int
    stopped_early: bool


def fit(run: Run, state: TrainingState) -> TrainingResult:
    """Train from `state` to the last epoch, or until early stopping. Raises KeyboardInterrupt after saving."""
    forward = torch.compile(state.model) if run.config.training.compile else state.model
    with Interrupts() as interrupts, EventLog(run.folder.logs, run.config, state.epoch) as log:
        while not is_complete(run, state):
            train_epoch(run, state, forward, interrupts)
            predictions = validate(run, state, interrupts)
            finish_epoch(run, state, predictions, log)
            if interrupts.requested:
                _save_and_leave(run, state)
    return TrainingResult(
        best_top1=None if run.val_loader is None else state.best_top1,
        best_epoch=state.best_epoch,
        epochs=state.epoch,
        stopped_early=state.epoch < run.config.training.epochs,
    )


def is_complete(run: Run, state: TrainingState) -> bool:
    """Say whether all epochs are done, or validation top-1 has not gained for `patience` epochs."""
    config = run.config.training
    gave_up = run.val_loader is not None and state.epochs_without_gain >= config.early_stopping.patience
    return gave_up or state.epoch >= config.epochs


def train_epoch(run: Run, state: TrainingState, forward: nn.Module, interrupts: Interrupts) -> None:
    """Train the rest of the current epoch, from `state.batch` on; save by time and on an interrupt."""
    config = run.config.training
    run.batches.epoch, run.batches.first_batch = state.epoch, state.batch
    if state.batch == len(run.batches):
        return
    set_trainable(state, frozen=state.epoch < config.freeze_epochs)
    done = run.batches.first_image(state.batch)
    batches = iter(run.train_loader)
    last = saved = time.perf_counter()
    with progress(f"epoch {state.epoch + 1}/{config.epochs}", len(run.batches.rows), done) as advance:
        for batch in batches:
            forward_backward(run, state, forward, batch)
            state.batch += 1
            if state.batch % config.accumulation_steps == 0 or state.batch == len(run.batches):
                optimizer_step(run, state)
                now = time.perf_counter()
                state.seconds, last = state.seconds + now - last, now
                if interrupts.requested:
                    _save_and_leave(run, state)
                if now - saved >= 60 * config.checkpoint_every_minutes:
                    save_state(run, state)
                    saved = last = time.perf_counter()
            advance(len(batch.images) + len(batch.skipped))


def forward_backward(run: Run, state: TrainingState, forward: nn.Module, batch: Batch) -> None:
    """Add one micro-batch to the gradients, weighted by its share of the images of the optimizer step."""
    state.skipped.update({run.table.image_ids[index]: problem for index, problem in batch.skipped})
    if len(batch.images) == 0:
        return
    config, position = run.config.training, (state.epoch, state.batch)
    images, labels = batch.images.to(run.device, non_blocking=True), batch.labels.to(run.device, non_blocking=True)
    targets = labels
    if mixes(config, state.epoch):
        generator = keyed_generator(run.config.seed, Purpose.MIXING, *position)
        images, targets = mix_batch(images, labels, len(run.table.classes), config, generator)
    torch.manual_seed(keyed_integer(run.config.seed, Purpose.DROPOUT, *position))
    with run.precision.context():
        logits = _forward(forward, images)
        loss = run.loss_function(logits, targets)
    share = len(labels) / _planned_images(run, state.batch)
    state.scaler.scale(loss * share).backward()
    with torch.no_grad():
        answers = targets.argmax(dim=1) if targets.ndim == 2 else targets
        state.sums[0] += loss.detach().float() * len(labels)
        state.sums[1] += (logits.argmax(dim=1) == answers).sum()
    state.images += len(labels)


def _forward(forward: nn.Module, images: torch.Tensor) -> torch.Tensor:
    try:
        return forward(images)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise RunError(
            f"Batch normalisation cannot train on {len(images)} image of {images.shape[-1]} pixels: its statistics "
            "need more values. Give a larger dataset.batch_size or model.input_size."
        ) from error


def optimizer_step(run: Run, state: TrainingState) -> None:
    """Apply the gradients, if there are any, clear them, and advance the averaged weights."""
    config = run.config.training
    set_learning_rate(state.optimizer, learning_rate_at(state.step, run.schedule))
    # none of the step's images may have been readable
    if any(parameter.grad is not None for parameter in state.model.parameters()):
        state.scaler.unscale_(state.optimizer)
        if config.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(state.model.parameters(), config.clip_grad_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    if state.ema is not None:
        state.ema.update(state.model, step=state.step)


def set_trainable(state: TrainingState, frozen: bool) -> None:
    """Put the model in training mode; `frozen` leaves the classifier alone to learn, with norms as they are."""
    state.model.train()
    head = head_parameter_names(state.model)
    for name, parameter in state.model.named_parameters():
        parameter.requires_grad_(not frozen or name in head)
    if frozen:
        for module in state.model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def validate(run: Run, state: TrainingState, interrupts: Interrupts) -> Predictions | None:
    """Return the predictions of the weights to be shipped on the validation images, or None if there are none."""
    if run.val_loader is None:
        return None
    with progress("validation", len(run.split.val)) as advance:
        return predict(
            state.shipped_model,
            run.val_loader,
            len(run.table.classes),
            run.device,
            run.precision,
            _leave_when_asked(run, state, interrupts, advance),
        )


def finish_epoch(run: Run, state: TrainingState, predictions: Predictions | None, log: EventLog) -> None:
    """Compute the epoch's figures, keep the best model, write the history and the state, print one line."""
    row = _history_row(run, state, predictions)
    if predictions is not None:
        state.skipped.update({run.table.image_ids[index]: problem for index, problem in predictions.skipped})
    is_best = _is_best(run, state, row["val_top1"])
    if is_best:
        metrics = {name: value for name, value in row.items() if name.startswith("val_") and value is not None}
        checkpoint = make_checkpoint(run.config, state.shipped_model, describe_table(run), metrics, row["epoch"])
        save_checkpoint(checkpoint, run.folder.best)
    log.epoch(row, train_accuracy=state.sums[1].item() / state.images)
    if is_best and predictions is not None:
        log.pictures(run, predictions, row["epoch"])
    state.history.append(row)
    state.start_next_epoch()
    write_history(run.folder.history, state.history)
    if state.skipped:
        write_skipped_images(run.folder.skipped_images, state.skipped)
    save_state(run, state)
    _print_epoch(run, row, is_best)


def _history_row(run: Run, state: TrainingState, predictions: Predictions | None) -> dict[str, float | None]:
    """Return the figures of the epoch that ends. Raises RunError if it saw no image, or its loss is not finite."""
    if state.images == 0:
        write_skipped_images(run.folder.skipped_images, state.skipped)
        raise RunError(f"No training image could be read; {run.folder.skipped_images} lists each with its problem.")
    train_loss = state.sums[0].item() / state.images
    if not math.isfinite(train_loss):
        raise RunError(
            f"The training loss of epoch {state.epoch + 1} is not finite. Lower training.learning_rate, "
            "or try training.use_amp=false."
        )
    return {
        "epoch": state.epoch + 1,
        "train_loss": train_loss,
        **validation_metrics(predictions),
        "learning_rate": learning_rate_at(max(state.step - 1, 0), run.schedule),
        "images_per_second": state.images / max(state.seconds, 1e-9),
        "seconds": state.seconds,
    }


def validation_metrics(predictions: Predictions | None) -> dict[str, float | None]:
    """Return `val_loss` (cross-entropy, whatever the training loss), `val_top1` and `val_top5`; None without images."""
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
    # the small slack keeps a gain of exactly min_delta from being lost to rounding
    if top1 > state.best_top1 + max(run.config.training.early_stopping.min_delta - 1e-12, 0):
        state.best_top1, state.best_epoch, state.epochs_without_gain = top1, state.epoch + 1, 0
        return True
    state.epochs_without_gain += 1
    return False


def _planned_images(run: Run, batch: int) -> int:
    """Return the images of the optimizer step that micro-batch `batch` belongs to."""
    accumulation_steps = run.config.training.accumulation_steps
    first = batch // accumulation_steps * accumulation_steps
    return run.batches.first_image(first + accumulation_steps) - run.batches.first_image(first)


def _leave_when_asked(
    run: Run, state: TrainingState, interrupts: Interrupts, advance: Callable[[int], None]
) -> Callable[[int], None]:
    def advance_or_leave(images: int) -> None:
        advance(images)
        if interrupts.requested:
            _save_and_leave(run, state)

    return advance_or_leave


def _save_and_leave(run: Run, state: TrainingState) -> None:
    save_state(run, state)
    print(
        f"Saved {run.folder.last} in epoch {state.epoch + 1}, after optimizer step {state.step}. "
        "Continue with the same command and training.resume=auto."
    )
    raise KeyboardInterrupt


def _print_epoch(run: Run, row: dict[str, float | None], is_best: bool) -> None:
    parts = [f"epoch {row['epoch']:>3}/{run.config.training.epochs}  train loss {row['train_loss']:.4f}"]
    if row["val_top1"] is not None:
        parts.append(
            f"val loss {row['val_loss']:.4f}  top-1 {100 * row['val_top1']:.2f} %  top-5 {100 * row['val_top5']:.2f} %"
        )
    parts.append(f"{row['images_per_second']:.1f} images/s  {row['seconds']:.0f} s")
    print("  ".join(parts) + ("  best so far" if is_best and row["val_top1"] is not None else ""), flush=True)
