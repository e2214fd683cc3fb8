"""`training.learning_rate=auto`: the tested rate is stored, said and used as if it had been given."""

import numpy as np
import pytest
import yaml

import training.range_test
from common.errors import RunError
from configs.input_sizes import training_size
from models.checkpoint import load_checkpoint, save_checkpoint
from tests.training.interrupted_runs import assert_same_run, stop_and_go_on
from training.range_test import _analysed, range_test
from training.resume import load_training_state
from training.run import set_up_run
from training.run_folder import RunFolder
from training.train import train

AUTO = "training.learning_rate=auto"
SENTENCE = "training.learning_rate=auto: {rate:g}, the rate of a range test ten steps before its smoothed loss rose"


@pytest.fixture
def short(monkeypatch):
    """A range test of few steps, from a rate at which the tiny model learns."""
    monkeypatch.setattr(training.range_test, "STEPS", 60)
    monkeypatch.setattr(training.range_test, "LOWEST_RATE", 1e-4)


def rate_of(folder):
    return yaml.safe_load(folder.config.read_text(encoding="utf-8"))["training"]["learning_rate"]


@pytest.mark.integration
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_run_is_that_of_its_rate_and_every_file_says_how_it_was_chosen(tiny, tmp_path, short, capsys, workers):
    options = [f"dataset.num_workers={workers}", "training.ema_decay=0.9"]
    train(tiny(AUTO, *options))
    said, folder = capsys.readouterr().out, RunFolder(tmp_path / "run")
    rate = rate_of(folder)
    sentence = SENTENCE.format(rate=rate)
    assert "a range test of 60 optimizer steps comes first" in said
    assert sentence in said
    checkpoint, state = load_checkpoint(folder.best), load_training_state(folder.last)
    assert checkpoint.config["training"]["learning_rate"] == state["config"]["training"]["learning_rate"] == rate
    assert checkpoint.choices == state["choices"]
    assert checkpoint.choices[0].startswith(sentence)
    assert folder.config.read_text(encoding="utf-8").startswith(f"# {sentence}")
    train(tiny(f"training.learning_rate={rate}", *options, f"output_dir={tmp_path / 'given'}"))
    assert_same_run(RunFolder(tmp_path / "given"), folder)
    given = load_checkpoint(tmp_path / "given" / "checkpoints" / "best_model.pt")
    assert given.choices == []


@pytest.mark.integration
def test_a_resumed_run_takes_the_stored_rate_and_sentence(tiny, tmp_path, short, monkeypatch, capsys):
    stop_and_go_on(monkeypatch, tiny(AUTO, "training.resume=auto"), looks=(7,))
    said = capsys.readouterr().out
    assert said.count("a range test of 60 optimizer steps comes first") == 1
    folder = RunFolder(tmp_path / "run")
    best = load_checkpoint(folder.best)
    assert best.choices[0].startswith(SENTENCE.format(rate=rate_of(folder)))
    assert said.count(best.choices[0]) == 2


@pytest.mark.integration
def test_a_test_that_shows_nothing_is_an_error_that_says_what_to_do(tiny, tmp_path, short, monkeypatch):
    monkeypatch.setattr(training.range_test, "HIGHEST_RATE", 1.1e-12)
    monkeypatch.setattr(training.range_test, "LOWEST_RATE", 1e-12)
    with pytest.raises(RunError, match=r"where it rises\. Give a number, or null for the model's own rate"):
        train(tiny(AUTO))
    assert not RunFolder(tmp_path / "run").best.exists()
    assert not RunFolder(tmp_path / "run").config.exists()


@pytest.mark.integration
def test_a_loss_that_is_never_finite_names_the_key(tiny, monkeypatch):
    monkeypatch.setattr("training.step._forward", lambda forward, images: forward(images) * float("nan"))
    with pytest.raises(RunError, match="learning_rate=auto: The loss diverged after 0 steps") as error:
        train(tiny(AUTO))
    assert "Give a number" in str(error.value)


RATES = np.geomspace(1e-6, 1, 100).tolist()


def test_the_rate_lies_ten_steps_before_the_loss_leaves_its_lowest_for_good():
    # it falls to 1, has a bump, and rises from step 71 on
    losses = [2.0] * 40 + [1.0] * 10 + [1.3] * 5 + [1.05] * 16 + [1.2, 1.6, 2.5]
    found = _analysed(RATES[: len(losses)], losses, diverged=False)
    assert found.before_rise == RATES[70 - 10]
    assert found.tenth_of_lowest == pytest.approx(RATES[40] / 10)


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [([2.0] * 50 + [1.0] * 50, False), ([1.0] * 60 + [1.4] * 40, False), ([1.0] * 10 + [2.0] * 20, False)],
    ids=["never rises", "rises a little", "rises from the start"],
)
def test_a_loss_that_does_not_rise_in_the_test_gives_no_rate(losses, diverged):
    assert _analysed(RATES[: len(losses)], losses, diverged).before_rise is None


def test_a_loss_that_is_suddenly_infinite_gives_the_rate_before_it():
    assert _analysed(RATES[:50], [1.0] * 50, diverged=True).before_rise == RATES[49 - 10]


def test_choices_of_a_checkpoint_are_kept_and_older_files_have_none(checkpoint, tmp_path):
    found = load_checkpoint(checkpoint)
    assert found.choices == []
    found.choices.append("a sentence")
    save_checkpoint(found, tmp_path / "copy.pt")
    assert load_checkpoint(tmp_path / "copy.pt").choices == ["a sentence"]


@pytest.mark.integration
def test_the_last_epochs_are_no_part_of_the_test(tiny, short, monkeypatch):
    sizes = set()
    real = training.range_test.take_step

    def watched(run, state, forward, step):
        sizes.update(training_size(run.config, state.epoch) for _ in step)
        return real(run, state, forward, step)

    monkeypatch.setattr(training.range_test, "take_step", watched)
    last = ["training.epochs=3", "training.final_epochs=2", "training.final_input_size=64"]
    range_test(set_up_run(tiny(*last)), 1e-4, 1e-2, 30)
    assert sizes == {32}


def test_a_rise_within_the_first_steps_gives_no_rate():
    assert _analysed(RATES[:60], [1.0] * 15 + [2.0] * 45, diverged=False).before_rise is None
