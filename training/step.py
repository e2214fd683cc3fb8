"""One optimizer step: micro-batches, gradients, weights, EMA. A step happens completely or not at all."""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from common import distributed
from common.device import moved
from common.errors import RunError
from common.memory import is_out_of_memory, release_device_memory
from common.randomness import Purpose, keyed_generator, keyed_integer
from configs.input_sizes import training_size
from data.dataset import Batch
from training.adamw import create_moments
from training.findings import examine, read_findings, unread_before_errors
from training.mixup import mix_batch, mixes
from training.optimizer import reads_found_inf, set_learning_rate, step_unless
from training.run import Run
from training.schedule import backbone_factor_at, learning_rate_at
from training.state import HostCopy, StepTotals, TrainingState, UnreadStep


class MicroBatchPart(NamedTuple):
    """Images of one forward pass (N, 3, H, W) and their targets float32 (N, K); see `training.objective`."""

    images: torch.Tensor
    targets: torch.Tensor


def read_steps(run: Run) -> Iterator[list[Batch]]:
    """Yield the micro-batches of each optimizer step of the epoch for which `run.batches` is set."""
    batches = iter(run.train_loader)
    while step := list(itertools.islice(batches, run.config.training.accumulation_steps)):
        yield step


def take_step(run: Run, state: TrainingState, forward: nn.Module, batches: list[Batch]) -> None:
    """Train on the micro-batches of one optimizer step.

    A step with a loss or gradients that are not finite leaves weights, EMA weights and BatchNorm statistics unchanged.
    On CUDA the host counts it one step later, and `read_findings` counts what is left. Raises RunError after
    `training.max_bad_steps` such steps in a row, and if not even one image fits in memory.
    """
    schedule = state.schedule_of(run.schedule)
    set_learning_rate(state.optimizer, learning_rate_at(state.step, schedule), backbone_factor_at(state.step, schedule))
    with unread_before_errors(run, state):
        _take_memory_for_moments(run, state)
        totals = _gradients_that_fit(run, state, forward, batches)
        if totals.images or distributed.world_size() > 1:
            findings = _update(run, state, totals)
            rows = torch.cat([batch.indices for batch in batches])
            state.unread.append(UnreadStep(totals, rows, state.epoch, state.step, findings))
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    read_findings(run, state, leave=1 if _decides_on_device(run, state) else 0)


def _gradients_that_fit(run: Run, state: TrainingState, forward: nn.Module, batches: list[Batch]) -> StepTotals:
    """Accumulate the gradients in as many parts as memory needs; return this rank's totals."""
    state.statistics.keep()
    totals = compute_gradients(run, state, forward, batches)
    while totals is None:
        _roll_back(state)
        state.parts_per_micro_batch = _more_parts(state, batches)
        totals = compute_gradients(run, state, forward, batches)
    return totals


def compute_gradients(run: Run, state: TrainingState, forward: nn.Module, batches: list[Batch]) -> StepTotals | None:
    """Accumulate the gradients of all micro-batches; return this rank's totals, or None when out of memory.

    Each micro-batch is computed in `state.parts_per_micro_batch` parts. Each part is weighted by its share of the
    images of the step, so that the sum is the mean over the images.
    """
    try:
        return _sum_of_parts(run, state, forward, batches)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if distributed.world_size() > 1:
            raise RunError(_ADVICE_FOR_MEMORY) from error
    # outside of the block, at whose end the exception lets go of the failed graph
    return None


def _sum_of_parts(run: Run, state: TrainingState, forward: nn.Module, batches: list[Batch]) -> StepTotals:
    totals = StepTotals.zero(run.device)
    for number, batch in enumerate(batches):
        parts = _parts_of(run, state, batch, state.batch + number)
        for place, part in enumerate(parts):
            is_last = number == len(batches) - 1 and place == len(parts) - 1
            torch.manual_seed(_dropout_seed(run, state, state.batch + number, place))
            with distributed.without_averaging(forward, not is_last):
                totals += _backward(run, state, forward, part)
    return totals


_ADVICE_FOR_MEMORY = (
    "The device is out of memory. Give a smaller dataset.batch_size with a larger training.accumulation_steps (their "
    "product is the effective batch), model.grad_checkpointing=true, or a smaller model.input_size."
)


def _parts_of(run: Run, state: TrainingState, batch: Batch, number: int) -> list[MicroBatchPart]:
    """Return images and targets of micro-batch `number` of the epoch, mixed and split into parts."""
    images, labels, indices = (moved(tensor, run.device) for tensor in (batch.images, batch.labels, batch.indices))
    if len(images) == 0:
        # every rank must join the last backward pass of a step, because DDP waits for the gradients of all
        size = training_size(run.config, state.epoch)
        blank = MicroBatchPart(images.new_zeros((0, 3, size, size)), labels)
        return [blank] if distributed.world_size() > 1 else []
    targets = run.objective.targets(labels, indices)
    if mixes(run.config.training, state.epoch):
        generator = keyed_generator(run.config.seed, Purpose.MIXING, state.epoch, number, *_own_number())
        images, targets = mix_batch(images, targets, run.config.training, generator)
    parts = min(state.parts_per_micro_batch, len(images))
    return list(map(MicroBatchPart, images.tensor_split(parts), targets.tensor_split(parts)))


