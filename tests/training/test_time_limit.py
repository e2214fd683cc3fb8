"""training.max_minutes: how many epochs fit into a time, and whether a run ends in it on a machine that slows down."""

import dataclasses
import functools
import shutil
from types import SimpleNamespace
from typing import Any

import pytest

import training.train
import training.trainer
from common.errors import InputError
from configs.compose import compose
from configs.epochs import epoch_count
from tests.conftest import TINY
from tests.training.interrupted_runs import assert_same_run, history, stop_and_go_on
from training.resume import load_training_state
from training.run_folder import RunFolder
from training.run_times import RunTimes
from training.schedule import Schedule, Shortening, backbone_factor_at, build_schedule, learning_rate_at
from training.time_limit import TimeLimit, fitting_config, seconds_of_end, seconds_of_epochs, with_epochs
from training.train import train

TIMES = RunTimes(head_only_step=0.2, first_step=0.5, final_step=1.0, epoch_start=0.1, validation=2.0, saving=0.5)

STEPS_PER_EPOCH = 40


@functools.cache
def config_of(*overrides: str):
    """Return a config, which no test changes."""
    return compose("config", ["training=finetune", *overrides])


def run_of(config, minutes=10.0) -> Any:
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, max_minutes=minutes))
    return SimpleNamespace(config=config, steps_per_epoch=STEPS_PER_EPOCH, batches=SimpleNamespace(end=STEPS_PER_EPOCH))


def test_what_is_counted_in_epochs_keeps_its_share():
    training = with_epochs(config_of("training.final_epochs=4", "training.mixup_alpha=0.2"), 50.5).training
    assert (training.epochs, training.final_epochs, training.mix_off_epochs) == (50.5, 10, 0)
    assert training.warmup_epochs == pytest.approx(50.5 / 20)
    # no stop before the rates have fallen
    assert training.early_stopping.patience == 51


@pytest.mark.parametrize("epochs", [0.2, 1, 1.5])
def test_a_short_run_keeps_its_last_epochs(epochs):
    training = with_epochs(config_of(), epochs).training
    assert training.final_epochs == 1


@pytest.mark.parametrize("seconds", [30, 100, 600, 5000])
@pytest.mark.parametrize("overrides", [(), ("training.final_epochs=6",), ("training.freeze_epochs=5",)])
def test_the_time_is_filled_to_a_step(seconds, overrides):
    run = run_of(config_of(*overrides))
    config = fitting_config(run, TIMES, seconds)
    taken = seconds_of_epochs(run, TIMES, config, 0) + seconds_of_end(config, TIMES)
    assert taken <= seconds
    # one step more may begin another epoch with its validation, or move an epoch to the last ones
    assert taken > seconds - 2.1 - STEPS_PER_EPOCH * 0.5 - 1.0


def test_a_time_for_nothing_is_refused():
    with pytest.raises(InputError, match=r"max_minutes=0.1: too few. One epoch, with start and end .* 0.\d+ minutes"):
        fitting_config(run_of(config_of(), 0.1), TIMES, 3.0)


def test_numbers_of_epochs_beside_a_time_are_refused():
    with pytest.raises(InputError, match=r"training.epochs: would be ignored .* training.max_minutes=null"):
        compose("config", ["training.max_minutes=5", "training.epochs=3"])
    with pytest.raises(InputError, match=r"training.max_minutes=0: expected more than 0"):
        compose("config", ["training.max_minutes=0"])


@pytest.mark.parametrize("kind", ["cosine", "linear"])
@pytest.mark.parametrize("at", [3, 60])
def test_a_shortened_schedule_goes_on_where_it_was_and_ends_at_the_minimum(kind, at):
    planned = Schedule(kind, 1.0, 0.01, warmup_steps=10, total_steps=100, backbone_warmup_steps=20)
    shorter = dataclasses.replace(planned, shortening=Shortening(at, at + 10, epoch=0, next_epoch=9))
    assert shorter.steps == at + 10
    for rate in (learning_rate_at, backbone_factor_at):
        assert [rate(step, shorter) for step in range(at + 1)] == [rate(step, planned) for step in range(at + 1)]
    assert learning_rate_at(at + 10, shorter) == pytest.approx(0.01)
    last = learning_rate_at(at + 9, shorter)
    assert 0.01 < last < learning_rate_at(at + 8, shorter)


