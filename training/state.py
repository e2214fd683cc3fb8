"""All that changes while a model trains, in one place, and how it is saved and taken up again."""

from dataclasses import dataclass, field
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3

from common import distributed
from common.device import Precision
from common.errors import InputError
from configs.schema import TrainingConfig
from models.classifier import Classifier
from training.optimizer import build_optimizer

_COUNTERS = (
    "epoch",
    "batch",
    "step",
    "images",
    "seconds",
    "best_top1",
    "best_epoch",
    "epochs_without_gain",
    "bad_steps",
    "skipped_steps",
    "splits",
)


@dataclass
class TrainingState:
    """Weights, optimizer and counters of a run.

    `epoch` counts finished epochs, `batch` the micro-batches done in the epoch that runs, `step` all optimizer steps.
    `sums` (loss x images, correct; float32), `images` and `seconds` belong to the epoch that runs; until `add_up`
    each rank has its own. `bad_steps` counts the steps skipped in a row, `skipped_steps` all; `splits` is the number
    of parts that a micro-batch is computed in, so that it fits the memory.
    """

    model: Classifier
    ema: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    sums: torch.Tensor
    epoch: int = 0
    batch: int = 0
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    best_top1: float = -1.0
    best_epoch: int = 0
    epochs_without_gain: int = 0
    bad_steps: int = 0
    skipped_steps: int = 0
    splits: int = 1
    history: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def shipped_model(self) -> Classifier:
        """The weights that are validated and saved: the averaged ones if the run averages."""
        return self.model if self.ema is None else self.ema.module

    def add_up(self) -> None:
        """Give every rank the totals of what each counted in the epoch that runs, and all skipped images."""
        counts, skipped = distributed.gather((self.sums.cpu(), self.images)), distributed.gather(self.skipped)
        self.sums.copy_(torch.stack([sums for sums, _ in counts]).sum(dim=0))
        self.images = sum(images for _, images in counts)
        self.skipped = {image_id: problem for part in skipped for image_id, problem in part.items()}

    def leave_totals_to_main(self) -> None:
        """Count from nothing on all ranks but the first, so that the next `add_up` counts nothing twice."""
        if not distributed.is_main():
            self.sums.zero_()
            self.images = 0

    def start_next_epoch(self) -> None:
        """Count the epoch as finished and clear what belongs to it alone."""
        self.epoch += 1
        self.batch, self.images, self.seconds = 0, 0, 0.0
        self.sums.zero_()

    def to_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain containers."""
        return {
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "sums": self.sums,
            "history": self.history,
            "skipped": self.skipped,
            **{name: getattr(self, name) for name in _COUNTERS},
        }

    def load_dict(self, saved: dict[str, Any]) -> None:
        """Take up a state that `to_dict` returned. Raises InputError if it belongs to another model or optimizer."""
        try:
            self.model.load_state_dict(saved["model"])
            if self.ema is not None:
                self.ema.module.load_state_dict(saved["ema"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.scaler.load_state_dict(saved["scaler"])
            self.sums.copy_(saved["sums"])
            self.history, self.skipped = saved["history"], saved["skipped"]
            for name in _COUNTERS:
                setattr(self, name, saved[name])
            self.leave_totals_to_main()
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise InputError("The saved training state does not fit this model and optimizer.") from error


def new_state(model: Classifier, config: TrainingConfig, device: torch.device, precision: Precision) -> TrainingState:
    """Return the state before the first step; `model` is moved to `device` in channels_last memory."""
    if config.sync_batchnorm:
        model = convert_sync_batchnorm(model)
    model = model.to(device=device, memory_format=torch.channels_last)
    return TrainingState(
        model=model,
        ema=None if config.ema_decay is None else ModelEmaV3(model, decay=config.ema_decay, use_warmup=True),
        optimizer=build_optimizer(model, config),
        scaler=torch.amp.GradScaler(device.type, enabled=precision.dtype == torch.float16),
        sums=torch.zeros(2, device=device),
    )
