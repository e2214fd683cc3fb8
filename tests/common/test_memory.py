"""The share of a card that a process may use, and the free memory of a machine."""

import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from common import memory
from common.memory import cap_device_memory, free_memory
from tests.helpers import REPOSITORY

CUDA = torch.device("cuda", 0)
GIGABYTE = 10**9


@pytest.fixture
def card(monkeypatch):
    """A card of 12 GB, of which 10 GB are free and this process has reserved 1; the limits that it is given."""
    limits = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (card.free, 12 * GIGABYTE))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 1 * GIGABYTE)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: limits.append(share))
    card = SimpleNamespace(free=10 * GIGABYTE, limits=limits)
    return card


def on_system(monkeypatch, system, release):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "release", lambda: release)


@pytest.mark.parametrize(("system", "release"), [("Windows", "11"), ("Linux", "5.15.146.1-microsoft-standard-WSL2")])
def test_where_the_driver_spills_a_process_gets_what_is_free_less_what_libraries_take(
    system, release, card, monkeypatch
):
    on_system(monkeypatch, system, release)
    limit = cap_device_memory(CUDA)
    assert limit == 11 * GIGABYTE - 512 * 2**20
    assert card.limits == [pytest.approx(limit / (12 * GIGABYTE))]


def test_on_linux_nothing_is_limited(card, monkeypatch):
    on_system(monkeypatch, "Linux", "6.1.0-generic")
    assert cap_device_memory(CUDA) is None
    assert card.limits == []


def test_a_cpu_has_no_card(card, monkeypatch):
    on_system(monkeypatch, "Windows", "11")
    assert cap_device_memory(torch.device("cpu")) is None
    assert card.limits == []


def test_a_full_card_leaves_a_limit_that_torch_accepts(card, monkeypatch):
    on_system(monkeypatch, "Windows", "11")
    card.free = 0
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    cap_device_memory(CUDA)
    assert card.limits == [pytest.approx(0.1)]


def test_free_memory_is_within_the_machine_and_the_container(tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       9000 kB\nMemAvailable:   5000 kB\n", encoding="ascii")
    monkeypatch.setattr(memory, "_PROC_MEMINFO", meminfo)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    assert free_memory() == 5000 * 1024
    for name, text in {"max": "2000000", "current": "1500000", "stat": "anon 400000\nfile 900000\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text, encoding="ascii")
    # cached files count as used, but give way
    assert free_memory() == 1_400_000
    (tmp_path / "memory.max").write_text("max", encoding="ascii")
    assert free_memory() == 5000 * 1024


@pytest.mark.parametrize(("free", "free_page"), [(3 * GIGABYTE, 9 * GIGABYTE), (9 * GIGABYTE, 3 * GIGABYTE)])
def test_on_windows_free_memory_is_what_the_paging_file_backs_too(monkeypatch, free, free_page):
    def fill(reference):
        status = reference._obj
        status.free, status.free_page = free, free_page

    windll = SimpleNamespace(kernel32=SimpleNamespace(GlobalMemoryStatusEx=fill))
    monkeypatch.setattr(memory.ctypes, "windll", windll, raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    assert free_memory() == 3 * GIGABYTE


def test_this_machine_tells_its_free_memory():
    assert 2**20 < free_memory() < 2**50


KEPT_AND_RETURNED = """
import os
import torch
from common.memory import return_freed_memory, tune_cpu_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20

assert tune_cpu_memory()
before = resident()
# blocks that are freed below one that stays
blocks = [torch.ones(2**20) for _ in range(100)]
stays = torch.ones(2**18)
del blocks
kept = resident() - before
return_freed_memory()
print(kept, resident() - before)
"""


@pytest.mark.integration
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_that_the_process_kept_is_returned_before_workers_are_forked():
    words = [sys.executable, "-c", KEPT_AND_RETURNED]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    kept, left = map(int, done.stdout.split())
    assert kept > 350
    assert left < 100
