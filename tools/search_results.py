"""What a search has found: its trials, the best of them, and how far their figures can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.csv_files import read_rows, write_rows
from evaluation.epoch_choice import flattery
from training.run_folder import RunFolder

STATES = ("finished", "pruned", "interrupted", "failed")

COLUMNS = ("trial", "val_top1", "best_epoch", "epochs", "minutes", "state", "overrides", "problem", "output_dir")


@dataclass(frozen=True)
class Trial:
    """One run of a search: `top1` is its best validation top-1 (a share), None if it has none.

    `state` is one of `STATES`, `words` are the searched overrides, and `problem` says why a run failed.
    """

    number: int
    state: str
    words: tuple[str, ...]
    top1: float | None
    best_epoch: int | None
    epochs: int | None
    minutes: float | None
    problem: str
    output_dir: Path


@dataclass(frozen=True)
class Search:
    """What a search has found so far; `trials` are sorted, the best finished one first.

    `command` trains the best trial anew. `flattery` is by how much the choice among the finished trials makes the best
    top-1 too high (a share). `importance` is None if `no_importance` says why there is no picture.
    """

    trials: tuple[Trial, ...]
    command: str | None
    flattery: float
    table: Path
    importance: Path | None
    no_importance: str
    interrupted: bool

    @property
    def best(self) -> Trial | None:
        """The finished trial with the highest top-1."""
        return next((trial for trial in self.trials if trial.state == "finished"), None)

    @property
    def all_failed(self) -> bool:
        """Say whether there are trials, and none gave a figure."""
        return bool(self.trials) and all(trial.state == "failed" for trial in self.trials)


def write_trials(path: Path, trials: Sequence[Trial]) -> None:
    """Write one row a trial, in their order; top-1 is a fraction."""
    rows = [
        (
            trial.number,
            "" if trial.top1 is None else f"{trial.top1:.6f}",
            *("" if value is None else value for value in (trial.best_epoch, trial.epochs)),
            "" if trial.minutes is None else f"{trial.minutes:.2f}",
            trial.state,
            " ".join(trial.words),
            " ".join(trial.problem.split()),
            trial.output_dir,
        )
        for trial in trials
    ]
    write_rows(path, COLUMNS, rows)


def minutes_of(folder: RunFolder) -> float | None:
    """Return how long a run took, without the time for which it stood still between two calls."""
    if not folder.history.is_file():
        return None
    return sum(float(row["wall_seconds"]) for row in read_rows(folder.history, ("wall_seconds",))) / 60


def flattery_of(finished: Sequence[Trial]) -> float:
    """Return by how much the choice among finished trials flatters the best; their answers are in their folders."""
    rows = []
    for trial in finished:
        folder = RunFolder(trial.output_dir)
        if folder.validation_hits.is_file() and trial.best_epoch is not None:
            # a run that was shortened has no answers for the epochs that it left out
            epochs = [row["epoch"] for row in read_rows(folder.history, ("epoch",))]
            with np.load(folder.validation_hits, allow_pickle=False) as saved:
                rows.append(saved["hits"][epochs.index(str(trial.best_epoch))])
    return flattery(np.stack(rows)) if rows else 0.0
