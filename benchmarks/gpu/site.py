"""Where a check works: its folder, the machine, and how it runs a script of the kit. Imports nothing heavy."""

import csv
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]

# what a check found: `ok` (True, False, or None if it could not be tried), `why` unless ok, `summary`, `goals`, figures
Facts = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """A folder for the files of all checks, and `gpu.machine.machine_facts`."""

    folder: Path
    machine: dict[str, Any]

    @property
    def device(self) -> str:
        """`cuda`, or `cpu` for the reduced form."""
        return self.machine["device"]

    @property
    def reduced(self) -> bool:
        """Whether models are tiny and figures say nothing about a GPU."""
        return self.device == "cpu"

    def line_of(self, check: str) -> Facts:
        """Return the line of a check that has run before, empty if it left none."""
        path = line_path(self.folder, check)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def line_path(folder: Path, check: str) -> Path:
    """Return the file into which the process of a check writes its facts."""
    return folder / "lines" / f"{check}.json"


def skipped(why: str) -> Facts:
    """Return the facts of a check that cannot be tried here."""
    return {"ok": None, "why": why}


@dataclass(frozen=True)
class Outcome:
    """How a script ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def problem(self) -> str:
        """The end of what it said, if it failed."""
        return "" if self.code == 0 else f"exit code {self.code}: {(self.err or self.out).strip()[-300:]}"


def run_script(script: str, *words: str | Path) -> Outcome:
    """Run a script of the kit as a user does; its output goes to the log of the check too."""
    command = [sys.executable, str(REPOSITORY / script), *map(str, words)]
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
    )
    seconds = time.perf_counter() - started
    print(f"$ {subprocess.list2cmdline(command)}\n{done.stdout}{done.stderr}", flush=True)
    return Outcome(done.returncode, done.stdout, done.stderr, seconds)


@dataclass(frozen=True)
class Training:
    """How train.py ended, and the rows of history.csv."""

    outcome: Outcome
    rows: list[dict[str, str]]

    @property
    def losses(self) -> list[float]:
        """The training loss of each epoch."""
        return [float(row["train_loss"]) for row in self.rows]


def train(site: Site, name: str, *keys: str) -> Training:
    """Run train.py with random weights; its files lie in the folder `name`."""
    outcome = run_script("train.py", *base_keys(site, name), *keys)
    return Training(outcome, history(site.folder / name))


def base_keys(site: Site, name: str) -> list[str]:
    """Return the keys of every training here: random weights, the device, the output folder."""
    return ["model.pretrained=false", f"device={site.device}", f"output_dir={site.folder / name}"]


def history(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run's history.csv, none if there is no such file."""
    path = run / "history.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
