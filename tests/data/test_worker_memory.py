"""Too little shared memory is said before it kills workers; and freed memory is kept for the next image."""

import ctypes
import shutil
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch

from configs.compose import compose
from data import worker_memory
from data.dataloader import eval_reader, train_loader
from data.dataset import ImageDataset
from data.sampler import EpochBatches
from data.table import read_table
from data.transforms import EvalTransform


@pytest.fixture
def small_shared_memory(monkeypatch, tmp_path):
    """Docker's 64 MB."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(worker_memory, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=64_000_000))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


def warnings_of(capsys, *words):
    """Return what is printed when the reader of a training run is made."""
    config = compose("config", list(words))
    batches = EpochBatches(np.arange(4), np.zeros(4, int), 4, "shuffle", 0)
    table: Any = types.SimpleNamespace(image_dir="", image_ids=["a.jpg"] * 4, labels=np.zeros(4, int))
    train_loader(config, table, batches, torch.device("cpu"))
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]


def test_training_says_that_its_batches_do_not_fit(small_shared_memory, capsys):
    (line,) = warnings_of(capsys, "model.input_size=600", "dataset.num_workers=8")
    # two batches of 32 images for each of 8 workers that train and 8 that validate
    assert "may need 1,106 MB" in line
    assert "64 MB are free" in line
    assert "shm-size=2g" in line
    assert "dataset.num_workers=0" in line


@pytest.mark.parametrize(
    "words",
    [("model.input_size=600", "dataset.num_workers=0"), ("model.input_size=64", "dataset.num_workers=2")],
)
def test_what_fits_or_needs_none_is_not_mentioned(small_shared_memory, capsys, words):
    assert not warnings_of(capsys, *words)


def test_each_process_of_torchrun_needs_its_own(small_shared_memory, capsys, monkeypatch):
    words = ("model.input_size=128", "dataset.num_workers=2")
    assert not warnings_of(capsys, *words)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert warnings_of(capsys, *words)


def test_other_systems_have_no_such_folder(small_shared_memory, capsys, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert not warnings_of(capsys, "model.input_size=600", "dataset.num_workers=4")


def test_prediction_says_it_too(small_shared_memory, capsys, pictures):
    table = read_table(pictures / "train.csv", pictures / "train")
    images = ImageDataset(table.image_dir, table.image_ids, table.labels, EvalTransform(600, 1.0))
    config = compose("config", ["dataset.num_workers=4"]).dataset
    eval_reader(images, range(4), config, torch.device("cpu"))
    assert "shm-size" in capsys.readouterr().out


@pytest.mark.parametrize("library", [types.SimpleNamespace(), None])
def test_a_system_without_glibc_goes_on(monkeypatch, library):
    def load(_):
        if library is None:
            raise OSError("no library")
        return library

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", load)
    worker_memory.keep_freed_memory()
