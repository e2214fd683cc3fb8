"""Distillation: what a teacher, one or more trained models or their saved probabilities, says of a training image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from common.classes import ImageClass
from common.errors import InputError
from data.table import ImageTable
from models.checkpoint import Checkpoint, load_checkpoint
from models.classifier import Classifier
from prediction.probabilities import read_probabilities

_SMALLEST = 1e-8

_OTHER_CLASSES = "training.teacher: {} has other classes than the training images."


class Teacher:
    """Either `models`, each with its input size and class order, or a `table` of probabilities (rows, C)."""

    def __init__(
        self,
        models: Sequence[tuple[Classifier, int, torch.Tensor]] = (),
        table: torch.Tensor | None = None,
        seen: frozenset[str] = frozenset(),
    ) -> None:
        self.models = models
        self.table = table
        # image ids that the teacher was trained on
        self.seen = seen

    @torch.no_grad()
    def answer(self, images: torch.Tensor) -> torch.Tensor:
        """Return the models' mean probabilities, float32 (N, C), of images (N, 3, H, W) of values 0..255.

        The teacher sees the very pixels that the student learns from (Beyer et al. 2022, arXiv:2106.05237).
        """
        total = 0.0
        for model, size, order in self.models:
            seen = images.float()
            if seen.shape[-1] != size:
                seen = interpolate(seen, size=(size, size), mode="bilinear", antialias=True)
            total = total + model(seen).float().softmax(dim=1)[:, order]
        return total / len(self.models)


def load_teacher(source: Any, table: ImageTable, rows: np.ndarray, device: torch.device) -> Teacher | None:
    """Return the teacher of `training.teacher`: None, a best_model.pt, a list of them, or a probabilities.npz.

    `rows` are the table's training rows. Raises InputError if classes differ, or if an .npz lacks training images.
    """
    if source is None:
        return None
    paths = [Path(path) for path in (source if isinstance(source, list) else [source])]
    if any(path.suffix == ".npz" for path in paths):
        if len(paths) > 1:
            raise InputError("training.teacher: give one probabilities.npz, or checkpoints, not both.")
        return Teacher(table=_read_table(paths[0], table, rows).to(device))
    models, seen = [], set()
    for path in paths:
        checkpoint = load_checkpoint(path)
        model = checkpoint.build_model().to(device=device, memory_format=torch.channels_last).requires_grad_(False)
        models.append((model, checkpoint.input_size, _order(checkpoint, table.classes, path).to(device)))
        seen.update(checkpoint.split["train"])
    return Teacher(models, seen=frozenset(seen))


def _read_table(path: Path, table: ImageTable, rows: np.ndarray) -> torch.Tensor:
    saved = read_probabilities(path)
    values = saved.in_order_of([entry.category_id for entry in table.classes])
    if values is None:
        raise InputError(_OTHER_CLASSES.format(path))
    row_of = {Path(image_id).name: place for place, image_id in enumerate(saved.image_ids)}
    names = [Path(table.image_ids[row]).name for row in rows]
    missing = [name for name in names if name not in row_of]
    if missing:
        raise InputError(f"{path}: lacks {len(missing)} of {len(names)} training images, first {missing[0]}.")
    # an image that the teacher could not read has zeros: it teaches nothing, each class alike
    chosen = values[[row_of[name] for name in names]] + _SMALLEST
    found = torch.zeros(len(table.image_ids), len(table.classes))
    found[torch.from_numpy(rows)] = torch.from_numpy(chosen / chosen.sum(axis=1, keepdims=True)).float()
    return found


def _order(checkpoint: Checkpoint, classes: Sequence[ImageClass], path: Path) -> torch.Tensor:
    place = {entry.category_id: entry.label for entry in checkpoint.classes}
    if set(place) != {entry.category_id for entry in classes}:
        raise InputError(_OTHER_CLASSES.format(path))
    return torch.tensor([place[entry.category_id] for entry in classes])
