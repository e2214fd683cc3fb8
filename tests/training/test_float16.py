"""float16's scale of gradients, with torch's own scaler on a CPU: an overflow is a search, not a fault."""

import math

import pytest
import torch

import training.run
import training.state
import training.step
from common import distributed
from common.device import Precision
from common.errors import RunError
from data.dataset import collate
from models.losses import CrossEntropy
from tests.training.interrupted_runs import assert_same_run, stop_and_go_on
from tests.training.test_findings import decide_on_device
from tools.lr_range import lr_range
from training.resume import load_training_state
from training.run import set_up_run
from training.run_folder import RunFolder
from training.start import fresh_state
from training.step import compute_gradients
from training.train import train

pytestmark = pytest.mark.integration

# no gradient of the tiny model overflows here, and all do there, for at least ten halvings
SMALL, TOO_LARGE = 16.0, 2.0**32


@pytest.fixture(params=["host", "device"], autouse=True)
def float16(request, monkeypatch):
    """Train in float16; the host decides at each step, or the device as on CUDA."""
    monkeypatch.setattr(training.run, "choose_precision", lambda *arguments: Precision("cpu", torch.float16))
    if request.param == "device":
        decide_on_device(monkeypatch)


def start_at(monkeypatch, scale, interval=2000):
    """Let the scale begin at `scale`, and grow after `interval` steps without an overflow."""
    scaler = torch.amp.GradScaler

    def build(device, init_scale, enabled):
        return scaler(device, init_scale=scale, growth_interval=interval, enabled=enabled)

    monkeypatch.setattr(torch.amp, "GradScaler", build)


def saved(folder):
    return load_training_state(folder / "checkpoints" / "last.pt")["state"]


def test_a_run_without_overflows_says_nothing(tiny, tmp_path, monkeypatch, capsys):
    start_at(monkeypatch, SMALL)
    train(tiny())
    state = saved(tmp_path / "run")
    assert (state["scaler"]["scale"], state["lowered_scales"], state["skipped_steps"]) == (SMALL, 0, 0)
    assert "overflowed" not in capsys.readouterr().out


def test_many_overflows_in_a_row_are_a_search(tiny, tmp_path, monkeypatch, capsys):
    start_at(monkeypatch, TOO_LARGE)
    train(tiny("training.epochs=4", "training.max_bad_steps=2", "training.ema_decay=0.9"))
    state, said = saved(tmp_path / "run"), capsys.readouterr().out
    lowered = state["lowered_scales"]
    assert lowered >= 10
    assert state["scaler"]["scale"] == TOO_LARGE / 2**lowered
    assert (state["skipped_steps"], state["bad_steps"], state["step"]) == (0, 0, 20)
    # one note an epoch, and its count if there were more; no image is named
    first = [line for line in said.splitlines() if "float16 gradients overflowed, so" in line]
    assert [line.split(",")[0] for line in first] == [f"note: epoch {n + 1}" for n in range(len(first))]
    assert first[0].startswith(
        f"note: epoch 1, optimizer step 1: float16 gradients overflowed, so their scale is lowered to {TOO_LARGE / 2:g}"
    )
    assert "note: epoch 1: float16 gradients overflowed in 5 steps" in said
    assert ".png" not in said
    assert "warning" not in said
    assert f"{lowered} optimizer steps changed no weights: their float16 gradients overflowed" in said
    assert all(torch.isfinite(value).all() for value in state["model"].values())


def test_a_step_that_overflows_changes_nothing(tiny, tmp_path, monkeypatch):
    start_at(monkeypatch, TOO_LARGE)
    start, fresh = {}, training.state.new_state

    def remember(model, *arguments):
        start.update({name: value.clone() for name, value in model.state_dict().items()})
        return fresh(model, *arguments)

    monkeypatch.setattr("training.start.new_state", remember)
    train(tiny("training.epochs=1", "training.ema_decay=0.9", "dataset.val_split=0"))
    state = saved(tmp_path / "run")
    assert start.keys() == state["model"].keys()
    assert [name for name, value in start.items() if not torch.equal(value, state["model"][name])] == []
    assert [name for name, value in start.items() if not torch.equal(value, state["ema"][name])] == []


