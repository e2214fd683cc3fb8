"""The state of training: everything that changes while a model trains, and how it is saved and loaded."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, cast

import torch
from timm.layers import convert_sync_batchnorm

from common import distributed
from common.device import Precision
from common.errors import InputError
from configs.schema import TrainingConfig
from models.classifier import Classifier, on_device
from training.ema import AveragedModel
from training.norm_statistics import NormStatistics
from training.optimizer import build_optimizer, load_optimizer
from training.schedule import Schedule, Shortening

# float16 gradients overflow at torch's own 2 ** 16 in most runs
_FIRST_SCALE = 2.0**12

# counters of `TrainingState`: their names in last.pt, which must stay readable
_COUNTERS = {
    "epoch": "epoch",
    "batch": "batch",
    "step": "step",
    "seconds": "seconds",
    "best_top1": "best_top1",
    "best_epoch": "best_epoch",
    "epochs_without_gain": "epochs_without_gain",
    "bad_steps": "bad_steps",
    "skipped_steps": "skipped_steps",
    "parts_per_micro_batch": "splits",
    "lowered_scales": "lowered_scales",
    "lowered_in_epoch": "lowered_in_epoch",
    "wall_seconds": "wall_seconds",
    "used_seconds": "used_seconds",
}
# counters that files of earlier versions lack
_LATER_COUNTERS = ("lowered_scales", "lowered_in_epoch", "wall_seconds", "used_seconds")


@dataclass(frozen=True)
class StepTotals:
    """Totals over images: loss x images and correct answers (float32 scalars on the device), and images."""

    loss_sum: torch.Tensor
    correct: torch.Tensor
    images: int

    @classmethod
    def zero(cls, device: torch.device) -> "StepTotals":
        """Return empty totals."""
        return cls(torch.zeros((), device=device), torch.zeros((), device=device), 0)

    def __add__(self, other: "StepTotals") -> "StepTotals":
        return StepTotals(self.loss_sum + other.loss_sum, self.correct + other.correct, self.images + other.images)

    @property
    def mean_loss(self) -> float:
        """The mean loss per image."""
        return self.loss_sum.item() / self.images

    @property
    def accuracy(self) -> float:
        """The share of correct answers."""
        return self.correct.item() / self.images


class HostCopy:
    """A few values on their way from the device to the host; the copy does not make the host wait."""

    def __init__(self, values: torch.Tensor) -> None:
        on_cuda = values.is_cuda
        self._values = values.to("cpu", non_blocking=on_cuda)
        self._arrived = torch.cuda.current_stream(values.device).record_event() if on_cuda else None

    def read(self) -> list[float]:
        """Wait for the work that computes the values, not for what was launched after it, and return them."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._values.tolist()


class UnreadStep(NamedTuple):
    """A step that was launched: this rank's totals and table rows, its place in the run, and what the device found."""

    totals: StepTotals
    rows: torch.Tensor
    epoch: int
    step: int
    findings: HostCopy


