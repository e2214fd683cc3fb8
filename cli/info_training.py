"""What flower_cli.py info says of a training: the memory that it takes, and whether its loader or its steps limit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from common.processors import usable_cores

if TYPE_CHECKING:
    from configs.schema import Config
    from tools.throughput import Throughput
    from training.memory_estimate import TrainingMemory

_CARDS_GB = (8, 12, 16, 24, 40, 80)

_CLASSES = 100


def memory_facts(config: Config) -> dict[str, str]:
    """Return the memory that training a config takes, in float32 and with 16-bit mixed precision."""
    import torch

    from configs.timm_models import with_final_size
    from training.auto_settings import RECIPE_BATCH
    from training.memory_estimate import USABLE, training_memory

    config = with_final_size(config)
    chosen = config.dataset.batch_size
    batch = RECIPE_BATCH if chosen == "auto" else chosen
    facts = {"model": f"{config.model.name}: {config.model.architecture} at {config.model.input_size} px"}
    for name, dtype in (("float32", None), ("16-bit", torch.float16)):
        memory = training_memory(config, _CLASSES, dtype)
        if dtype is None:
            facts["weights"] = f"{memory.weights / 1e9:.2f} GB"
            facts["gradients"] = f"{memory.gradients / 1e9:.2f} GB"
            facts["optimizer"] = f"{memory.optimizer / 1e9:.2f} GB ({config.training.optimizer})"
            facts["averages"] = f"{memory.averages / 1e9:.2f} GB (training.ema_decay)"
        facts[f"an image, {name}"] = f"{memory.per_image / 1e9:.3f} GB"
        facts[f"batch {batch}, {name}"] = f"{memory.total(batch) / 1e9:.1f} GB"
        facts[f"largest batch, {name}"] = ", ".join(_largest(memory))
        if config.model.grad_checkpointing == "auto":
            limit = memory.total(batch) / USABLE
            facts[f"checkpointing, {name}"] = f"auto: on for GPUs with less than {limit / 1e9:.1f} GB"
    facts["note"] = (
        f"computed, not measured, for {_CLASSES} classes; of a GPU {100 * USABLE:.0f} % count as usable, the rest is "
        "for workspaces, gaps and the CUDA context"
    )
    return facts


def _largest(memory: TrainingMemory) -> list[str]:
    """Return the largest batch for usual sizes of cards, and for the card of this machine."""
    import torch

    batches = [f"{gigabytes} GB: {memory.largest_batch(gigabytes * 1e9)}" for gigabytes in _CARDS_GB]
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        batches.append(f"this GPU of {total / 1e9:.1f} GB: {memory.largest_batch(total)}")
    return batches


def throughput_facts(config: Config) -> dict[str, str]:
    """Measure loader and training steps of a config, and return which limits and what to change."""
    from tools.throughput import throughput

    found = throughput(config)
    model, augmentation = config.model, config.augmentation.name
    facts = {f"choice {number}": choice for number, choice in enumerate(found.choices, start=1)}
    facts["loader"] = (
        f"{found.loader:.1f} images/s ({found.workers} workers, augmentation {augmentation}, {found.images})"
    )
    fewer = "" if found.step_images == found.batch_size else f", for time {found.step_images} at once"
    facts["steps"] = (
        f"{found.steps:.1f} images/s ({model.name} at {model.input_size} px, batch {found.batch_size}{fewer}, "
        f"{found.precision}, {found.device})"
    )
    return {**facts, **limit_facts(found)}


def limit_facts(found: Throughput) -> dict[str, str]:
    """Return which of the two limits, and the keys that change that."""
    slow, fast = sorted((found.loader, found.steps))
    name = "the loader" if found.loader_limits else "the training steps"
    facts = {"limit": f"{name}: the other is {fast / slow:.1f} times as fast"}
    if found.device.type == "cpu":
        facts["together"] = (
            f"about {1 / (1 / slow + 1 / fast):.1f} images/s, because on a CPU both work on the same cores"
        )
    if not found.loader_limits:
        facts["to change"] = (
            "training.freeze_layers=0.35, a smaller model.input_size or model; on a GPU also training.compile=true, "
            "training.use_amp=true, dataset.batch_size=auto"
        )
        return facts
    most = min(usable_cores(), 16)
    # training itself takes at most 4 there
    price = " (if the paging file has room for so many)" if sys.platform == "win32" and most > 4 else ""
    more = f"dataset.num_workers={most}{price}, " if found.workers < most else ""
    facts["to change"] = (
        f"{more}augmentation=medium or light; smaller files: images stored at about the size that the model reads"
    )
    return facts
