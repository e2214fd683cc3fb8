"""train.py --plan: what a run would take, without training."""

import pytest

from tests.conftest import TINY
from tests.helpers import run_script

MODEL = [word for word in TINY if not word.startswith("training.epochs")]


def plan(pictures, tmp_path, *words):
    return run_script(
        "train.py", *MODEL, f"dataset.root={pictures}", f"output_dir={tmp_path / 'run'}", "--plan", *words
    )


@pytest.fixture
def quick(monkeypatch):
    """Let measuring take a second instead of half a minute."""
    monkeypatch.setattr("training.plan._MEASURING_SECONDS", 1.0)
    monkeypatch.setattr("training.plan.TIMED_IMAGES", 3)


@pytest.mark.integration
def test_a_plan_names_everything_and_writes_nothing(pictures, tmp_path, quick):
    done = plan(pictures, tmp_path, "training.epochs=2.5", "training.final_epochs=1", "training.final_input_size=48")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["data"] == "38 images for training, 10 for validation, 4 classes"
    assert lines["epochs"].startswith("2.5 of 5 steps, the last 1 of them")
    assert "in the last epochs" in lines["speed"]
    assert "within the limit of 500 MB" in lines["size"]
    assert "not the judges' hardware" in lines["latency"]
    assert not (tmp_path / "run").exists()


@pytest.mark.integration
def test_a_plan_in_minutes_says_the_epochs_that_fit(pictures, tmp_path, quick):
    done = plan(pictures, tmp_path, "training.max_minutes=0.3")
    assert done.returncode == 0, done.stderr
    assert "training.max_minutes=0.3: training.epochs=" in done.stdout
    seconds = done.stdout.partition("time ")[2].split()[0].split(":")
    assert int(seconds[-1]) <= 18


def test_several_runs_have_no_plan(pictures, tmp_path):
    done = plan(pictures, tmp_path, "-m", "seed=0,1")
    assert (done.returncode, "plans one run" in done.stderr) == (2, True)