def simulate(minutes, slowness_at, epochs_of_recipe=20, final=4):
    """Run the plan for a time on a clock that `slowness_at` (of the share of the time) slows; return share and change.

    The share is that of the time which the run has taken.
    """
    limit = 60 * minutes
    run = run_of(config_of(f"training.final_epochs={final}"), minutes)
    config = fitting_config(run, TIMES, 0.97 * limit)
    run.config, run.schedule = config, build_schedule_of(config)
    clock: Any = SimpleNamespace(now=0.0, used_seconds=lambda state: clock.now)
    state: Any = SimpleNamespace(epoch=0, batch=0, step=0, shortening=None)
    watch, changes = TimeLimit(run, TIMES, clock), []
    steps = run.schedule.total_steps

    def passes(seconds):
        clock.now += seconds * slowness_at(clock.now / limit)

    while state.epoch < epoch_count(config.training) and state.step < steps:
        run.batches.end = min(STEPS_PER_EPOCH, steps - state.step)
        state.batch = 0
        passes(TIMES.epoch_start)
        while state.batch < run.batches.end:
            if watch.is_missed(state):
                state.shortening, sentence = watch.shortening(state)
                changes.append(sentence)
                steps = state.shortening.total_steps
                run.batches.end = min(state.batch + steps - state.step, STEPS_PER_EPOCH)
            passes(TIMES.step(config, state.epoch))
            state.batch, state.step = state.batch + 1, state.step + 1
        passes(TIMES.validation)
        change = state.shortening
        state.epoch = change.next_epoch if change and change.epoch == state.epoch else state.epoch + 1
    passes(seconds_of_end(config, TIMES))
    return clock.now / limit, changes


def build_schedule_of(config):
    training = dataclasses.replace(config.training, learning_rate=0.001)
    return build_schedule(training, STEPS_PER_EPOCH)


@pytest.mark.parametrize("minutes", [4, 5, 30])
@pytest.mark.parametrize(
    ("slowness", "shortened"),
    [
        (lambda share: 1.0, 0),
        (lambda share: 1.03, 0),
        (lambda share: 1.3, 1),
        (lambda share: 2.5, 1),
        (lambda share: 2.0 if share > 0.5 else 1.0, 1),
        (lambda share: 1.7 if share > 0.7 else 1.0, 1),
        # a moment of other work
        (lambda share: 2.0 if 0.3 < share < 0.33 else 1.0, 0),
        (lambda share: 1.7 if share > 0.87 else 1.0, 1),
    ],
)
def test_a_run_ends_in_its_time_on_a_machine_that_slows_down(minutes, slowness, shortened):
    share, changes = simulate(minutes, slowness)
    assert len(changes) == shortened
    assert 0.9 <= share <= 1.03


@pytest.mark.parametrize("minutes", [5, 60])
def test_a_resumed_run_is_not_judged_by_its_first_steps(minutes):
    limit = 60 * minutes
    run = run_of(config_of(), minutes)
    config = fitting_config(run, TIMES, 0.97 * limit)
    run.config, run.schedule = config, build_schedule_of(config)
    # 85 % are used, as planned; the first step of the new process takes twenty times as long
    clock: Any = SimpleNamespace(now=0.85 * limit)
    clock.used_seconds = lambda state: clock.now
    watch = TimeLimit(run, TIMES, clock)
    last = epoch_count(config.training) - 1
    state: Any = SimpleNamespace(epoch=last, batch=0, step=last * STEPS_PER_EPOCH, shortening=None)
    run.batches.end = STEPS_PER_EPOCH
    assert not watch.is_missed(state)
    clock.now += 20 * TIMES.final_step
    state.batch = 1
    assert not watch.is_missed(state)


