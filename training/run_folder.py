"""The folder of a run: its files, its lock, and the archive for older runs."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from common.csv_files import write_rows
from common.files import replacing
from common.locks import locked

ARCHIVE = "archive"

SECONDS_FOR_WORKERS_TO_END = 10

HISTORY_COLUMNS = (
    "epoch",
    "train_loss",
    "val_loss",
    "val_top1",
    "val_top5",
    "learning_rate",
    "images_per_second",
    "seconds",
    "wall_seconds",
)


@dataclass(frozen=True)
class RunFolder:
    """Paths of what a training run writes below `root`."""

    root: Path

    @property
    def best(self) -> Path:
        return self.root / "checkpoints" / "best_model.pt"

    @property
    def last(self) -> Path:
        return self.root / "checkpoints" / "last.pt"

    @property
    def previous(self) -> Path:
        """The state saved before `last`."""
        return self.root / "checkpoints" / "previous.pt"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def history(self) -> Path:
        return self.root / "history.csv"

    @property
    def skipped_images(self) -> Path:
        return self.root / "skipped_images.csv"

    @property
    def validation_hits(self) -> Path:
        """Which validation images each epoch has right."""
        return self.root / "validation_hits.npz"

    def locked(self) -> AbstractContextManager[None]:
        """Lock this folder. Raises InputError if another run uses it; a process that dies leaves no lock."""
        # the workers of a killed run keep its lock for some seconds, until they notice its end
        seconds, remedy = SECONDS_FOR_WORKERS_TO_END, "Wait for it, or give another output_dir."
        return locked(self.root, "another run", remedy, seconds)

    def archive(self) -> Path | None:
        """Move the files of an older run to `archive/<time>`; return that folder, or None if there was no older run."""
        parts = [self.best.parent, self.logs, self.config, self.history, self.skipped_images, self.validation_hits]
        present = [part for part in parts if part.exists()]
        if not present:
            return None
        name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        target, number = self.root / ARCHIVE / name, 1
        while target.exists():
            number += 1
            target = self.root / ARCHIVE / f"{name}_{number}"
        target.mkdir(parents=True)
        for part in present:
            shutil.move(part, target / part.name)
        return target


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one row per epoch; accuracies are fractions, empty in a run without validation.

    `seconds` are those of training, `wall_seconds` all since the row before: validation, saving and logs too. Rows of
    earlier versions lack them.
    """
    write_rows(path, HISTORY_COLUMNS, [[_text(row.get(column)) for column in HISTORY_COLUMNS] for row in rows])


def write_skipped_images(path: Path, image_dir: Path, problems: Mapping[str, str]) -> None:
    """Write `image_id,path,problem` of the skipped images, sorted."""
    rows = [(image_id, str(image_dir / image_id), problem) for image_id, problem in sorted(problems.items())]
    write_rows(path, ("image_id", "path", "problem"), rows)


def write_validation_hits(path: Path, image_ids: Sequence[str], hits: Sequence[np.ndarray]) -> None:
    """Write `image_ids` (N,) and `hits` bool (epochs, N), as an .npz file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, image_ids=np.array(image_ids, dtype=str), hits=np.stack(hits))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
