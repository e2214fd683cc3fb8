"""What a step found: finite numbers or not. The device decides by it; the host counts it, one step later on CUDA.

So the host launches the next step while the device works on this one, instead of waiting for a flag.
"""

import contextlib
from collections.abc import Iterator

import torch

from common import distributed
from common.errors import RunError
from training.run import Run
from training.state import HostCopy, StepTotals, TrainingState, UnreadStep


def examine(state: TrainingState, totals: StepTotals, norm: torch.Tensor) -> tuple[torch.Tensor, HostCopy]:
    """Say whether a step must not change anything: a float32 scalar on the device, 1 if so; and all findings.

    `norm` is that of the unscaled gradients, the same on every rank. The scaler learns here whether it overflowed.
    """
    device = totals.loss_sum.device
    one = torch.ones((), device=device)
    own = torch.stack([one * totals.images, (~torch.isfinite(totals.loss_sum)).float()])
    images, bad_losses = distributed.add_up_tensor(own).unbind()
    bad = ((images == 0) | (bad_losses > 0) | ~torch.isfinite(norm)).float()
    scale_before = state.scaler.scale(one)
    state.scaler.update()
    return bad, HostCopy(torch.stack([bad, images, bad_losses, scale_before, state.scaler.scale(one)]))


def read_findings(run: Run, state: TrainingState, leave: int = 0) -> None:
    """Count the unread steps, except the last `leave`; all ranks must call this at the same step.

    Raises RunError after `training.max_bad_steps` bad steps in a row.
    """
    while len(state.unread) > leave:
        _count(run, state, state.unread.pop(0))


@contextlib.contextmanager
def unread_before_errors(run: Run, state: TrainingState) -> Iterator[None]:
    """If the block ends the run, count the unread steps first, so that their warnings are not lost."""
    try:
        yield
    except RunError:
        # of several ranks one may fail alone, and the others would not join
        if distributed.world_size() == 1:
            read_findings(run, state)
        raise


def say_lowered_scales(state: TrainingState) -> None:
    """Print how often float16 gradients overflowed in the epoch, if the one note at the first does not say all."""
    if state.lowered_in_epoch > 1:
        print(
            f"note: epoch {state.epoch + 1}: float16 gradients overflowed in {state.lowered_in_epoch} steps, each of "
            "which lowered their scale",
            flush=True,
        )


def _count(run: Run, state: TrainingState, step: UnreadStep) -> None:
    bad, images, bad_losses, scale_before, scale_after = step.findings.read()
    if not images:
        # no rank could read an image
        return
    if not bad:
        state.bad_steps = 0
    elif not bad_losses and 1 <= scale_after < scale_before:
        _count_lowered_scale(state, step, scale_after)
    else:
        _count_bad_step(run, state, step)
        return
    state.totals += step.totals


def _count_lowered_scale(state: TrainingState, step: UnreadStep, scale: float) -> None:
    """Count a step whose float16 gradients overflowed, as the search for the largest scale brings about."""
    state.lowered_scales += 1
    state.lowered_in_epoch += 1
    if state.lowered_in_epoch == 1:
        print(
            f"note: epoch {step.epoch + 1}, optimizer step {step.step + 1}: float16 gradients overflowed, so their "
            f"scale is lowered to {scale:g} and the weights stay. Some such steps are usual.",
            flush=True,
        )


def _count_bad_step(run: Run, state: TrainingState, step: UnreadStep) -> None:
    state.bad_steps += 1
    state.skipped_steps += 1
    limit = run.config.training.max_bad_steps
    rows = [int(row) for rows in distributed.gather(step.rows) for row in rows]
    names = ", ".join(run.table.image_ids[row] for row in rows)
    where = f"epoch {step.epoch + 1}, optimizer step {step.step + 1} (images {names})"
    if state.bad_steps >= limit:
        raise RunError(
            f"Loss or gradients were not finite in {state.bad_steps} steps in a row (training.max_bad_steps), the last "
            f"in {where}. {run.folder.last} has finite weights. Lower training.learning_rate, or try "
            "training.use_amp=false."
        )
    print(f"warning: loss or gradients were not finite in {where}: the step is skipped", flush=True)
