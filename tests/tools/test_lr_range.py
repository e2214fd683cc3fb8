"""The range test ends where the loss diverges, and not where float16 looks for its scale."""

import numpy as np
import pytest
import torch

import training.run
import training.state
from common.device import Precision
from tools.lr_range import lr_range

pytestmark = pytest.mark.integration


def test_overflows_of_float16_are_no_divergence(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training.run, "choose_precision", lambda *_: Precision("cpu", torch.float16))
    # every gradient overflows until the scale has fallen far enough
    monkeypatch.setattr(training.state, "_FIRST_SCALE", 2.0**40)
    found = lr_range(tiny("dataset.batch_size=4"), 1e-5, 1e-3, 40, tmp_path / "range")
    assert "float16 gradients overflowed" in capsys.readouterr().out
    assert len(found.rates) == len(found.losses) == 40
    assert np.isfinite(found.losses).all()


def test_steps_without_a_readable_image_are_passed_over(tiny, tmp_path, monkeypatch):
    read = training.run.train_loader

    def lose_one(*arguments):
        loader = read(*arguments)
        batches = list(loader)
        first = batches[0]
        batches[0] = first._replace(images=first.images[:0], labels=first.labels[:0], indices=first.indices[:0])
        return batches

    monkeypatch.setattr(training.run, "train_loader", lose_one)
    found = lr_range(tiny(), 1e-5, 1e-3, 20, tmp_path / "range")
    # five steps an epoch
    assert len(found.rates) == 16
    assert found.rates[0] > 1e-5
