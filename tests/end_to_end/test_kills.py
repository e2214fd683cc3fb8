"""A run that is killed again and again ends as the run that nobody touched."""

import csv
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.checkpoint import load_checkpoint
from tests.conftest import TINY
from tests.helpers import run_script, run_words
from training.resume import load_training_state

pytestmark = pytest.mark.integration

MOMENTS = ("write", "validation", "seconds", "rename", "step")


def run_and_kill(*arguments: object) -> subprocess.CompletedProcess:
    script = Path(__file__).with_name("killed_training.py")
    return run_words([sys.executable, str(script), *map(str, arguments)])


def number_for(moment: str, generator: random.Random) -> float:
    """Draw when to kill; small enough that every run is killed before it ends."""
    if moment == "seconds":
        return generator.uniform(0, 0.5)
    return 1 if moment == "validation" else generator.randint(1, 8)


def history(root: Path) -> list[dict[str, str]]:
    with (root / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {name: value for name, value in row.items() if name not in ("images_per_second", "seconds", "wall_seconds")}
        for row in rows
    ]


def weights(root: Path) -> dict[str, torch.Tensor]:
    state = load_training_state(root / "checkpoints" / "last.pt")["state"]
    best = load_checkpoint(root / "checkpoints" / "best_model.pt").state_dict
    parts = {"model": state["model"], "ema": state["ema"], "best": best}
    return {f"{part}.{name}": value for part, tensors in parts.items() for name, value in tensors.items()}


@pytest.mark.parametrize(("kills", "epochs"), [(2, 8), pytest.param(10, 16, marks=pytest.mark.slow)])
def test_a_killed_run_ends_like_the_untouched_one(pictures, tmp_path, kills, epochs):
    generator = random.Random(kills)
    options = [
        *(option for option in TINY if not option.startswith(("training.epochs", "model.drop_path_rate"))),
        f"training.epochs={epochs}",
        "training.early_stopping.patience=1000",
        "training.mixup_alpha=0.2",
        "training.ema_decay=0.9",
        "model.drop_path_rate=0.1",
        "training.checkpoint_every_minutes=0.000001",
        "training.resume=auto",
        f"dataset.root={pictures}",
    ]
    untouched = run_script("train.py", *options, f"output_dir={tmp_path / 'untouched'}")
    assert untouched.returncode == 0, untouched.stderr
    killed_root = tmp_path / "killed"
    for number in range(kills):
        moment = MOMENTS[number % len(MOMENTS)]
        killed = run_and_kill(moment, number_for(moment, generator), *options, f"output_dir={killed_root}")
        assert killed.returncode == -signal.SIGKILL, (moment, killed.stdout, killed.stderr)
    ended = run_script("train.py", *options, f"output_dir={killed_root}")
    assert ended.returncode == 0, ended.stderr
    assert "resumed from" in ended.stdout
    assert len(history(killed_root)) == epochs
    assert history(killed_root) == history(tmp_path / "untouched")
    expected, found = weights(tmp_path / "untouched"), weights(killed_root)
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
