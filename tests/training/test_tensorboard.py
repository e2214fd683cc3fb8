"""The TensorBoard log of a run, and that nothing which fails in it, or in a table beside it, ends the run."""

import re
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import training.trainer
from tests.training.interrupted_runs import terminate_after
from training import tensorboard
from training.resume import load_training_state
from training.run_folder import RunFolder
from training.tensorboard import EventLog
from training.train import train

SHORT = ("training.epochs=2", "training.early_stopping.patience=9")


@pytest.fixture
def no_pictures() -> None:
    """Let the runs of this file draw."""


class Anything(Exception):
    """What a library may raise."""


def fail(*_arguments: object, **_options: object) -> None:
    raise Anything("a font is broken")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("confusion_figure", "warning: the confusion matrix in TensorBoard is missing: Anything: a font is broken"),
        ("predictions_figure", "warning: the picture of validation images in TensorBoard is missing: Anything"),
        ("read_image", "Anything: a font is broken; not among the pictures of TensorBoard"),
        ("SummaryWriter", "warning: the TensorBoard log is missing: Anything"),
        ("EventLog.epoch", "warning: epoch 1 of the TensorBoard log is missing: Anything"),
        ("SummaryWriter.close", "warning: the end of the TensorBoard log is missing: Anything"),
    ],
)
def test_a_run_goes_on_without_its_pictures_and_curves(tiny, tmp_path, monkeypatch, capsys, name, warning):
    owner, _, method = name.rpartition(".")
    monkeypatch.setattr(getattr(tensorboard, owner) if owner else tensorboard, method, fail)
    assert train(tiny(*SHORT)).epochs == 2
    folder = RunFolder(tmp_path / "run")
    assert folder.best.is_file()
    assert load_training_state(folder.last)["state"]["epoch"] == 2
    assert len(folder.history.read_text(encoding="utf-8").splitlines()) == 3
    printed = capsys.readouterr()
    assert warning in printed.out + printed.err


@pytest.mark.integration
def test_the_state_is_saved_before_a_picture_is_drawn(tiny, tmp_path, monkeypatch):
    folder, seen = RunFolder(tmp_path / "run"), []

    def draw(*_arguments: object) -> None:
        seen.append((load_training_state(folder.last)["state"]["epoch"], folder.best.is_file()))
        raise Anything

    monkeypatch.setattr(tensorboard, "confusion_figure", draw)
    train(tiny("training.epochs=1"))
    assert seen == [(1, True)]


def pictures_of(root: Path) -> list[int]:
    """Return the epochs of the pictures in the log."""
    return [event.step for event in EventAccumulator(str(root / "logs")).Reload().Images("confusion_matrix")]


@pytest.mark.integration
def test_pictures_are_drawn_once_at_the_end_and_show_the_best_epoch(tiny, tmp_path, monkeypatch):
    drawn, figure = [], tensorboard.confusion_figure

    def draw(*arguments):
        drawn.append(arguments)
        return figure(*arguments)

    monkeypatch.setattr(tensorboard, "confusion_figure", draw)
    # each epoch is the best so far, where nothing validates better
    scores = iter([0.1, 0.2, 0.3, 0.1])
    metrics = training.trainer.validation_metrics
    monkeypatch.setattr(
        training.trainer, "validation_metrics", lambda outputs: {**metrics(outputs), "val_top1": next(scores)}
    )
    assert train(tiny("training.epochs=4")).best_epoch == 3
    assert len(drawn) == 1
    assert pictures_of(tmp_path / "run") == [3]


@pytest.mark.integration
def test_a_run_that_stops_draws_too_and_a_resumed_one_still_can(tiny, tmp_path, monkeypatch):
    metrics = training.trainer.validation_metrics
    # the first epoch stays the best
    scores = iter([0.5, 0.1, 0.1])
    monkeypatch.setattr(
        training.trainer, "validation_metrics", lambda outputs: {**metrics(outputs), "val_top1": next(scores)}
    )
    terminate_after(monkeypatch, step=7)
    with pytest.raises(KeyboardInterrupt):
        train(tiny("training.epochs=3"))
    assert pictures_of(tmp_path / "run") == [1]
    train(tiny("training.epochs=3", "training.resume=auto"))
    assert pictures_of(tmp_path / "run") == [1, 1]


@pytest.mark.integration
def test_a_table_that_another_program_holds_does_not_end_the_run(tiny, tmp_path, monkeypatch, capsys):
    folder, replace, refused = RunFolder(tmp_path / "run"), Path.replace, []

    def held_in_the_first_epoch(self: Path, target: Path) -> Path:
        if Path(target) == folder.history and not refused:
            refused.append(target)
            raise PermissionError(13, "being used by another process")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", held_in_the_first_epoch)
    train(tiny(*SHORT))
    assert re.search(
        r"warning: the new history is missing: .*history\.csv: cannot be replaced", capsys.readouterr().err
    )
    assert len(folder.history.read_text(encoding="utf-8").splitlines()) == 3


def test_the_log_shows_config_and_name_as_they_are(tiny, tmp_path):
    config = tiny()
    config.experiment_name = "# run $_$ <b>\n- | `x`"
    with EventLog(tmp_path / "logs", config, 0) as log:
        log.epoch(dict.fromkeys(("train_loss", "val_loss", "val_top1", "val_top5"), 0.5)
                  | {"learning_rate": None, "images_per_second": 2.0, "epoch": 1}, 0.25)  # fmt: skip
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    (name,) = events.Tensors("experiment_name/text_summary")
    # Markdown shows lines that are indented by four spaces as they are
    assert name.tensor_proto.string_val[0].decode() == "    # run $_$ <b>\n    - | `x`"
    (text,) = events.Tensors("config/text_summary")
    assert all(line.startswith("    ") for line in text.tensor_proto.string_val[0].decode().splitlines())
    assert np.isclose(events.Scalars("train_accuracy")[0].value, 0.25)
