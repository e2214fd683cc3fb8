"""What a run says of its device before it starts."""

import dataclasses

import pytest
import torch

import training.messages
from common.device import Precision, choose_precision
from training.messages import describe_run
from training.run import set_up_run
from training.start import fresh_state


@pytest.fixture
def started(tiny, monkeypatch):
    """Return a function that gives the lines of a run on a device; keys of the run come after it."""

    def lines(device, *overrides, **facts):
        run = set_up_run(tiny(*overrides))
        state, _ = fresh_state(run)
        monkeypatch.setattr(training.messages, "describe_device", str)
        return describe_run(dataclasses.replace(run, device=torch.device(device), **facts), state, None)

    return lines


@pytest.mark.parametrize(("allowed", "text"), [(True, "float32 (TF32 in products and convolutions) by "), (False, "")])
def test_tf32_is_said_where_it_is_used(started, monkeypatch, allowed, text):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    precision = choose_precision(torch.device("cuda"), use_amp=False, amp_dtype="auto", allow_tf32=allowed)
    [line] = [line for line in started("cuda", precision=precision) if line.startswith("device")]
    assert (f"{text}training.allow_tf32" in line) == allowed
    assert not any("allow_tf32" in line for line in started("cpu"))


def test_a_run_on_the_card_uses_tf32_unless_the_key_forbids_it(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr("training.run.choose_precision", lambda *given: asked.append(given) or Precision("cpu", None))
    for allowed in ("true", "false"):
        set_up_run(tiny(f"training.allow_tf32={allowed}", "training.use_amp=false", "device=auto"))
    assert [allow_tf32 for *_, allow_tf32 in asked] == [True, False]


def test_a_fit_other_than_the_centre_is_said(started):
    assert "at 32 px, model.fit=stretch, " in started("cpu", "model.fit=stretch")[1]
    assert "fit" not in started("cpu")[1]


def test_the_limit_of_the_card_and_the_choices_are_said(started):
    lines = started("cuda", memory_limit=10_500_000_000, choices=["dataset.batch_size=auto: 8 images fit"])
    assert any("this run takes at most 10.5 GB of the card" in line for line in lines)
    assert any(line.startswith("note 1") and "dataset.batch_size=auto: 8 images fit" in line for line in lines)
    assert not any("of the card" in line for line in started("cpu"))
