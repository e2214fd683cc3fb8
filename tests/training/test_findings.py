"""A step whose flag stays on the device is the step whose flag the host reads at once; only the reading is later."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalMemberAccess=false

import itertools
import types
from typing import cast

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import training.run
import training.state
import training.step
from common.device import Precision
from common.errors import RunError
from models.losses import CrossEntropy
from tests.training.interrupted_runs import assert_same_run, interrupt, stop_and_go_on
from training.findings import read_findings
from training.optimizer import reads_found_inf
from training.resume import load_training_state
from training.run import set_up_run
from training.run_folder import RunFolder
from training.start import fresh_state
from training.state import HostCopy
from training.step import take_step
from training.train import train

pytestmark = pytest.mark.integration


def decide_on_device(monkeypatch):
    """Let the CPU do what CUDA does."""
    build = training.state.build_optimizer

    def fused(model, config):
        optimizer = build(model, config)
        for group in optimizer.param_groups:
            group["fused"] = True
        return optimizer

    monkeypatch.setattr(training.state, "build_optimizer", fused)
    monkeypatch.setattr(training.step, "_decides_on_device", lambda run, state: reads_found_inf(state.optimizer))


def break_losses(monkeypatch, broken):
    """Make the loss of these forward passes, counted from 0, not a number."""
    forward, calls = CrossEntropy.forward, []

    def sometimes(self, logits, targets):
        calls.append(None)
        return forward(self, logits, targets) * (float("nan") if len(calls) - 1 in broken else 1.0)

    monkeypatch.setattr(CrossEntropy, "forward", sometimes)


def state_in(folder):
    return load_training_state(folder / "checkpoints" / "last.pt")["state"]


WAYS = {
    "adamw": ["training.layer_decay=0.8", "training.ema_decay=0.9"],
    "sgd": ["training.optimizer=sgd", "training.freeze_epochs=1"],
    "no clipping": ["training.clip_grad_norm=null", "training.accumulation_steps=2", "dataset.batch_size=4"],
}


@pytest.mark.parametrize("way", list(WAYS))
def test_both_ways_train_and_skip_the_same_steps(tiny, tmp_path, monkeypatch, capsys, way):
    said = {}
    for place in ("host", "device"):
        with monkeypatch.context() as patch:
            if place == "device":
                decide_on_device(patch)
            # the first and the last step of an epoch, and two in a row
            break_losses(patch, {0, 6, 7, 9})
            train(tiny(*WAYS[way], f"output_dir={tmp_path / place}"))
        said[place] = [line for line in capsys.readouterr().out.splitlines() if "not finite in" in line]
    assert said["host"] == said["device"]
    assert len(said["host"]) == len({line.partition("(images")[0] for line in said["host"]}) >= 3
    at_once, later = state_in(tmp_path / "host"), state_in(tmp_path / "device")
    for part in ("model", "ema"):
        for name, value in (at_once[part] or {}).items():
            # torch's fused SGD and the average under a flag round otherwise
            torch.testing.assert_close(later[part][name], value, rtol=1e-5, atol=1e-6)
    counters = ("bad_steps", "skipped_steps", "step", "images", "lowered_scales")
    assert [at_once[name] for name in counters] == [later[name] for name in counters]
    assert [row["train_loss"] for row in at_once["history"]] == pytest.approx(
        [row["train_loss"] for row in later["history"]], abs=1e-5
    )


@pytest.mark.parametrize("option", ["training.ema_decay=0.9", "training.optimizer=sgd"])
def test_a_run_that_decides_on_the_device_resumes_exactly(tiny, tmp_path, monkeypatch, option):
    decide_on_device(monkeypatch)
    options = [option, "training.epochs=2", "training.mixup_alpha=0.4"]
    train(tiny(*options, f"output_dir={tmp_path / 'straight'}"))
    stop_and_go_on(monkeypatch, tiny(*options, "training.resume=auto"), (2, 7))
    assert_same_run(RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "run"))


def test_a_bad_step_is_counted_before_the_state_is_saved(tiny, tmp_path, monkeypatch, capsys):
    decide_on_device(monkeypatch)
    break_losses(monkeypatch, {1})
    interrupt(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train(tiny())
    state = state_in(tmp_path / "run")
    assert (state["step"], state["skipped_steps"], state["bad_steps"], state["images"]) == (2, 1, 1, 8)
    assert "optimizer step 2 (images" in capsys.readouterr().out


def test_too_many_bad_steps_end_the_run_and_name_the_images(tiny, tmp_path, monkeypatch, capsys):
    decide_on_device(monkeypatch)
    break_losses(monkeypatch, set(range(6, 100)))
    with pytest.raises(RunError, match=r"in 3 steps in a row .* the last in epoch 2, optimizer step 9 \(images \d{4}"):
        train(tiny("training.max_bad_steps=3"))
    assert state_in(tmp_path / "run")["epoch"] == 1
    assert capsys.readouterr().out.count("the step is skipped") == 2


def test_an_error_comes_after_the_warning_on_the_step_before(tiny, monkeypatch, capsys):
    decide_on_device(monkeypatch)
    break_losses(monkeypatch, {0})
    forward, calls = training.step._forward, []

    def full_later(model, images):
        calls.append(None)
        if len(calls) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(model, images)

    monkeypatch.setattr(training.step, "_forward", full_later)
    with pytest.raises(RunError, match="does not hold a single image"):
        train(tiny())
    assert "not finite in epoch 1, optimizer step 1" in capsys.readouterr().out


class AsksForNoValue(TorchDispatchMode):
    """Raises where the host asks for the value of a tensor, for which it would wait on CUDA."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        assert function is not torch.ops.aten._local_scalar_dense.default, "the host asks for a value"
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_step_asks_for_no_value(tiny, monkeypatch, optimizer, dtype):
    decide_on_device(monkeypatch)
    monkeypatch.setattr(training.run, "choose_precision", lambda *arguments: Precision("cpu", dtype))
    options = ["training.ema_decay=0.9", "training.mixup_alpha=0.4", "training.cutmix_alpha=1", "training.epochs=3"]
    run = set_up_run(tiny(*options, f"training.optimizer={optimizer}", "training.layer_decay=0.8"))
    state, _ = fresh_state(run)
    assert state.scaler.is_enabled() == (dtype == torch.float16)
    # its check of the labels asks on a CPU alone
    monkeypatch.setattr(run.objective, "targets", lambda labels, rows: torch.eye(4)[labels])
    # the reading is what comes one step later
    monkeypatch.setattr(training.step, "read_findings", lambda run, state, leave: None)
    for batch in itertools.islice(run.train_loader, 4):
        with AsksForNoValue():
            take_step(run, state, state.model, [batch])
    assert len(state.unread) == 4
    read_findings(run, state)
    assert (state.step, state.totals.images, state.unread) == (4, 32, [])


def test_the_host_waits_for_the_copy_alone(monkeypatch):
    # a tensor that says that it is on CUDA, and a stream that says what is asked of it
    asked = []
    event = types.SimpleNamespace(synchronize=lambda: asked.append("waited"))
    stream = types.SimpleNamespace(record_event=lambda: asked.append("recorded") or event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)

    class OnCuda:
        is_cuda, device = True, torch.device("cuda", 0)

        def to(self, place, non_blocking):
            asked.append((place, non_blocking))
            return torch.tensor([1.0, 2.0])

    copy = HostCopy(cast(torch.Tensor, OnCuda()))
    assert asked == [("cpu", True), "recorded"]
    assert copy.read() == [1.0, 2.0]
    assert asked[2:] == ["waited"]
