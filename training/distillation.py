"""Distillation: the probabilities that a teacher gives to training images.

It is trained models, a saved file, or the averaged weights of the run itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.functional import interpolate

from common.classes import ImageClass, reordering
from common.errors import InputError
from data.table import ImageTable
from models.checkpoint import Checkpoint, load_checkpoint
from models.classifier import Classifier, on_device
from prediction.probabilities import read_probabilities
from training.named_files import teacher_files

_SMALLEST = 1e-8

_OTHER_CLASSES = "training.teacher: {} has other classes than the training images."


class Teacher(Protocol):
    """Gives probabilities float32 (N, C) of training images; `seen` are the image ids that it was trained on."""

    seen: frozenset[str]

    def saved(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the probabilities saved for table rows int64 (N,): float32 (N, C), or (N, 0) if there are none."""
        ...

    def probabilities(self, images: torch.Tensor, saved: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of images (N, 3, H, W) with values 0..255; `saved` was mixed like the images."""
        ...


class ModelTeacher:
    """Trained models, each with its input size and its output for each class, int64 (C,)."""

    def __init__(self, models: Sequence[tuple[Classifier, int, torch.Tensor]], seen: frozenset[str]) -> None:
        self.models = models
        self.seen = seen

    def saved(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (N, 0): models need the pixels."""
        return torch.empty((len(rows), 0), device=rows.device)

    @torch.no_grad()
    def probabilities(self, images: torch.Tensor, saved: torch.Tensor) -> torch.Tensor:
        """Return the mean probabilities of the models, without their temperatures (training.finish says why).

        The teacher sees exactly the pixels that the student is trained on (Beyer et al. 2022, arXiv:2106.05237).
        """
        total = torch.zeros((), device=images.device)
        for model, size, output_of_class in self.models:
            total = total + model(resized(images.float(), size)).float().softmax(dim=1)[:, output_of_class]
        return total / len(self.models)


def resized(images: torch.Tensor, size: int) -> torch.Tensor:
    """Return images float32 (N, 3, H, H) at `size`, with anti-aliasing; on the CPU where the device cannot do it."""
    if images.shape[-1] == size:
        return images
    try:
        return interpolate(images, size=(size, size), mode="bilinear", antialias=True)
    except NotImplementedError:
        # MPS in older versions of torch
        return interpolate(images.cpu(), size=(size, size), mode="bilinear", antialias=True).to(images.device)


class AveragedTeacher:
    """The averaged weights of the run itself, as they are at each step: a mean teacher.

    The source is Tarvainen and Valpola 2017 (arXiv:1703.01780), where teacher and student each see noise of their own.
    This one sees the same pixels as the student, without dropout and drop path.
    """

    def __init__(self) -> None:
        self.model: Classifier | None = None
        self.seen: frozenset[str] = frozenset()

    def saved(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (N, 0): the model needs the pixels."""
        return torch.empty((len(rows), 0), device=rows.device)

    @torch.no_grad()
    def probabilities(self, images: torch.Tensor, saved: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of the averaged model."""
        if self.model is None:
            raise ValueError("training.start.state_of gives this teacher its model")
        return self.model(images).float().softmax(dim=1)


class SavedTeacher:
    """Saved probabilities of every table row, float32 (rows, C)."""

    def __init__(self, table: torch.Tensor) -> None:
        self.table = table
        self.seen: frozenset[str] = frozenset()

    def saved(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of table rows."""
        return self.table[rows]

    def probabilities(self, images: torch.Tensor, saved: torch.Tensor) -> torch.Tensor:
        """Return `saved`."""
        return saved


def load_teacher(source: Any, table: ImageTable, rows: np.ndarray, device: torch.device) -> Teacher | None:
    """Return the teacher of `training.teacher`: None, ema, a best_model.pt, a list of them, or a probabilities.npz.

    `rows` are the table's training rows. Raises InputError if classes differ, or if an .npz lacks training images.
    """
    if source is None:
        return None
    if source == "ema":
        return AveragedTeacher()
    paths = teacher_files(source)
    if any(path.suffix == ".npz" for path in paths):
        if len(paths) > 1:
            raise InputError("training.teacher: give one probabilities.npz, or checkpoints, not both.")
        return SavedTeacher(_read_table(paths[0], table, rows).to(device))
    models, seen = [], set()
    for path in paths:
        checkpoint = load_checkpoint(path)
        model = on_device(checkpoint.build_model(), device).requires_grad_(False)
        models.append((model, checkpoint.input_size, _output_of_class(checkpoint, table.classes, path).to(device)))
        seen.update(checkpoint.split["train"])
    return ModelTeacher(models, frozenset(seen))


def _read_table(path: Path, table: ImageTable, rows: np.ndarray) -> torch.Tensor:
    saved = read_probabilities(path)
    values = saved.in_order_of(table.classes)
    if values is None:
        raise InputError(_OTHER_CLASSES.format(path))
    row_of = {Path(image_id).name: place for place, image_id in enumerate(saved.image_ids)}
    names = [Path(table.image_ids[row]).name for row in rows]
    missing = [name for name in names if name not in row_of]
    if missing:
        raise InputError(f"{path}: lacks {len(missing)} of {len(names)} training images, first {missing[0]}.")
    # the zeros of an image that the teacher could not read become equal probabilities
    chosen = values[[row_of[name] for name in names]] + _SMALLEST
    found = torch.zeros(len(table.image_ids), len(table.classes))
    found[torch.from_numpy(rows)] = torch.from_numpy(chosen / chosen.sum(axis=1, keepdims=True)).float()
    return found


def _output_of_class(checkpoint: Checkpoint, classes: Sequence[ImageClass], path: Path) -> torch.Tensor:
    outputs = reordering(checkpoint.classes, classes)
    if outputs is None:
        raise InputError(_OTHER_CLASSES.format(path))
    return torch.tensor(outputs)
