"""From a config to everything that a run needs and that stays the same while it trains."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from configs.errors import InputError
from configs.schema import Config, DatasetConfig
from data.dataset import ImageDataset
from data.keyed import Purpose, keyed_integer
from data.loader import EpochBatches, default_workers, eval_loader, train_loader
from data.source import load_table
from data.split import Split, split_table
from data.table import ImageTable
from data.transforms import EvalTransform, TrainTransform
from engine.hardware import Precision, choose_device, choose_precision, configure_algorithms, tune_cpu_memory
from engine.optim import Schedule, build_schedule
from engine.run_folder import RunFolder
from models.classifier import Classifier, build_classifier
from models.losses import get_loss_function


@dataclass
class Run:
    """What a run trains on and with; `val_loader` is None if nothing is held back."""

    config: Config
    folder: RunFolder
    table: ImageTable
    split: Split
    device: torch.device
    precision: Precision
    memory_tuned: bool
    loss_function: nn.Module
    schedule: Schedule
    batches: EpochBatches
    train_loader: DataLoader
    val_loader: DataLoader | None

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.batches) // self.config.training.accumulation_steps)


def set_up_run(config: Config) -> Run:
    """Read the data and build all parts of a run but the model. Raises InputError for what cannot work."""
    device = choose_device(config.device)
    memory_tuned = device.type == "cpu" and tune_cpu_memory()
    configure_algorithms(device)
    table = load_table(config.dataset)
    split = split_table(table, config.dataset, config.seed)
    class_counts = np.bincount(table.labels[split.train], minlength=len(table.classes))
    dataset = config.dataset
    batches = EpochBatches(split.train, table.labels, dataset.batch_size, dataset.sampler, config.seed)
    workers, pin_memory = num_workers(dataset), device.type == "cuda"
    augment = TrainTransform(config.augmentation.train, config.model.input_size, config.seed)
    view = EvalTransform(config.model.input_size, config.model.crop_pct)
    train_images = ImageDataset(table.image_dir, table.image_ids, table.labels, augment)
    val_images = ImageDataset(table.image_dir, table.image_ids, table.labels, view)
    run = Run(
        config=config,
        folder=RunFolder(Path(config.output_dir)),
        table=table,
        split=split,
        device=device,
        precision=choose_precision(device, config.training.use_amp, config.training.amp_dtype),
        memory_tuned=memory_tuned,
        loss_function=get_loss_function(config.training, class_counts.tolist()).to(device),
        schedule=build_schedule(config.training, 1),
        batches=batches,
        train_loader=train_loader(train_images, batches, workers, pin_memory),
        val_loader=eval_loader(val_images, split.val, dataset.batch_size, workers, pin_memory)
        if len(split.val)
        else None,
    )
    run.schedule = build_schedule(config.training, run.steps_per_epoch)
    return run


def num_workers(config: DatasetConfig) -> int:
    """Return the worker processes of a loader."""
    return default_workers() if config.num_workers is None else config.num_workers


def build_model(run: Run) -> Classifier:
    """Return the model with keyed random weights."""
    config = run.config.model
    torch.manual_seed(keyed_integer(run.config.seed, Purpose.INITIALISATION))
    return build_classifier(
        config.architecture,
        len(run.table.classes),
        config.input_size,
        drop_rate=config.drop_rate,
        drop_path_rate=config.drop_path_rate,
        grad_checkpointing=config.grad_checkpointing,
    )


def describe_table(run: Run) -> dict[str, Any]:
    """Return what a checkpoint records of the data: classes, training images a class, and the split by image id."""
    ids = run.table.image_ids
    counts = np.bincount(run.table.labels[run.split.train], minlength=len(run.table.classes))
    return {
        "classes": run.table.classes,
        "class_counts": counts.tolist(),
        "split": {"train": [ids[row] for row in run.split.train], "val": [ids[row] for row in run.split.val]},
    }


def check_same_data(run: Run, saved_split: dict[str, list[str]]) -> None:
    """Raise InputError if a saved run was trained on another split than this one."""
    if describe_table(run)["split"] != saved_split:
        raise InputError(
            f"{run.folder.last}: its run used other images or another split. Resume with the same dataset and seed, "
            "or start anew with training.resume=null."
        )
