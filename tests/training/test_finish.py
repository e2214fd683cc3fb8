"""The temperature that a finished run writes into best_model.pt, and the one that a run without validation takes."""

import dataclasses

import pytest
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from training.train import train

pytestmark = pytest.mark.integration


def best_of(root):
    return load_checkpoint(root / "checkpoints" / "best_model.pt")


@pytest.fixture(scope="module")
def teacher(checkpoint, tmp_path_factory):
    """Return a function that writes the trained model with a temperature."""
    folder = tmp_path_factory.mktemp("teacher")

    def write(temperature, source="40 validation images"):
        path = folder / f"{temperature}.pt"
        changes = {"temperature": temperature, "temperature_source": source}
        save_checkpoint(dataclasses.replace(load_checkpoint(checkpoint), **changes), path)
        return path

    return write


def test_a_stopped_run_has_no_temperature_yet_and_gets_it_when_it_goes_on(tiny, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    config = tiny("training.early_stopping.patience=1", "training.epochs=3", "training.resume=auto")
    with monkeypatch.context() as patched:
        patched.setattr("training.train.finish_best", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    before = best_of(tmp_path / "run")
    assert (before.temperature, before.temperature_source) == (1, "")
    train(config)
    after = best_of(tmp_path / "run")
    assert after.temperature_source == f"{len(after.split['val'])} validation images"
    assert after.temperature != 1
    assert all(torch.equal(after.state_dict[name], tensor) for name, tensor in before.state_dict.items())
    told = "changes no label"
    assert told in capsys.readouterr().out
    train(config)
    assert told not in capsys.readouterr().out
    assert best_of(tmp_path / "run").temperature == after.temperature


def test_too_few_validation_images_are_said(tiny, tmp_path, capsys):
    train(tiny("dataset.val_split=0.1", "training.epochs=1"))
    count = len(best_of(tmp_path / "run").split["val"])
    assert 0 < count < 10
    assert f"{count} validation images are too few to fit a temperature, which needs 10" in capsys.readouterr().out
    assert best_of(tmp_path / "run").temperature == 1


@pytest.mark.parametrize("teacher_word", [None, "ema"])
def test_without_validation_images_and_teacher_the_run_says_what_to_do(tiny, tmp_path, capsys, teacher_word):
    words = [] if teacher_word is None else [f"training.teacher={teacher_word}", "training.ema_decay=0.9"]
    train(tiny("dataset.val_split=0", "training.epochs=1", *words))
    said = capsys.readouterr().out
    assert "no validation images to fit a temperature on; probabilities stay as they are" in said
    assert "flower_cli.py calibrate" in said
    assert best_of(tmp_path / "run").temperature == 1


def test_without_validation_images_the_temperature_is_the_teachers(tiny, teacher, tmp_path, capsys):
    teachers = f"training.teacher=[{teacher(0.5)},{teacher(2.0)},{teacher(1.0, '')}]"
    train(tiny("dataset.val_split=0", "training.epochs=1", teachers))
    found = best_of(tmp_path / "run")
    # the geometric mean of those that have one
    assert found.temperature == pytest.approx(1.0)
    assert found.temperature_source == "training.teacher"
    assert "the temperature is that of training.teacher, 1.000" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["distillation_hard_labels=true", "distillation_weight=0.1"])
def test_a_student_that_hardly_learns_probabilities_does_not_take_the_teachers_temperature(
    tiny, teacher, tmp_path, capsys, key
):
    train(tiny("dataset.val_split=0", "training.epochs=1", f"training.teacher={teacher(0.5)}", f"training.{key}"))
    assert best_of(tmp_path / "run").temperature == 1
    assert "no validation images to fit a temperature on" in capsys.readouterr().out


def test_a_teacher_that_is_gone_at_the_end_does_not_cost_the_run(tiny, teacher, tmp_path, monkeypatch, capsys):
    from training import train as module

    path, fit = teacher(3.0), module.fit

    def fit_and_lose(run, state, after_epoch):
        result = fit(run, state, after_epoch)
        path.unlink()
        return result

    monkeypatch.setattr(module, "fit", fit_and_lose)
    train(tiny("dataset.val_split=0", "training.epochs=1", f"training.teacher={path}"))
    found = capsys.readouterr()
    assert f"the temperature of {path}" in found.err
    assert "no validation images to fit a temperature on" in found.out
    assert best_of(tmp_path / "run").temperature == 1