def test_an_epoch_of_one_step_that_overflows_goes_on(tiny, tmp_path, monkeypatch, capsys):
    start_at(monkeypatch, TOO_LARGE)
    train(tiny("training.epochs=3", "dataset.batch_size=1000"))
    state = saved(tmp_path / "run")
    assert (state["lowered_scales"], state["step"], len(state["history"])) == (3, 3, 3)
    # the loss of these images is known, whatever became of their gradients
    assert all(0 < row["train_loss"] < 10 for row in state["history"])
    assert capsys.readouterr().out.count("overflowed in") == 0


def test_the_scale_grows_again(tiny, tmp_path, monkeypatch):
    start_at(monkeypatch, SMALL, interval=4)
    train(tiny("training.epochs=2"))
    state = saved(tmp_path / "run")
    assert (state["scaler"]["scale"], state["scaler"]["_growth_tracker"]) == (4 * SMALL, 2)
    assert state["lowered_scales"] == 0


@pytest.mark.slow
def test_overflows_that_come_back_with_growth_never_end_a_run(tiny, tmp_path, monkeypatch):
    start_at(monkeypatch, TOO_LARGE, interval=1)
    train(tiny("training.epochs=6", "training.max_bad_steps=1"))
    state = saved(tmp_path / "run")
    # about every second step overflows, once the scale is at its edge: it has grown and come back more than thrice
    assert state["lowered_scales"] > math.log2(TOO_LARGE / state["scaler"]["scale"]) + 3
    assert (state["skipped_steps"], state["step"]) == (0, 30)


def test_a_scale_below_one_is_a_bad_step_with_names(tiny, monkeypatch, capsys):
    start_at(monkeypatch, 4.0)
    forward = training.step._forward

    def overflowing(model, images):
        # the value is finite, its gradient is not
        logits = forward(model, images)
        return logits + (logits * 0).abs().sqrt().sum() * 1e-30

    monkeypatch.setattr(training.step, "_forward", overflowing)
    with pytest.raises(RunError, match=r"in 2 steps in a row .* optimizer step 4 \(images \d{4}\.png"):
        train(tiny("training.max_bad_steps=2"))
    said = capsys.readouterr().out
    assert said.count("float16 gradients overflowed, so their scale is lowered to 2") == 1
    assert said.count("warning: loss or gradients were not finite in epoch 1, optimizer step 3 (images") == 1


def test_a_loss_that_is_not_finite_is_a_bad_step_at_once(tiny, tmp_path, monkeypatch, capsys):
    forward, calls = CrossEntropy.forward, []

    def broken(self, logits, targets):
        calls.append(None)
        return forward(self, logits, targets) * (float("nan") if len(calls) == 2 else 1)

    monkeypatch.setattr(CrossEntropy, "forward", broken)
    train(tiny())
    state = saved(tmp_path / "run")
    assert (state["skipped_steps"], state["lowered_scales"]) == (1, 0)
    assert "not finite in epoch 1, optimizer step 2 (images" in capsys.readouterr().out


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_its_scale(tiny, tmp_path, monkeypatch):
    start_at(monkeypatch, 2.0**26, interval=3)
    options = ["training.epochs=3", "training.ema_decay=0.9"]
    train(tiny(*options, f"output_dir={tmp_path / 'straight'}"))
    # once in each epoch
    stop_and_go_on(monkeypatch, tiny(*options, "training.resume=auto"), looks=(3, 6, 9))
    assert_same_run(RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "run"))
    straight, resumed = saved(tmp_path / "straight"), saved(tmp_path / "run")
    assert straight["lowered_scales"] > 0
    for name in ("scaler", "lowered_scales", "skipped_steps"):
        assert straight[name] == resumed[name]


def test_a_range_test_does_not_call_an_overflow_diverged(tiny, tmp_path, monkeypatch):
    start_at(monkeypatch, TOO_LARGE)
    found = lr_range(tiny("dataset.val_split=0"), 1e-5, 1e-3, 20, tmp_path)
    assert len(found.rates) == 20


def test_a_rank_whose_first_step_has_no_image_joins_it(tiny, monkeypatch):
    run = set_up_run(tiny())
    state, _ = fresh_state(run)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    totals = compute_gradients(run, state, state.model, [collate([])])
    assert totals is not None
    assert totals.images == 0
    state.scaler.unscale_(state.optimizer)
    gradients = [parameter.grad for parameter in state.model.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)
    state.scaler.update()
