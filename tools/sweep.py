"""Sweep: several runs one after the other, each in its own folder, and a table that ranks them."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from common import distributed
from common.csv_files import write_rows
from common.errors import InputError, RunError
from common.files import check_writable_folder
from configs.schema import Config
from training.train import train
from training.trainer import TrainingResult

COLUMNS = ("job", "overrides", "val_top1", "best_epoch", "epochs", "status", "output_dir")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """How many runs there were, how many of them failed, and the path of the table that ranks them."""

    runs: int
    failures: int
    table: Path


def train_sweep(configs: Sequence[Config], jobs: Sequence[Sequence[str]]) -> Sweep:
    """Train one run after the other, each in `<output_dir>/sweeps/<time>/<number>`.

    `jobs` are the overrides that gave each config. A run that fails does not stop the others. After each run
    `sweep.csv` beside them is written anew, sorted by validation top-1 (a fraction), the best first.
    """
    check_writable_folder(Path(configs[0].output_dir))
    started = distributed.gather(datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))[0]
    folder = Path(configs[0].output_dir) / "sweeps" / started
    rows: list[dict[str, Any]] = []
    for number, (config, job) in enumerate(zip(configs, jobs, strict=True)):
        print(f"\nrun {number + 1} of {len(configs)}: {' '.join(job)}", flush=True)
        output_dir = str(folder / str(number))
        row: dict[str, Any] = {"job": number, "overrides": " ".join(job), "output_dir": output_dir}
        try:
            row |= _figures(train(dataclasses.replace(config, output_dir=output_dir)))
        except (InputError, RunError) as error:
            row["status"] = f"failed: {error}"
            print(row["status"], flush=True)
        rows.append(row)
        if distributed.is_main():
            write_sweep(folder / "sweep.csv", rows)
    failures = sum(str(row["status"]).startswith("failed") for row in rows)
    return Sweep(len(configs), failures, folder / "sweep.csv")


def write_sweep(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write one row a run, the best validation top-1 first; runs without one come last, in their order."""
    ranked = sorted(rows, key=lambda row: -1.0 if row.get("val_top1") is None else row["val_top1"], reverse=True)
    write_rows(path, COLUMNS, [["" if row.get(name) is None else row[name] for name in COLUMNS] for row in ranked])


def _figures(result: TrainingResult) -> dict[str, Any]:
    return {
        "val_top1": None if result.best_top1 is None else round(result.best_top1, 6),
        "best_epoch": result.best_epoch,
        "epochs": result.epochs,
        "status": "stopped early" if result.stopped_early else "finished",
    }