@pytest.mark.parametrize("speed", [1.5, 3.0])
def test_the_sentence_says_what_is_left_out(speed):
    _, (sentence,) = simulate(5, lambda share: speed)
    assert f"the machine takes {speed:.2f} times as long as planned" in sentence
    assert "epochs after this one are skipped" in sentence or "optimizer steps less" in sentence


@pytest.fixture
def timed(monkeypatch):
    """Let the parts of every run take times that make some epochs of a tenth of a minute."""
    times = RunTimes(0.1, 0.1, 0.1, epoch_start=0.0, validation=0.1, saving=0.1)
    monkeypatch.setattr(training.train, "measure_run", lambda run, seconds: times)
    monkeypatch.setattr(training.train.time, "perf_counter", lambda: 0.0)


def limited(tiny, *overrides):
    """Return a config without epochs; the recipe's are those of tests, whose shares count."""
    config = tiny("training.final_epochs=1", *overrides)
    return dataclasses.replace(config, training=dataclasses.replace(config.training, max_minutes=0.1))


@pytest.mark.integration
def test_a_resumed_run_is_that_of_the_printed_numbers(tiny, tmp_path, monkeypatch, timed, capsys):
    output = f"output_dir={tmp_path / 'limited'}"
    stop_and_go_on(monkeypatch, limited(tiny, output, "training.resume=auto"), [4, 3])
    said = capsys.readouterr().out
    planned = [line.partition("max_minutes=0.1: ")[2] for line in said.splitlines()]
    (numbers,) = {words.partition(" (")[0] for words in planned if words.startswith("training.epochs=")}
    assert " training.final_epochs=3 " in numbers
    other = [word for word in numbers.split() if not word.startswith("training.early_stopping")]
    train(tiny(*other, f"output_dir={tmp_path / 'plain'}"))
    assert_same_run(RunFolder(tmp_path / "limited"), RunFolder(tmp_path / "plain"))
    assert f"# training.max_minutes=0.1: {numbers}" in RunFolder(tmp_path / "limited").config.read_text("utf-8")


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    """A run whose last epoch is a part of one, and its result; read only."""
    root = tmp_path_factory.mktemp("whole")
    words = [word for word in TINY if not word.startswith("training.epochs")]
    config = compose("config", [*words, "training.epochs=1.6", f"dataset.root={pictures}", f"output_dir={root}"])
    return train(config), RunFolder(root)


@pytest.mark.integration
def test_the_last_epoch_may_be_a_part_of_one(whole):
    result, folder = whole
    # 39 images in batches of 8 are five steps
    assert load_training_state(folder.last)["state"]["step"] == 8
    assert (result.epochs, result.stopped_early) == (2, False)
    assert [row["epoch"] for row in history(folder)] == ["1", "2"]


@pytest.mark.integration
def test_a_part_of_an_epoch_is_resumed_exactly(tiny, tmp_path, monkeypatch, whole):
    stop_and_go_on(monkeypatch, tiny("training.epochs=1.6", "training.resume=auto"), [7])
    assert_same_run(RunFolder(tmp_path / "run"), whole[1])


@pytest.mark.integration
def test_a_shortened_run_skips_epochs_and_is_resumed_exactly(tiny, tmp_path, monkeypatch, timed, capsys):
    # five steps an epoch: the first is finished, then the last of six comes, with two of its steps
    change = Shortening(step=2, total_steps=7, epoch=0, next_epoch=5)
    monkeypatch.setattr(TimeLimit, "is_missed", lambda limit, state: state.shortening is None and state.step == 2)
    monkeypatch.setattr(TimeLimit, "shortening", lambda limit, state: (change, "it is late"))
    whole = RunFolder(tmp_path / "whole")
    train(limited(tiny, f"output_dir={whole.root}"))
    assert "it is late" in capsys.readouterr().out
    assert "# it is late" in whole.config.read_text("utf-8")
    assert 5 < load_training_state(whole.last)["config"]["training"]["epochs"] < 6
    assert load_training_state(whole.last)["state"]["step"] == 7
    assert [row["epoch"] for row in history(whole)] == ["1", "6"]
    stop_and_go_on(monkeypatch, limited(tiny, "training.resume=auto"), [4, 3])
    assert_same_run(whole, RunFolder(tmp_path / "run"))