@dataclass
class TrainingState:
    """Weights, EMA weights, optimizer and counters of a run.

    `epoch` counts finished epochs, `batch` the micro-batches done in the current epoch, `step` all optimizer steps.
    `totals`, `seconds` (of training) and `wall_seconds` (all since the last row of the history) belong to the current
    epoch; each rank has its own until `add_up`. `bad_steps` counts skipped steps in a row, `skipped_steps` all of them.
    `lowered_scales` counts steps whose float16 gradients overflowed, `lowered_in_epoch` those of the current epoch. A
    micro-batch is computed in `parts_per_micro_batch` parts, so that it fits in memory. `unread` steps are counted once
    the host reads their findings (`training.findings`). `best_answers` are the best epoch's predictions of the
    validation images, from `training.tensorboard.answers_of`. `validation_hits` say for each epoch which validation
    images were right, bool (N,). `start` are the weights before the first step, on the CPU, in a run that mixes them in
    at its end (`training.start_mix`). `used_seconds` are those of all its starts together, without the breaks between;
    `times` are those of `training.run_times`, in a run with `training.max_minutes`, which a `shortening` may have cut.
    """

    model: Classifier
    ema: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    totals: StepTotals
    statistics: NormStatistics
    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_top1: float = -1.0
    best_epoch: int = 0
    epochs_without_gain: int = 0
    bad_steps: int = 0
    skipped_steps: int = 0
    parts_per_micro_batch: int = 1
    lowered_scales: int = 0
    lowered_in_epoch: int = 0
    wall_seconds: float = 0.0
    used_seconds: float = 0.0
    unread: list[UnreadStep] = field(default_factory=list)
    best_answers: dict[str, torch.Tensor] | None = None
    validation_hits: list[torch.Tensor] = field(default_factory=list)
    start: dict[str, torch.Tensor] | None = None
    times: dict[str, float] | None = None
    shortening: Shortening | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def shipped_model(self) -> Classifier:
        """The model that is validated and saved: the EMA weights if the run averages."""
        return self.model if self.ema is None else self.ema.module

    def schedule_of(self, planned: Schedule) -> Schedule:
        """Return the run's schedule `planned` with the shortening that there may have been."""
        return replace(planned, shortening=self.shortening)

    def update_ema(self, skip: torch.Tensor | None = None) -> None:
        """Move the EMA weights towards the weights of the step just done, if it averages; `skip` as in `update`."""
        if self.ema is not None:
            self.ema.update(self.step, skip)

    def add_up(self) -> None:
        """Give every rank the sum of the totals of all ranks, and all skipped images."""
        device, skipped = self.totals.loss_sum.device, distributed.gather(self.skipped)
        of_ranks = distributed.gather((self.totals.loss_sum.cpu(), self.totals.correct.cpu(), self.totals.images))
        self.totals = StepTotals(
            torch.stack([loss_sum for loss_sum, _, _ in of_ranks]).sum(dim=0).to(device),
            torch.stack([correct for _, correct, _ in of_ranks]).sum(dim=0).to(device),
            sum(images for _, _, images in of_ranks),
        )
        self.skipped = {image_id: problem for part in skipped for image_id, problem in part.items()}

    def reset_totals_on_other_ranks(self) -> None:
        """Zero the running totals on every rank but 0, so that the next `add_up` does not count them twice."""
        if not distributed.is_main():
            self.totals = StepTotals.zero(self.totals.loss_sum.device)

    def start_next_epoch(self) -> None:
        """Count the epoch as finished, and reset its totals."""
        change = self.shortening
        self.epoch = change.next_epoch if change is not None and change.epoch == self.epoch else self.epoch + 1
        self.batch, self.seconds, self.wall_seconds, self.lowered_in_epoch = 0, 0.0, 0.0, 0
        self.totals = StepTotals.zero(self.totals.loss_sum.device)

    def to_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain containers."""
        return {
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "sums": torch.stack([self.totals.loss_sum, self.totals.correct]),
            "images": self.totals.images,
            "history": self.history,
            "skipped": self.skipped,
            "best_answers": self.best_answers,
            "validation_hits": self.validation_hits,
            "start": self.start,
            "times": self.times,
            "shortening": None if self.shortening is None else asdict(self.shortening),
            **{saved_name: getattr(self, name) for name, saved_name in _COUNTERS.items()},
        }

    def load_dict(self, saved: dict[str, Any]) -> None:
        """Restore a state from `to_dict`. Raises InputError if it belongs to another model or optimizer."""
        try:
            self.model.load_state_dict(saved["model"])
            if self.ema is not None:
                self.ema.module.load_state_dict(saved["ema"])
            load_optimizer(self.optimizer, saved["optimizer"])
            if saved["scaler"]:
                # a run in another precision has saved none: the scale starts anew
                self.scaler.load_state_dict(saved["scaler"])
            loss_sum, correct = saved["sums"].to(self.totals.loss_sum.device).unbind()
            self.totals = StepTotals(loss_sum, correct, saved["images"])
            self.history, self.skipped = saved["history"], saved["skipped"]
            self.best_answers, self.start = saved.get("best_answers"), saved.get("start")
            self.validation_hits = saved.get("validation_hits", [])
            self.times, shortening = saved.get("times"), saved.get("shortening")
            self.shortening = None if shortening is None else Shortening(**shortening)
            for name, saved_name in _COUNTERS.items():
                setattr(self, name, saved.get(saved_name, 0) if name in _LATER_COUNTERS else saved[saved_name])
            self.reset_totals_on_other_ranks()
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise InputError("The saved training state does not fit this model and optimizer.") from error


def new_state(model: Classifier, config: TrainingConfig, device: torch.device, precision: Precision) -> TrainingState:
    """Return the state before the first step; `model` is moved to `device` in channels_last memory."""
    if config.sync_batchnorm:
        # a Classifier is no BatchNorm itself, so it stays one
        model = cast(Classifier, convert_sync_batchnorm(model))
    model = on_device(model, device)
    return TrainingState(
        model=model,
        ema=None if config.ema_decay is None else AveragedModel(model, config.ema_decay),
        optimizer=build_optimizer(model, config),
        scaler=torch.amp.GradScaler(device.type, _FIRST_SCALE, enabled=precision.dtype == torch.float16),
        totals=StepTotals.zero(device),
        statistics=NormStatistics(model),
    )
