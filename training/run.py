"""The fixed parts of a run: data, split, loaders, objective, schedule, device."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common import distributed
from common.device import Precision, choose_device, choose_precision, configure_algorithms
from common.errors import InputError
from common.memory import cap_device_memory, tune_cpu_memory
from configs.schema import Config
from data.dataloader import BatchReader, eval_loader, train_loader
from data.duplicates import duplicate_groups
from data.prepared import load_table
from data.sampler import EpochBatches
from data.split import Split, copies_in_training, needs_groups, split_table
from data.table import Corrections, ImageTable
from training.auto_settings import with_choices
from training.distillation import Teacher, load_teacher
from training.objective import Objective, build_objective
from training.run_folder import RunFolder
from training.schedule import Schedule, build_schedule


@dataclass(frozen=True)
class Run:
    """What stays the same while a run trains; `val_loader` is None if no images are held back.

    `config` has no value `auto` for batch, checkpointing or rate any more; `choices` are sentences on what took its
    place. `memory_limit` is in bytes, None if the card has none. `val_copies` validation images show the picture of a
    training image, which a table of their own may bring about.
    """

    config: Config
    folder: RunFolder
    table: ImageTable
    split: Split
    device: torch.device
    precision: Precision
    memory_tuned: bool
    memory_limit: int | None
    choices: list[str]
    objective: Objective
    teacher: Teacher | None
    steps_per_epoch: int
    schedule: Schedule
    batches: EpochBatches
    train_loader: BatchReader
    val_loader: BatchReader | None
    val_copies: int


def set_up_run(config: Config, saved_choices: Sequence[str] = ()) -> Run:
    """Read the data and build all parts of a run except the model. Raises InputError if it cannot work.

    `saved_choices` are the sentences of the first start of a resumed run.
    """
    config = with_learning_rate(config)
    device = choose_device(config.device)
    training = config.training
    precision = choose_precision(device, training.use_amp, training.amp_dtype, training.allow_tf32)
    memory_tuned = device.type == "cpu" and tune_cpu_memory()
    memory_limit = cap_device_memory(device)
    configure_algorithms(device, search_kernels=True, allow_tf32=training.allow_tf32)
    distributed.check_sync_batchnorm(training.sync_batchnorm, device)
    with distributed.main_first():
        table = load_table(config.dataset)
        groups = duplicate_groups(table, Path(config.dataset.root)) if needs_groups(config.dataset) else None
    split = split_table(table, config.dataset, config.seed, groups)
    config, choices = with_choices(config, len(table.classes), device, precision)
    batches = EpochBatches(
        split.train,
        table.labels,
        config.dataset.batch_size,
        config.dataset.sampler,
        config.seed,
        distributed.rank(),
        distributed.world_size(),
    )
    teacher = load_teacher(config.training.teacher, table, split.train, device)
    steps_per_epoch = -(-len(batches) // config.training.accumulation_steps)
    return Run(
        config=config,
        folder=RunFolder(Path(config.output_dir)),
        table=table,
        split=split,
        device=device,
        precision=precision,
        memory_tuned=memory_tuned,
        memory_limit=memory_limit,
        choices=[*saved_choices, *choices],
        objective=build_objective(config.training, training_counts(table, split), teacher, device),
        teacher=teacher,
        steps_per_epoch=steps_per_epoch,
        schedule=build_schedule(config.training, steps_per_epoch),
        batches=batches,
        train_loader=train_loader(config, table, batches, device),
        val_loader=eval_loader(config, table, split.val, device, beside_training=True) if len(split.val) else None,
        val_copies=0 if groups is None else copies_in_training(split, groups),
    )


def with_learning_rate(config: Config) -> Config:
    """Return the config with a number for `training.learning_rate`; null becomes the model's own rate.

    So does auto, until `training.range_test.with_tested_rate` replaces it.
    """
    if config.training.learning_rate not in (None, "auto"):
        return config
    training = dataclasses.replace(config.training, learning_rate=config.model.finetune_learning_rate)
    return dataclasses.replace(config, training=training)


def training_counts(table: ImageTable, split: Split) -> list[int]:
    """Return the number of training images of each class."""
    return np.bincount(table.labels[split.train], minlength=len(table.classes)).tolist()


def describe_table(run: Run) -> dict[str, Any]:
    """Return what a checkpoint stores about the data: classes, images per class, split by image id, corrections."""
    ids = run.table.image_ids
    return {
        "classes": run.table.classes,
        "class_counts": training_counts(run.table, run.split),
        "split": {part: [ids[row] for row in getattr(run.split, part)] for part in ("train", "val", "test")},
        "corrections": _describe_corrections(run.table.corrections),
    }


def _describe_corrections(done: Corrections | None) -> dict[str, Any]:
    if done is None:
        return {}
    return {
        "changed": done.changed,
        "dropped": done.dropped,
        "kept": len(done.kept_rows),
        "sha256": done.sha256,
        "effect": done.effect,
    }


def check_same_data(run: Run, saved: dict[str, Any]) -> None:
    """Raise InputError if a saved run used another split than this one, or other corrections of labels."""
    facts = describe_table(run)
    # files of earlier versions have no corrections
    effects = [described.get("corrections", {}).get("effect", "") for described in (saved, facts)]
    if effects[0] != effects[1]:
        raise InputError(
            f"{run.folder.last}: its run used another corrections.csv. Resume with the same decisions, or start anew "
            "with training.resume=null."
        )
    if facts["split"] != {"test": [], **saved["split"]}:
        raise InputError(
            f"{run.folder.last}: its run used other images or another split. Resume with the same dataset and seed, "
            "or start anew with training.resume=null."
        )
