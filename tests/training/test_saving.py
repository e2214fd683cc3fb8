"""Saving from a thread: what is written is one moment of the run, whole, and an error is not lost."""

import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import training.saving
import training.trainer
from common.errors import RunError
from models.checkpoint import load_checkpoint, make_checkpoint
from tests.training.interrupted_runs import assert_same_run, history, terminate_after
from training.resume import load_training_state
from training.run import describe_table, set_up_run
from training.run_folder import RunFolder
from training.saving import SHARE_OF_TIME, Saver, copied
from training.start import start_run
from training.train import train


@pytest.fixture
def begun(tiny):
    """A run before its first step, and its state."""
    run = set_up_run(tiny())
    return run, start_run(run).state


def hold(monkeypatch) -> threading.Event:
    """Let each write wait for the event, which is returned."""
    go, write = threading.Event(), training.saving.save_training_state

    def held(*arguments):
        assert go.wait(30)
        write(*arguments)

    monkeypatch.setattr(training.saving, "save_training_state", held)
    return go


def test_what_is_written_is_the_moment_of_the_call(begun, monkeypatch):
    run, state = begun
    go = hold(monkeypatch)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    with Saver(run) as saver:
        saver.save(state)
        # training goes on while the file is written
        assert not run.folder.last.exists()
        state.step = 5
        state.skipped["late.png"] = "too late"
        with torch.no_grad():
            for value in state.model.parameters():
                value.add_(1)
        go.set()
    saved = load_training_state(run.folder.last)["state"]
    assert (saved["step"], saved["skipped"]) == (0, {})
    assert all(torch.equal(value, saved["model"][name]) for name, value in before.items())


def test_the_next_save_waits_for_the_one_before(begun, monkeypatch):
    run, state = begun
    go = hold(monkeypatch)
    with Saver(run) as saver:
        saver.save(state)
        threading.Timer(0.3, go.set).start()
        started = time.perf_counter()
        state.step = 1
        saver.save(state)
        assert time.perf_counter() - started > 0.2
    assert load_training_state(run.folder.last)["state"]["step"] == 1
    assert load_training_state(run.folder.previous)["state"]["step"] == 0


def test_ctrl_c_is_answered_while_the_main_thread_waits_for_a_write(begun, monkeypatch):
    run, state = begun
    go, join = hold(monkeypatch), threading.Thread.join

    def join_as_on_windows(thread, timeout=None):
        assert timeout is not None or go.is_set(), "nothing interrupts this wait"
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", join_as_on_windows)
    saver = Saver(run)
    saver.save(state)
    interrupt = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        saver.finish()
    threading.Timer(0.2, go.set).start()
    saver.finish()
    assert run.folder.last.is_file()


@pytest.mark.parametrize("next_call", ["save", "finish"])
def test_a_write_that_fails_is_an_error_of_the_next_call(begun, monkeypatch, next_call):
    run, state = begun

    def fail(*_arguments):
        raise RunError("the disk is full")

    monkeypatch.setattr(training.saving, "save_training_state", fail)
    saver = Saver(run)
    saver.save(state)
    with pytest.raises(RunError, match="the disk is full"):
        saver.finish() if next_call == "finish" else saver.save(state)
    # said once
    saver.finish()


def test_a_best_model_that_another_program_holds_does_not_cost_the_state(begun, monkeypatch):
    run, state = begun
    replace = Path.replace

    def held(self, other):
        if Path(other) == run.folder.best:
            raise PermissionError(13, "being used by another process")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", held)
    saver = Saver(run)
    saver.keep_best(make_checkpoint(run.config, state.model, describe_table(run), {}, 1))
    saver.save(state)
    with pytest.raises(RunError, match=r"the complete result is .*best_model\.new\.pt"):
        saver.finish()
    assert load_training_state(run.folder.last)["state"]["step"] == 0
    assert load_checkpoint(run.folder.best.with_name("best_model.new.pt")).classes


def test_the_error_that_ends_a_run_is_not_hidden_by_a_write_that_fails(begun, monkeypatch, capsys):
    run, state = begun
    monkeypatch.setattr(training.saving, "save_training_state", lambda *_: 1 / 0)

    def fail():
        with Saver(run) as saver:
            saver.save(state)
            raise RunError("the loss is not finite")

    with pytest.raises(RunError, match="the loss is not finite"):
        fail()
    assert "warning: the newest last.pt is missing: ZeroDivisionError" in capsys.readouterr().err


