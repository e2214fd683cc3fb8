"""Keys with the value `auto`: training replaces them by what suits the memory of its device, or the weights.

`dataset.batch_size=auto` is the largest batch that fits; accumulation makes the effective batch of the recipes of it.
`model.grad_checkpointing=auto` is on only where a step does not fit without it. `training.final_input_size=auto` is the
size of the pretrained weights, if the first epochs have smaller images.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from common import distributed
from common.device import Precision
from common.errors import InputError, RunError
from common.memory import free_device_memory, free_memory, is_out_of_memory, release_device_memory
from common.processors import processes_here
from configs.input_sizes import final_size
from configs.schema import Config
from configs.timm_models import with_final_size
from models.classifier import classifier_of
from models.losses import get_loss_function
from training.freezing import set_trainable
from training.memory_estimate import USABLE, TrainingMemory, training_memory
from training.state import TrainingState, new_state

# the effective batch of every config of ours, for which their learning rates are meant
RECIPE_BATCH = 32

# images that a step should hold at once, also without checkpointing; BatchNorm's statistics get poor below
_FEWEST_IMAGES = 8

# the shares of free memory that a batch may take: on a GPU measured, on a CPU computed, where other programs run too
_SHARE_OF_GPU, _SHARE_OF_CPU = 0.9, 0.5

# no network of ours keeps so many times its input for the backward pass (large transformers come near the half)
_TIMES_INPUT = 2000

_TRIED_STEPS = 2


def with_choices(
    config: Config, num_classes: int, device: torch.device, precision: Precision
) -> tuple[Config, list[str]]:
    """Return the config with values in place of `auto`, and a sentence on each choice. All ranks must call this.

    Raises RunError if a GPU cannot train on one image.
    """
    sentences = []
    if config.training.final_input_size == "auto":
        config = with_final_size(config)
        if size := config.training.final_input_size:
            sentences.append(f"training.final_input_size=auto: {size} px, on which the weights were pretrained")
    if config.model.grad_checkpointing == "auto":
        wanted, why = _needs_checkpointing(config, num_classes, device, precision)
        config = with_values(config, {"model.grad_checkpointing": wanted})
        sentences.append(f"model.grad_checkpointing=auto: {'on' if wanted else 'off'}, {why}")
    if config.dataset.batch_size == "auto":
        # memory for accumulated gradients is counted, because it is needed unless the whole batch fits
        accumulating = with_values(config, {"training.accumulation_steps": 2})
        batch, why = _largest_batch(accumulating, num_classes, device, precision)
        steps = RECIPE_BATCH // batch
        config = with_values(config, {"dataset.batch_size": batch, "training.accumulation_steps": steps})
        sentences.append(f"dataset.batch_size=auto: {batch} images fit ({why}), training.accumulation_steps={steps}")
    return config, sentences


def check_memory(config: Config, num_classes: int, device: torch.device, precision: Precision) -> None:
    """Raise InputError if a step takes more than the machine's free memory. All ranks must call this.

    The system would end the run without a word. A GPU raises an error of its own, which training answers by smaller
    parts.
    """
    if device.type != "cpu":
        return
    images, side = _own_share(config.dataset.batch_size), max(config.model.input_size, final_size(config))
    free = min(distributed.gather(free_memory() / processes_here()))
    if _TIMES_INPUT * images * 3 * side * side * torch.float32.itemsize < free:
        return
    needed = training_memory(config, num_classes, precision.dtype, as_cuda=False).total(images)
    if needed > free:
        batch = config.dataset.batch_size
        smaller = "model.input_size" if side == config.model.input_size else "training.final_input_size"
        remedies = ["dataset.batch_size=auto"] if images > 1 else []
        raise InputError(
            f"This machine's memory does not hold a training step: {config.model.name} at {side} px with "
            f"dataset.batch_size={batch} takes about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. "
            f"Give {', '.join([*remedies, f'a smaller {smaller}'])} or a smaller model."
        )


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return the config with other values of keys such as `dataset.batch_size`."""
    for key, value in values.items():
        config = _with_value(config, key.split("."), value)
    return config


def _with_value(section: Any, names: Sequence[str], value: Any) -> Any:
    first, *rest = names
    return dataclasses.replace(section, **{first: _with_value(getattr(section, first), rest, value) if rest else value})


