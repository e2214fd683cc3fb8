"""Runs that are stopped and go on, and what must be equal at their end."""

import csv
import os
import signal

import pytest
import torch

import training.trainer
from models.checkpoint import load_checkpoint
from training.interrupts import Interrupts
from training.resume import load_training_state
from training.train import train


class InterruptsAfter(Interrupts):
    """Asks to stop at the n-th time that the loop looks."""

    looks_left = 0

    @property
    def requested(self):
        type(self).looks_left -= 1
        return type(self).looks_left < 0

    @requested.setter
    def requested(self, value):
        pass


def interrupt(monkeypatch, after_looks):
    InterruptsAfter.looks_left = after_looks
    monkeypatch.setattr(training.trainer, "Interrupts", InterruptsAfter)


def terminate_after(monkeypatch, step):
    """Send SIGTERM to this process once, after an optimizer step of a run."""
    take_step, sent = training.trainer.take_step, []

    def take_step_and_terminate(run, state, forward, batches):
        take_step(run, state, forward, batches)
        if state.step == step and not sent:
            sent.append(step)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(training.trainer, "take_step", take_step_and_terminate)


def stop_and_go_on(monkeypatch, config, looks):
    """Stop a run after so many looks, as often as there are numbers of them, then let it end; `config` resumes."""
    for number in looks:
        interrupt(monkeypatch, number)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    InterruptsAfter.looks_left = 10**9
    train(config)


def history(folder):
    with folder.history.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def final_tensors(folder):
    state = load_training_state(folder.last)["state"]
    tensors = dict(state["model"])
    for name, value in (state["ema"] or {}).items():
        tensors[f"ema.{name}"] = value
    for number, slots in state["optimizer"]["state"].items():
        tensors.update({f"optimizer.{number}.{slot}": value for slot, value in slots.items()})
    return tensors


def assert_same_run(first, second):
    expected, found = final_tensors(first), final_tensors(second)
    assert expected.keys() == found.keys()
    different = [name for name, value in expected.items() if not torch.equal(value, found[name])]
    assert different == []
    measured = ("images_per_second", "seconds", "wall_seconds")
    assert [{k: v for k, v in row.items() if k not in measured} for row in history(first)] == [
        {k: v for k, v in row.items() if k not in measured} for row in history(second)
    ]
    best, again = load_checkpoint(first.best), load_checkpoint(second.best)
    assert (best.epoch, best.metrics) == (again.epoch, again.metrics)
    assert all(torch.equal(value, again.state_dict[name]) for name, value in best.state_dict.items())