def _own_number() -> tuple[int, ...]:
    """Return numbers that give this rank its own random draws; empty on rank 0, which draws like one process."""
    return (distributed.rank(),) if distributed.rank() else ()


def _dropout_seed(run: Run, state: TrainingState, batch: int, place: int) -> int:
    part = (place, distributed.rank()) if place or distributed.rank() else ()
    return keyed_integer(run.config.seed, Purpose.DROPOUT, state.epoch, batch, *part)


def _backward(run: Run, state: TrainingState, forward: nn.Module, part: MicroBatchPart) -> StepTotals:
    """Add the gradients of some images, and return their totals."""
    images, targets = part
    if len(images) == 0:
        return _backward_of_nothing(state, forward, images)
    with run.precision.context():
        logits = _forward(forward, images)
        loss = run.objective.loss(logits, targets, images)
    # DDP averages gradients over ranks; scaled so, the result is the mean over all images of the step
    share = len(images) * distributed.world_size() / planned_images(run, state.batch)
    state.scaler.scale(loss * share).backward()
    with torch.no_grad():
        correct = run.objective.correct(logits, targets).float()
        return StepTotals(loss.detach().float() * len(images), correct, len(images))


def _backward_of_nothing(state: TrainingState, forward: nn.Module, images: torch.Tensor) -> StepTotals:
    """Join a backward pass with zero gradients; blank images stand for the unreadable ones."""
    blank = images.new_zeros((2, *images.shape[1:]))
    training = [module for module in state.model.modules() if module.training]
    state.model.eval()
    # scaled like all others: the scaler does not know a rank whose first step has no image
    state.scaler.scale(forward(blank).float().sum() * 0).backward()
    for module in training:
        module.training = True
    return StepTotals.zero(images.device)


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


def planned_images(run: Run, batch: int) -> int:
    """Return the number of images, on all ranks, of the optimizer step that begins at micro-batch `batch`."""
    last = batch + run.config.training.accumulation_steps
    return run.batches.first_image(last) - run.batches.first_image(batch)


def _update(run: Run, state: TrainingState, totals: StepTotals) -> HostCopy:
    """Clip the gradients, and update weights and EMA if everything is finite; return what was found."""
    try:
        state.scaler.unscale_(state.optimizer)
        largest = run.config.training.clip_grad_norm or math.inf
        norm = nn.utils.clip_grad_norm_(state.model.parameters(), largest)
        bad, findings = examine(state, totals, norm)
        if _decides_on_device(run, state):
            step_unless(state.optimizer, bad)
            state.statistics.restore_if(bad)
            state.update_ema(skip=bad)
        elif bad.item():
            state.statistics.restore()
        else:
            state.optimizer.step()
            state.update_ema()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(
            f"The device is out of memory in the step of training.optimizer={run.config.training.optimizer}, which may "
            f"have updated a part of the weights: the run ends, and they are not saved. {_ADVICE_FOR_STATE}"
        ) from error
    return findings


_ADVICE_FOR_STATE = (
    "Give a smaller model, or an optimizer that keeps less (training.optimizer=sgd), or end what else uses the device."
)


def _decides_on_device(run: Run, state: TrainingState) -> bool:
    """Say whether the device alone decides if a step counts, so that the host need not wait for it."""
    return run.device.type == "cuda" and reads_found_inf(state.optimizer)


def _take_memory_for_moments(run: Run, state: TrainingState) -> None:
    """Create the moments of parameters that are trained from now on, while the device holds nothing of a step."""
    if _moments_fit(state):
        return
    release_device_memory()
    if not _moments_fit(state):
        raise RunError(
            "The device's memory does not hold the weights with the state of "
            f"training.optimizer={run.config.training.optimizer}. {_ADVICE_FOR_STATE}"
        )


def _moments_fit(state: TrainingState) -> bool:
    try:
        create_moments(state.optimizer)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _roll_back(state: TrainingState) -> None:
    """Undo the effects of the forward and backward passes of a step: gradients and statistics."""
    state.optimizer.zero_grad(set_to_none=True)
    state.statistics.restore()


def _more_parts(state: TrainingState, batches: list[Batch]) -> int:
    """Return twice the parts per micro-batch, with a warning. Raises RunError if a part has one image already."""
    images = max(len(batch.images) for batch in batches)
    if state.parts_per_micro_batch >= images:
        raise RunError(
            "The device's memory does not hold a single image in training. Give model.grad_checkpointing=true, a "
            "smaller model.input_size, or a smaller model."
        )
    parts = 2 * state.parts_per_micro_batch
    print(
        f"warning: out of memory with {-(-images // state.parts_per_micro_batch)} images at once. From here on each "
        f"micro-batch is computed in {parts} parts of at most {-(-images // parts)}, accumulated {parts} times as "
        "often. The effective batch and the learning rate stay. What differs: BatchNorm's statistics come from fewer "
        "images, and dropout draws otherwise.",
        flush=True,
    )
    release_device_memory()
    return parts
