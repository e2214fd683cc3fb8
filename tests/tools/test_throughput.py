"""The rates of loader and training steps: which limits, with the run's own images or drawn ones."""

import dataclasses
import os
import sys
import tempfile
import time

import pytest
import torch

import tools.throughput
from cli.info_training import limit_facts
from data.dataset import ImageDataset
from tests.helpers import run_script
from tools.throughput import throughput

pytestmark = pytest.mark.integration


def test_the_slower_of_the_two_is_found(tiny, pictures, monkeypatch):
    def slow_step(run, state, forward, batches):
        time.sleep(0.02 * len(batches))

    monkeypatch.setattr(tools.throughput, "take_step", slow_step)
    config = tiny("training.accumulation_steps=2")
    slow_steps = throughput(config, seconds=0.5)
    assert slow_steps.images == f"images of {pictures}"
    assert 8 / 0.1 < slow_steps.steps <= 8 / 0.02
    assert (slow_steps.step_images, slow_steps.batch_size, slow_steps.workers) == (8, 8, 0)
    monkeypatch.undo()

    read = ImageDataset.__getitem__

    def slow_read(self, key):
        time.sleep(0.1)
        return read(self, key)

    monkeypatch.setattr(ImageDataset, "__getitem__", slow_read)
    slow_loader = throughput(config, seconds=0.5)
    assert slow_loader.loader < 1 / 0.1
    assert slow_loader.loader_limits


def test_steps_of_a_large_model_have_the_images_that_time_allows(tiny, monkeypatch):
    def slow_step(run, state, forward, batches):
        time.sleep(0.05 * len(batches[0].images))

    monkeypatch.setattr(tools.throughput, "take_step", slow_step)
    found = throughput(tiny("dataset.batch_size=32"), seconds=0.5)
    assert found.step_images in (2, 4)
    assert 10 < found.steps <= 20


def test_without_images_some_are_drawn_and_nothing_is_left(tiny, tmp_path):
    config = tiny("training.head_init=probe", "model.pretrained=true", f"dataset.root={tmp_path / 'absent'}")
    found = throughput(config, seconds=0.2)
    assert "drawn images of 600 px" in found.images
    assert found.loader > 0
    assert found.steps > 0
    assert list(tmp_path.iterdir()) == []


def test_drawn_images_that_a_scanner_holds_cost_no_result(tiny, tmp_path, monkeypatch):
    remove = os.unlink

    def held(path, **options):
        if str(path).endswith(".jpg"):
            raise PermissionError(13, "being used by another process")
        remove(path, **options)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "unlink", held)
    assert throughput(tiny(f"dataset.root={tmp_path / 'absent'}"), seconds=0.2).steps > 0


def test_lines_say_what_to_change(tiny, monkeypatch):
    monkeypatch.setattr("cli.info_training.usable_cores", lambda: 12)
    monkeypatch.setattr(sys, "platform", "linux")
    found = tools.throughput.Throughput(
        loader=100.0,
        steps=400.0,
        step_images=32,
        batch_size=32,
        workers=0,
        images="",
        device=torch.device("cuda", 0),
        precision="float32",
        choices=[],
    )
    facts = limit_facts(found)
    assert facts["limit"] == "the loader: the other is 4.0 times as fast"
    assert "dataset.num_workers=12, " in facts["to change"]
    assert "together" not in facts
    monkeypatch.setattr(sys, "platform", "win32")
    assert "dataset.num_workers=12 (if the paging file has room for so many), " in limit_facts(found)["to change"]
    on_cpu = dataclasses.replace(found, loader=400.0, steps=100.0, device=torch.device("cpu"))
    assert limit_facts(on_cpu)["limit"].startswith("the training steps")
    assert limit_facts(on_cpu)["together"].startswith("about 80.0 images/s")


def test_info_prints_it(pictures, monkeypatch):
    words = ["model=efficientnet_lite0", "model.input_size=32", "dataset.num_workers=0", "dataset.batch_size=4"]
    monkeypatch.setattr("tools.throughput.throughput.__defaults__", (0.2,))
    done = run_script("cli/flower_cli.py", "info", "--throughput", *words, "device=cpu", f"dataset.root={pictures}")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()][:4] == ["loader", "steps", "limit", "together"]
