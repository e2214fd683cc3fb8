"""How many processes read images, on each kind of machine."""

import os
import sys

import pytest

from common import processors
from common.processors import reading_workers


@pytest.fixture(autouse=True)
def no_container(monkeypatch, tmp_path):
    """No limit of the machine that runs the tests."""
    monkeypatch.setattr(processors, "_CPU_MAX", tmp_path / "absent")


@pytest.mark.parametrize(
    ("platform", "cores", "ranks", "cuda", "training", "validation"),
    [
        ("linux", 2, 1, False, 2, 2),
        ("linux", 64, 1, False, 8, 2),
        ("linux", 1, 1, False, 1, 1),
        ("linux", 8, 1, True, 7, 2),
        ("linux", 64, 1, True, 16, 2),
        ("linux", 2, 1, True, 1, 1),
        ("linux", 1, 1, True, 1, 1),
        ("linux", 64, 8, True, 7, 2),
        ("linux", 4, 8, True, 1, 1),
        ("win32", 16, 1, True, 4, 2),
        ("win32", 16, 1, False, 4, 2),
        ("win32", 2, 1, True, 1, 1),
        ("darwin", 10, 1, False, 8, 2),
    ],
)
def test_readers_suit_the_machine(monkeypatch, platform, cores, ranks, cuda, training, validation):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    assert reading_workers(cuda) == training
    assert reading_workers(cuda, beside_training=True) == validation


def test_without_torchrun_a_process_has_all_cores_that_it_may_use(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert (processors.usable_cores(), processors.processes_here()) == (3, 1)
    assert reading_workers(cuda=False) == 3


@pytest.mark.parametrize(("limit", "cores"), [("150000 100000\n", 2), ("max 100000\n", 64), ("9900000 100000\n", 64)])
def test_a_container_may_have_fewer_cores_than_its_machine(monkeypatch, tmp_path, limit, cores):
    (tmp_path / "cpu.max").write_text(limit, encoding="ascii")
    monkeypatch.setattr(processors, "_CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert processors.usable_cores() == cores
