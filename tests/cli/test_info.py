"""info names the machine, and warns of a GPU that torch cannot use."""

# a None where a value should be fails the test like any other fault
# pyright: reportOperatorIssue=false

import json
import os
import subprocess
import sys

import pytest

from cli.info import gpu_warning, nvidia_gpus, version
from tests.helpers import command, environment, run_script


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """An nvidia-smi that lists one GPU."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA Test 4090 (UUID: GPU-1)'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for nvidia-smi is a shell script")
def test_a_gpu_that_torch_cannot_use_is_told_with_the_remedy(driver):
    assert nvidia_gpus() == ["NVIDIA Test 4090"]
    warning = gpu_warning(None, cuda_works=False, mps_works=False)
    assert "NVIDIA Test 4090 is there, but this torch is built for CPUs only" in warning
    assert f"{sys.executable} -m pip install --force-reinstall torch torchvision --index-url" in warning
    assert "Update its driver" in gpu_warning("12.8", cuda_works=False, mps_works=False)
    assert gpu_warning("12.8", cuda_works=True, mps_works=False) is None


@pytest.mark.integration
@pytest.mark.skipif(os.name == "nt", reason="a pipe without a reader is an error of another kind there")
@pytest.mark.parametrize("line", ["cli/flower_cli.py models", "train.py --cfg job", "train.py --help"])
def test_a_reader_that_stops_early_is_no_error(line):
    reader, writer = os.pipe()
    os.close(reader)
    # as in a shell, where a short output waits in a buffer until the script ends
    buffered = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        command(*line.split()), stdout=writer, stderr=subprocess.PIPE, text=True, env=buffered, check=False
    )
    os.close(writer)
    assert done.stderr == ""


def test_without_a_driver_there_is_no_nvidia_gpu(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert nvidia_gpus() == []


def test_a_missing_library_is_told():
    assert version("numpy")[0].isdigit()
    assert version("no-such-package-as-this") == "not installed"


def test_lines_and_json_name_the_machine():
    done = run_script("cli/flower_cli.py", "info")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:4]] == ["python", "system", "cpu", "memory"]
    facts = json.loads(run_script("cli/flower_cli.py", "info", "--json").stdout)
    assert facts["device"].startswith(("cpu (", "cuda (", "mps"))
    assert run_script("cli/flower_cli.py", "info", "sead=1").returncode == 2
