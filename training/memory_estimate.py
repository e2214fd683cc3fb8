"""Memory estimate: what training a model takes, found by replaying its step on tensors that have no memory."""

import contextlib
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from configs.input_sizes import final_size
from configs.schema import Config
from models.classifier import Classifier, classifier_of
from models.losses import get_loss_function
from training.freezing import set_trainable
from training.mixup import mixes
from training.optimizer import build_optimizer
from training.step_replay import AllocatedBytes, fake_step, materialise

# the share of a GPU that may hold tensors; the rest is for the CUDA context, workspaces of cuDNN and cuBLAS, gaps
# between blocks, and what the desktop takes
USABLE = 0.85

# batch sizes that are replayed; what a step takes grows in a straight line between and beyond them
_BATCHES = (4, 8)


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of tensors in training.

    `weights`, `gradients`, `optimizer` and `averages` (EMA) stay for the whole run. A forward and a backward pass take
    at most `base` + batch x `per_image`, an update of the weights `update`; both contain what stays.
    """

    weights: int
    gradients: int
    optimizer: int
    averages: int
    base: int
    per_image: int
    update: int

    def total(self, batch_size: int) -> int:
        """Return the most bytes that a step takes at a batch size."""
        return max(self.base + batch_size * self.per_image, self.update)

    def largest_batch(self, bytes_of_device: float) -> int:
        """Return how many images fit into the usable share of a device, 0 if none does."""
        usable = USABLE * bytes_of_device
        return max(0, int((usable - self.base) // self.per_image)) if usable >= self.update else 0


def training_memory(
    config: Config,
    num_classes: int,
    dtype: torch.dtype | None = None,
    checkpointing: bool | None = None,
    as_cuda: bool = True,
) -> TrainingMemory:
    """Return the memory for training the model of `config`; `dtype` is that of mixed precision, None for float32.

    `checkpointing` takes the place of `model.grad_checkpointing`, where `auto` counts as off. Without `as_cuda`,
    autocast works as on a CPU. A teacher (`training.teacher`) is not counted.
    """
    with torch.device("meta"):
        model = classifier_of(config.model, num_classes, checkpointing)
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    averages = 0 if config.training.ema_decay is None else weights
    with fake_step(dtype, as_cuda) as allocated:
        materialise(model)
        set_trainable(model, config)
        gradients = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
        optimizer, before = build_optimizer(model, config.training), allocated.now
        update = _peak_of_update(model, optimizer, allocated)
        state = allocated.now - before
        low, high = (_peak_of_passes(model, config, num_classes, dtype, count, allocated) for count in _BATCHES)
    per_image = (high - low) // (_BATCHES[1] - _BATCHES[0])
    return TrainingMemory(
        weights=weights,
        gradients=gradients,
        optimizer=state,
        averages=averages,
        base=low - _BATCHES[0] * per_image + averages,
        per_image=per_image,
        update=update + averages,
    )


def _peak_of_update(model: Classifier, optimizer: torch.optim.Optimizer, allocated: AllocatedBytes) -> int:
    """Return the most bytes during a step of the optimizer, which makes its state; that stays."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
    allocated.restart()
    # what an optimizer of timm does with numbers that it reads from tensors is not followed
    with contextlib.suppress(DataDependentOutputException):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return allocated.peak


def _peak_of_passes(
    model: Classifier,
    config: Config,
    num_classes: int,
    dtype: torch.dtype | None,
    batch_size: int,
    allocated: AllocatedBytes,
) -> int:
    """Return the most bytes during a forward and a backward pass; with accumulation, those of a second batch."""
    size = max(config.model.input_size, final_size(config))
    loss_function = get_loss_function(config.training, [1] * num_classes)
    for _ in range(min(config.training.accumulation_steps, 2)):
        allocated.restart()
        images = torch.empty((batch_size, 3, size, size), dtype=torch.uint8)
        if mixes(config.training, 0) and config.training.mixup_alpha > 0:
            images = images.float()
        targets = torch.empty((batch_size, num_classes))
        with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            loss = loss_function(model(images), targets)
        loss.backward()
    model.zero_grad(set_to_none=True)
    return allocated.peak
