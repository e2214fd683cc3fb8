"""The runs below a folder: what each recorded, read without its weights; damage is a sentence, not an error."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from common.csv_files import read_rows
from common.errors import InputError
from configs.compose import leaves_of, read_plain
from configs.options import UNTRAINED
from evaluation.epoch_choice import CORRECTED, best_of
from models.checkpoint import Checkpoint, load_facts
from training.run_folder import RunFolder

# columns of history.csv that are read
CURVES = ("train_loss", "val_loss", "val_top1")
_SECONDS = ("seconds", "wall_seconds")

_FOLDERS_OF_A_RUN = {"checkpoints", "logs", "evaluation"}

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class RunEntry:
    """What a run recorded. `changed` is the time of its newest file, local.

    `config` holds the keys of config.yaml with their values, `history` a row an epoch, None where a cell is empty; both
    are empty if the file is missing. `checkpoint` is the best model without its weights. `problems` are sentences.
    """

    name: str
    folder: RunFolder
    changed: datetime
    config: dict[str, Any]
    history: list[dict[str, float | None]]
    checkpoint: Checkpoint | None
    problems: list[str]

    @property
    def model(self) -> str:
        """The architecture, a name of timm; empty if unknown."""
        return self.checkpoint.architecture if self.checkpoint else str(self.config.get("model.architecture", ""))

    @property
    def input_size(self) -> int | None:
        """The side in pixels that the best model is evaluated at, else that of the config."""
        return self.checkpoint.input_size if self.checkpoint else self.config.get("model.input_size")

    @property
    def corrected_top1(self) -> float | None:
        """The best validation top-1, corrected for the choice of the epoch (a share)."""
        return self.checkpoint.metrics.get(CORRECTED) if self.checkpoint else None

    @property
    def measured_top1(self) -> float | None:
        """The best validation top-1 as measured (a share): that of the best model, else the best of the history."""
        if self.checkpoint:
            return self.checkpoint.metrics.get("val_top1")
        return max((row["val_top1"] for row in self.history if row["val_top1"] is not None), default=None)

    @property
    def minutes(self) -> tuple[float, bool]:
        """Minutes of all epochs, and whether they are all: rows of earlier versions hold those of training alone."""
        seconds = [row["seconds"] if row["wall_seconds"] is None else row["wall_seconds"] for row in self.history]
        return sum(it or 0 for it in seconds) / 60, all(row["wall_seconds"] is not None for row in self.history)

    @property
    def trained(self) -> bool:
        """False for a classifier on an unchanged backbone, which has no epochs."""
        return self.config.get("training.name") != UNTRAINED

    @property
    def finished(self) -> bool | None:
        """Whether it has done its epochs, or stopped early; None without a config."""
        if not self.trained:
            return self.checkpoint is not None
        planned = self.config.get("training.epochs")
        if not isinstance(planned, int | float):
            return None
        # a run with a limit of time may have been shortened
        ended = self.config.get("training.max_minutes") is not None and self.corrected_top1 is not None
        return ended or len(self.history) >= planned or self._stopped_early()

    def _stopped_early(self) -> bool:
        top1 = [row["val_top1"] for row in self.history]
        patience = self.config.get("training.early_stopping.patience")
        if patience is None or not top1 or None in top1:
            return False
        best = int(best_of(np.array(top1), self.config.get("training.early_stopping.min_delta") or 0.0))
        return len(top1) - 1 - best >= patience


def find_runs(root: Path, skip: Path | None = None) -> tuple[dict[str, Path], list[str]]:
    """Return the folders of runs at and below `root` by their path from it, and a sentence on each unreadable folder.

    Archived runs are among them. The folder `skip` is not looked into.
    """
    found: dict[str, Path] = {}
    problems: list[str] = []

    def tell(error: OSError) -> None:
        problems.append(f"{error.filename}: this folder cannot be read: {error.strerror}.")

    left_out = None if skip is None else skip.resolve()
    for place, folders, files in os.walk(root, onerror=tell):
        folder = Path(place)
        if folder.resolve() == left_out:
            folders.clear()
            continue
        if _is_run(folder, files):
            found[root.name if folder == root else folder.relative_to(root).as_posix()] = folder
            folders[:] = [name for name in folders if name not in _FOLDERS_OF_A_RUN]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    return found, problems


def read_run(name: str, root: Path) -> RunEntry:
    """Return what the run in the folder `root` recorded; raises nothing for damaged files."""
    folder, problems = RunFolder(root), []

    def attempt(path: Path, read: Callable[[Path], _Value], otherwise: _Value) -> _Value:
        if not path.is_file():
            return otherwise
        try:
            return read(path)
        except InputError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{path}: cannot be read: {error.strerror}.")
        return otherwise

    present = [path for path in (folder.config, folder.history, folder.best, folder.last) if path.is_file()]
    return RunEntry(
        name=name,
        folder=folder,
        changed=datetime.fromtimestamp(max((path.stat().st_mtime for path in present), default=0)),
        config=attempt(folder.config, _read_config, {}),
        history=attempt(folder.history, _read_history, []),
        checkpoint=attempt(folder.best, load_facts, None),
        problems=problems,
    )


def _is_run(folder: Path, files: list[str]) -> bool:
    run = RunFolder(folder)
    known = {run.config.name, run.history.name} & set(files)
    return bool(known) or run.best.is_file() or run.last.is_file()


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return dict(leaves_of(read_plain(path)))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: damaged; its keys are not shown.") from error


def _read_history(path: Path) -> list[dict[str, float | None]]:
    rows = []
    for line, row in enumerate(read_rows(path, ("epoch", *CURVES, "seconds")), start=2):
        try:
            cells = {name: float(row[name]) if row.get(name) else None for name in (*CURVES, *_SECONDS)}
            rows.append({"epoch": float(row["epoch"]), **cells})
        except ValueError as error:
            raise InputError(f"{path}, line {line}: a cell is not a number.") from error
    return rows