def test_only_the_first_rank_decides_on_a_shortening(monkeypatch):
    change = Shortening(2, 9, 0, 3)
    monkeypatch.setattr(training.trainer.distributed, "is_main", lambda: False)
    monkeypatch.setattr(training.trainer.distributed, "gather", lambda own: [(change, "it is late"), own])
    run: Any = SimpleNamespace(
        choices=[],
        schedule=Schedule("cosine", 1.0, 0.0, 0, 20),
        batches=SimpleNamespace(end=5, __len__=lambda: 5),
        config=config_of(),
    )
    monkeypatch.setattr(training.trainer, "last_batch", lambda run, state: 5)
    state: Any = SimpleNamespace(shortening=None)
    # this rank has not watched the clock, and asking it would end in an error
    nobody: Any = None
    training.trainer.shorten(run, state, nobody)
    assert (state.shortening, run.choices) == (change, ["it is late"])


@pytest.mark.integration
def test_measuring_leaves_no_trace_in_the_weights(tiny, tmp_path, monkeypatch, capsys):
    real, fixed = training.train.measure_run, RunTimes(0.2, 0.2, 0.2, epoch_start=0.0, validation=0.1, saving=0.1)
    clock = training.train.time.perf_counter
    now = clock()

    def measured_but_fixed(run, seconds):
        # the run takes no time, besides what it measures
        monkeypatch.setattr(training.train.time, "perf_counter", clock)
        real(run, 0.1)
        monkeypatch.setattr(training.train.time, "perf_counter", lambda: now)
        return fixed

    monkeypatch.setattr(training.train.time, "perf_counter", lambda: now)

    monkeypatch.setattr(training.train, "measure_run", measured_but_fixed)
    train(limited(tiny, f"output_dir={tmp_path / 'limited'}", "model.drop_rate=0.2"))
    said = capsys.readouterr().out
    words = said.partition("training.max_minutes=0.1: training.epochs")[2].partition(" (")[0].split()
    numbers = [f"training.epochs{words[0]}", *words[1:]]
    train(tiny(*numbers, "model.drop_rate=0.2", f"output_dir={tmp_path / 'plain'}"))
    assert_same_run(RunFolder(tmp_path / "limited"), RunFolder(tmp_path / "plain"))


@pytest.mark.integration
def test_a_run_in_epochs_does_not_go_on_in_minutes(tiny, tmp_path, whole):
    shutil.copytree(whole[1].root, tmp_path / "run")
    with pytest.raises(InputError, match=r"was planned in epochs. Give training.epochs instead"):
        train(limited(tiny, "training.resume=auto"))


@pytest.mark.integration
def test_the_parts_of_a_run_are_measured(tiny, tmp_path, monkeypatch, capsys):
    # a busy machine has time for it, and still measures less than a second
    monkeypatch.setattr("training.time_limit._MEASURING_SHARE", 0.01)
    config = limited(tiny)
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, max_minutes=1.0))
    train(config, after_epoch=lambda row: True)
    said = capsys.readouterr().out
    assert "training.max_minutes=1: some steps are timed first" in said
    assert "images/s" in said.partition("(measured: ")[2].partition(")")[0]
    state = load_training_state(RunFolder(tmp_path / "run").last)["state"]
    assert state["times"]["first_step"] > 0
    assert state["times"]["validation"] > 0


@pytest.mark.integration
def test_a_run_that_stops_in_its_last_validation_validates_again(tiny, tmp_path, monkeypatch, whole):
    # 39 images in batches of 8: five looks in each epoch, then those of the validation
    stop_and_go_on(monkeypatch, tiny("training.epochs=1.6", "training.resume=auto"), [10])
    state = load_training_state(RunFolder(tmp_path / "run").last)["state"]
    assert (state["step"], state["epoch"]) == (8, 2)
    assert_same_run(RunFolder(tmp_path / "run"), whole[1])
