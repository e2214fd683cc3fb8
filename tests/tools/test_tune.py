"""A search trains what is missing, goes on as if it had never stopped, and outlives trials that fail."""

import csv
import dataclasses
import math
import shlex
import signal
from types import SimpleNamespace

import pytest
from filelock import FileLock

from common.errors import InputError, RunError
from configs.compose import compose
from tests.conftest import TINY
from tests.helpers import run_script
from tools import tune as module
from tools.search_results import flattery_of
from tools.tune import Pruning, tune
from training.run_folder import RunFolder
from training.trainer import TrainingResult

pytest.importorskip("optuna", reason="requirements-tune.txt is not installed")

FREE = ("augmentation", "training.epochs", "training.learning_rate")

SEARCHED = ("training.learning_rate=1e-4..0.1", "augmentation=light,medium")


@pytest.fixture
def words(pictures):
    base = [word for word in TINY if not word.startswith(FREE)]
    return [*base, f"dataset.root={pictures}", *SEARCHED, "training.epochs=2"]


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Replace training by a formula; the list gets the configs of all trials, and may hold an error for a trial."""
    seen, errors = [], {}

    def train(config, after_epoch):
        seen.append(config)
        error = errors.pop(len(seen) - 1, None)
        if error is not None:
            raise error
        best = 0.0
        for epoch in range(1, math.ceil(config.training.epochs) + 1):
            best = min(10 * config.training.learning_rate, 1.0) * epoch / config.training.epochs
            if after_epoch({"epoch": epoch, "val_top1": best}):
                break
        return TrainingResult(best, epoch, epoch, epoch < config.training.epochs, tmp_path, tmp_path)

    monkeypatch.setattr(module, "train", train)
    return seen, errors


def rows_of(folder):
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_search_as_a_user_runs_it(words, tmp_path, no_pictures):
    folder = tmp_path / "搜索 a?b#c%20"
    command = ["cli/flower_cli.py", "tune", *words[:-1], "training.epochs=1", "--output", folder]
    first = run_script(*command, "--trials", "2")
    assert first.returncode == 0, first.stderr
    assert "training.learning_rate=0.0001..0.1: sampled on a log scale" in first.stdout
    assert "importance  not drawn: 2 trials are finished, and it takes 4" in first.stdout
    second = run_script(*command, "--trials", "5")
    assert second.returncode == 0, second.stderr
    assert "\ntrial 1:" not in second.stdout
    assert second.stdout.count("\ntrial ") == 3 + 1
    assert "is optimistic; expect " in second.stdout
    rows = rows_of(folder)
    assert sorted(row["trial"] for row in rows) == list("01234")
    tops = [float(row["val_top1"]) for row in rows]
    assert tops == sorted(tops, reverse=True)
    assert all((RunFolder(folder / "trials" / row["trial"])).best.is_file() for row in rows)
    assert (folder / "importance.png").stat().st_size > 1000 or len(set(tops)) == 1
    (line,) = [line for line in second.stdout.splitlines() if line.startswith("The same again: ")]
    python, script, *given = shlex.split(line.removeprefix("The same again: "))
    assert (python, script) == ("python", "train.py")
    config, best = compose("config", given), rows[0]["overrides"].split()
    assert f"training.learning_rate={config.training.learning_rate}" in best
    assert f"augmentation={config.augmentation.name}" in best


@pytest.mark.slow
def test_an_interrupted_trial_is_trained_on(words, tmp_path, monkeypatch, no_pictures):
    told = Pruning.after_epoch

    def interrupt(self, row):
        if row["epoch"] == 1 and self._trial.number == 1:
            signal.raise_signal(signal.SIGINT)
        return told(self, row)

    command = ["cli/flower_cli.py", "tune", *words, "--trials", "2", "--output"]
    monkeypatch.setattr(Pruning, "after_epoch", interrupt)
    stopped = run_script(*command, tmp_path / "stopped")
    assert stopped.returncode == 130, stopped.stderr
    assert "trials      1 finished, 1 interrupted" in stopped.stdout
    assert "The same again: python train.py" in stopped.stdout
    monkeypatch.setattr(Pruning, "after_epoch", told)
    went_on = run_script(*command, tmp_path / "stopped")
    assert went_on.returncode == 0, went_on.stderr
    assert "trial 1 goes on: " in went_on.stdout
    assert "resumed from" in went_on.stdout
    assert run_script(*command, tmp_path / "whole").returncode == 0
    columns = ("trial", "val_top1", "best_epoch", "epochs", "state", "overrides")
    same = [[[row[name] for name in columns] for row in rows_of(tmp_path / name)] for name in ("stopped", "whole")]
    assert same[0] == same[1]


@pytest.mark.slow
def test_a_search_in_parts_is_the_search_at_once(words, quick, tmp_path):
    # the first ten are drawn at random
    whole = tune(words, 12, folder=tmp_path / "whole")
    for trials in (4, 11, 12):
        parts = tune(words, trials, folder=tmp_path / "parts")
    assert [dataclasses.replace(trial, output_dir=tmp_path) for trial in parts.trials] == [
        dataclasses.replace(trial, output_dir=tmp_path) for trial in whole.trials
    ]
    assert len({trial.words for trial in whole.trials}) == 12
    states = [trial.state for trial in whole.trials]
    assert states.count("pruned") > 0
    assert states == sorted(states)
    assert whole.best is not None
    assert whole.best.top1 == max(trial.top1 or 0.0 for trial in whole.trials)
    assert whole.importance == tmp_path / "whole" / "importance.png"
    assert all(trial.epochs == 1 for trial in whole.trials if trial.state == "pruned")


@pytest.mark.integration
def test_another_seed_draws_other_trials(words, quick, tmp_path):
    found = [tune([*words, f"seed={seed}"], 2, folder=tmp_path / str(seed)) for seed in (0, 1)]
    assert {trial.words for trial in found[0].trials}.isdisjoint(trial.words for trial in found[1].trials)


@pytest.mark.integration
def test_a_failed_trial_does_not_count_and_is_recorded(words, quick, tmp_path):
    seen, errors = quick
    errors |= {0: InputError("No room\nhere."), 1: RuntimeError("CUDA out of memory."), 2: RunError("The loss is inf.")}
    found = tune(words, 4, folder=tmp_path)
    assert [(trial.number, trial.state) for trial in found.trials] == [
        (3, "finished"),
        (0, "failed"),
        (1, "failed"),
        (2, "failed"),
    ]
    assert [row["problem"] for row in rows_of(tmp_path)] == [
        "",
        "No room here.",
        "the device is out of memory",
        "The loss is inf.",
    ]
    again = tune(words, 4, folder=tmp_path)
    assert len(again.trials) == 7
    assert [config.output_dir for config in seen] == [str(tmp_path / "trials" / str(number)) for number in range(7)]
    assert {config.training.resume for config in seen} == {None}


@pytest.mark.integration
def test_all_failed_is_exit_code_1(words, quick, tmp_path):
    quick[1].update({number: RunError("No luck.") for number in range(2)})
    done = run_script("cli/flower_cli.py", "tune", *words, "--trials", "2", "--output", tmp_path)
    assert done.returncode == 1
    assert "failed      first trial 0: No luck." in done.stdout
    assert "No trial has finished" in done.stdout


@pytest.mark.integration
def test_other_errors_are_no_failed_trial(words, quick, tmp_path):
    quick[1].update({0: RuntimeError("a mistake of the program")})
    with pytest.raises(RuntimeError, match="a mistake"):
        tune(words, 1, folder=tmp_path)
    found = tune(words, 1, folder=tmp_path)
    assert [trial.state for trial in found.trials] == ["finished"]
    assert [config.training.resume for config in quick[0]] == [None, "auto"]


@pytest.mark.integration
def test_an_interrupt_gives_what_was_found(words, quick, tmp_path):
    quick[1].update({1: KeyboardInterrupt()})
    found = tune(words, 3, folder=tmp_path)
    assert found.interrupted
    assert [trial.state for trial in found.trials] == ["finished", "interrupted"]


@pytest.mark.integration
def test_no_trial_starts_after_the_minutes(words, quick, tmp_path, monkeypatch, capsys):
    clock = iter(range(0, 1000, 60))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    # it is looked at before each trial, one minute later each time
    assert len(tune(words, 9, minutes=2.5, folder=tmp_path).trials) == 2
    assert "The 2.5 minutes are over" in capsys.readouterr().out


@pytest.mark.integration
def test_a_folder_holds_one_search(words, quick, tmp_path):
    tune(words, 1, folder=tmp_path)
    for other in ([*words, "training.mixup_alpha=0.1"], [*words[:-3], SEARCHED[0], "augmentation=light", words[-1]]):
        with pytest.raises(InputError, match=r"holds a search of other words .* name another folder") as caught:
            tune(other, 1, folder=tmp_path)
        assert "\n" not in str(caught.value)
    assert len(quick[0]) == 1


def test_two_searches_do_not_share_a_folder(words, quick, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(InputError, match="another search writes into this folder"):
        tune(words, 1, folder=tmp_path)


def test_a_damaged_study_is_one_line(words, quick, tmp_path):
    (tmp_path / "study.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(RunError, match=r"study\.db: cannot be read or written: file is not a database"):
        tune(words, 1, folder=tmp_path)


def test_without_validation_images_nothing_is_searched(words, quick, tmp_path):
    with pytest.raises(InputError, match=r"there are none: raise dataset\.val_split"):
        tune([*words, "dataset.val_split=0"], 1, folder=tmp_path / "search")
    assert not (tmp_path / "search").exists()


def test_without_optuna_a_line_says_what_to_install(words, tmp_path, monkeypatch):
    monkeypatch.setattr("common.packages.find_spec", lambda name: None)
    done = run_script("cli/flower_cli.py", "tune", *words, "--output", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: A search needs the package optuna: pip install -r requirements-tune.txt\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--trials", "0"], "--trials: expected at least 1"), (["--minutes", "nan"], "--minutes: expected more than 0")],
)
def test_wrong_flags_are_one_line(words, tmp_path, flags, message):
    done = run_script("cli/flower_cli.py", "tune", *flags, *words, "--output", tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_nothing_finished_flatters_nothing():
    assert flattery_of([]) == 0