def test_saving_is_due_by_time(begun, monkeypatch):
    run, state = begun
    clock = [100.0]
    monkeypatch.setattr(training.saving, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    saver = Saver(run)
    # nothing is known about the disk yet
    assert saver.is_due(at_the_end_of_an_epoch=True)
    assert not saver.is_due(at_the_end_of_an_epoch=False)
    write = training.saving.save_training_state

    def take_three_seconds(*arguments):
        write(*arguments)
        clock[0] += 3

    monkeypatch.setattr(training.saving, "save_training_state", take_three_seconds)
    saver.save(state)
    saver.finish()
    minutes = run.config.training.checkpoint_every_minutes
    for passed, in_epoch, at_end in ((4, False, False), (3 / SHARE_OF_TIME, False, True), (60 * minutes, True, True)):
        clock[0] = 100.0 + passed
        assert saver.is_due(at_the_end_of_an_epoch=False) is in_epoch
        assert saver.is_due(at_the_end_of_an_epoch=True) is at_end


def test_copies_are_independent_of_what_they_come_from():
    tensor = torch.arange(4.0).reshape(2, 2).t()
    value = {"a": [tensor, (tensor, 1)], "b": "text"}
    copy = copied(value)
    tensor.zero_()
    assert copy["a"][0].tolist() == copy["a"][1][0].tolist() == [[0.0, 2.0], [1.0, 3.0]]
    assert copy["a"][0].stride() == tensor.stride()
    assert (copy["a"][1][1], copy["b"]) == (1, "text")


@pytest.mark.integration
def test_files_agree_where_epochs_end_without_a_save(tiny, tmp_path, monkeypatch):
    """A run that is killed two epochs after its last save has the files of that save, and resumes to the same end."""
    options = ["training.epochs=4", "training.early_stopping.patience=9"]
    train(tiny(*options, f"output_dir={tmp_path / 'straight'}"))
    ends, take_step = iter([True, False, False]), training.trainer.take_step
    monkeypatch.setattr(Saver, "is_due", lambda self, at_the_end_of_an_epoch: at_the_end_of_an_epoch and next(ends))

    def die_in_the_fourth_epoch(run, state, forward, batches):
        if state.epoch == 3:
            raise RuntimeError("killed")
        take_step(run, state, forward, batches)

    monkeypatch.setattr(training.trainer, "take_step", die_in_the_fourth_epoch)
    with pytest.raises(RuntimeError, match="killed"):
        train(tiny(*options))
    monkeypatch.undo()
    folder = RunFolder(tmp_path / "run")
    assert [row["epoch"] for row in history(folder)] == ["1"]
    assert load_training_state(folder.last)["state"]["epoch"] == 1
    assert load_checkpoint(folder.best).epoch == 1
    train(tiny(*options, "training.resume=auto"))
    assert_same_run(RunFolder(tmp_path / "straight"), folder)


@pytest.mark.integration
def test_an_interrupted_run_ends_when_its_file_is_whole(tiny, tmp_path, monkeypatch):
    write = training.saving.save_training_state

    def slowly(*arguments):
        time.sleep(0.5)
        write(*arguments)

    monkeypatch.setattr(training.saving, "save_training_state", slowly)
    terminate_after(monkeypatch, step=3)
    with pytest.raises(KeyboardInterrupt):
        train(tiny())
    assert load_training_state(tmp_path / "run" / "checkpoints" / "last.pt")["state"]["step"] == 3


@pytest.mark.integration
def test_wall_seconds_add_up_to_the_time_of_the_run(tiny, tmp_path, monkeypatch):
    validate = training.trainer.validate

    def slowly(*arguments):
        time.sleep(0.4)
        return validate(*arguments)

    monkeypatch.setattr(training.trainer, "validate", slowly)
    started = time.perf_counter()
    train(tiny("training.epochs=2", "training.early_stopping.patience=9"))
    rows = history(RunFolder(tmp_path / "run"))
    walls = [float(row["wall_seconds"]) for row in rows]
    assert all(wall > float(row["seconds"]) + 0.39 for wall, row in zip(walls, rows, strict=True))
    assert sum(walls) < time.perf_counter() - started