def _needs_checkpointing(
    config: Config, num_classes: int, device: torch.device, precision: Precision
) -> tuple[bool, str]:
    if device.type != "cuda":
        return False, f"because it would save memory of a GPU, and this is {device.type}"
    batch = config.dataset.batch_size
    images = _own_share(_FEWEST_IMAGES if batch == "auto" else batch)
    needed = training_memory(config, num_classes, precision.dtype, checkpointing=False).total(images)
    usable = min(distributed.gather(USABLE * free_device_memory(device)))
    words = f"a step of {images} images takes {needed / 1e9:.1f} GB without, and {usable / 1e9:.1f} GB can be used"
    return needed > usable, words


def _largest_batch(config: Config, num_classes: int, device: torch.device, precision: Precision) -> tuple[int, str]:
    """Return the largest divisor of the recipes' batch that fits on all ranks, and how that was found."""
    sizes = [size for size in range(RECIPE_BATCH, 0, -1) if RECIPE_BATCH % size == 0]
    if device.type == "cuda":
        found = largest_tried(config, sizes, num_classes, device, precision)
        how = "tried on this GPU"
    else:
        memory = training_memory(config, num_classes, precision.dtype, as_cuda=False)
        found, how = _largest_computed(memory, sizes)
    batch = min(distributed.gather(found))
    if batch == 0:
        raise RunError(
            "dataset.batch_size=auto: the GPU's free memory does not hold a single image in training. End what else "
            "uses the GPU, or give model.grad_checkpointing=true, a smaller model.input_size, or a smaller model."
        )
    return batch, how


def _largest_computed(memory: TrainingMemory, sizes: list[int]) -> tuple[int, str]:
    """Return the largest of `sizes`, which fall, that half of the free memory holds, else the smallest."""
    usable = _SHARE_OF_CPU * free_memory() / processes_here()
    found = next((size for size in sizes if memory.total(_own_share(size)) <= usable), sizes[-1])
    needed = memory.total(_own_share(found))
    return found, f"computed: {needed / 1e9:.1f} GB of {usable / 1e9:.1f} GB, half of the free memory"


def largest_tried(
    config: Config, sizes: list[int], num_classes: int, device: torch.device, precision: Precision
) -> int:
    """Return the largest of `sizes`, which fall, with which steps of a throw-away model run; 0 if none does."""
    model = classifier_of(config.model, num_classes)
    set_trainable(model, config)
    state = new_state(model, config.training, device, precision)
    loss_function = get_loss_function(config.training, [1] * num_classes).to(device)
    limit = _SHARE_OF_GPU * free_device_memory(device) if device.type == "cuda" else math.inf
    side = max(config.model.input_size, final_size(config))
    found = 0
    for size in sizes:
        images = torch.zeros((_own_share(size), 3, side, side), dtype=torch.uint8)
        peak = _peak_of_steps(state, loss_function, images, num_classes, device, precision, accumulates=size < sizes[0])
        release_device_memory()
        if peak is not None and peak <= limit:
            found = size
            break
    del state, model
    release_device_memory()
    return found


def _peak_of_steps(
    state: TrainingState,
    loss_function: nn.Module,
    images: torch.Tensor,
    num_classes: int,
    device: torch.device,
    precision: Precision,
    accumulates: bool,
) -> int | None:
    """Take some steps on `images`; return the most bytes reserved on a GPU (0 on others), None if memory was full."""
    try:
        for _ in range(_TRIED_STEPS):
            if device.type == "cuda":
                # the last step counts: in the first, cuDNN fills what is free with workspaces of kernels that it tries
                release_device_memory()
                torch.cuda.reset_peak_memory_stats(device)
            for _ in range(2 if accumulates else 1):
                pixels = images.to(device)
                targets = torch.full((len(images), num_classes), 1 / num_classes, device=device)
                with precision.context():
                    loss = loss_function(state.model(pixels), targets)
                state.scaler.scale(loss).backward()
            state.scaler.step(state.optimizer)
            state.scaler.update()
            state.update_ema()
            state.optimizer.zero_grad(set_to_none=True)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        is_full = True
    else:
        is_full = False
    # outside `except`, because the exception keeps what the failed pass had made
    state.optimizer.zero_grad(set_to_none=True)
    if is_full:
        return None
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else 0


def _own_share(batch_size: int) -> int:
    """Return the images of a batch that one rank computes at most."""
    return -(-batch_size // distributed.world_size())
