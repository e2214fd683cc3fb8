"""The judges' Python is another one: what the ZIP asks pip for, and runs under an interpreter with its own packages."""

import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from timm.layers import GELUTanh
from torch import nn

from common.errors import InputError
from competition import judges_run
from competition.checks import failed
from competition.judges_run import OWN_PYTHON, find_interpreter
from competition.profile import read_profile
from competition.proof import prove
from competition.zip_layout import requirements_text
from competition.zip_writer import oldest_torch
from tests.competition.conftest import CSV, PREDICT

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def other_python(tmp_path_factory) -> Path:
    """The interpreter of a virtual environment without packages."""
    folder = tmp_path_factory.mktemp("judges") / "环境 1"
    venv.create(folder, with_pip=False)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def requirements_of(python: str, oldest: str = "1.9") -> dict[str, list[Requirement]]:
    """Return the template's requirements that count for a Python, by package."""
    layout = read_profile("flower_2025", [])[0].zip_layout
    found: dict[str, list[Requirement]] = {}
    for line in requirements_text(layout, oldest).splitlines():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            found.setdefault(requirement.name, []).append(requirement)
    return found


@pytest.mark.parametrize("python", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_each_python_has_one_line_for_each_package(python):
    found = requirements_of(python)
    assert set(found) == {"torch", "timm", "numpy", "opencv-python-headless", "pillow"}
    assert [len(lines) for lines in found.values()] == [1] * 5


@pytest.mark.parametrize(
    ("python", "package", "works", "breaks"),
    [
        ("3.8", "torch", "1.9.1", "1.8.1"),
        ("3.8", "timm", "1.0.9", "1.0.12"),
        ("3.9", "timm", "1.0.11", "1.0.31"),
        ("3.8", "numpy", "1.24.4", "2.0.0"),
        ("3.9", "numpy", "1.26.4", "2.0.2"),
        ("3.10", "numpy", "2.2.6", "1.19.5"),
        ("3.10", "opencv-python-headless", "4.11.0.86", "4.12.0.88"),
        ("3.8", "pillow", "10.4.0", "7.2.0"),
    ],
)
def test_versions_that_work_are_let_in_and_others_kept_out(python, package, works, breaks):
    (requirement,) = requirements_of(python)[package]
    assert requirement.specifier.contains(works)
    assert not requirement.specifier.contains(breaks)


def test_a_newer_python_gets_the_timm_that_the_zip_was_proven_with():
    (requirement,) = requirements_of("3.11")["timm"]
    assert str(requirement.specifier) == f"=={metadata.version('timm')}"


def test_a_model_that_an_old_torch_cannot_run_asks_for_a_newer_one():
    assert oldest_torch([nn.Sequential(nn.GELU()), nn.ReLU()]) == "1.9"
    assert oldest_torch([nn.ReLU(), nn.Sequential(GELUTanh())]) == "1.12"
    (requirement,) = requirements_of("3.8", oldest="1.12")["torch"]
    assert not requirement.specifier.contains("1.9.1")


def test_the_zip_is_run_under_each_interpreter_and_its_versions_are_recorded(build, profile, images, other_python):
    proof = prove(build(), profile, images, None, [OWN_PYTHON, other_python])
    assert failed(proof.checks) == []
    assert proof.csv == CSV.encode()
    version = sys.version.split()[0]
    under = f" under Python {version}"
    places = ["from the ZIP's root", "from code/"]
    assert [run["where"] for run in proof.runs] == places + [place + under for place in places]
    assert {run["versions"]["python"] for run in proof.runs} == {version}
    figures = {check.rule: check.figure for check in proof.checks}
    assert figures["versions"] == figures[f"versions{under}"] == f"Python {version}"
    assert figures[f"from the root = the CSV in the ZIP{under}"].startswith("3 labels equal")
    assert figures[f"from code/ = from the root{under}"].startswith("3 labels equal")


def test_the_versions_are_those_of_the_packages_that_the_run_imported(build, profile, images):
    proof = prove(build(members={"code/predict.py": "import numpy\n" + PREDICT}), profile, images, None)
    assert proof.runs[0]["versions"] == {"python": sys.version.split()[0], "numpy": metadata.version("numpy")}


def test_what_the_other_interpreter_lacks_is_named(build, profile, images, other_python):
    proof = prove(build(members={"code/predict.py": "import timm\n"}), profile, images, None, [other_python])
    found = {check.rule: check.figure for check in failed(proof.checks)}
    rule = f"runs from code/ under Python {sys.version.split()[0]}"
    assert found[rule] == "exit code 1: ModuleNotFoundError: No module named 'timm'"


def test_only_an_interpreter_is_taken(tmp_path, other_python):
    assert find_interpreter(str(other_python)) == other_python
    with pytest.raises(InputError, match="no such program"):
        find_interpreter(str(tmp_path / "python"))
    script = tmp_path / "python.sh"
    script.write_text("#!/bin/sh\necho Python 2.7.18\n", encoding="utf-8")
    script.chmod(0o755)
    # Windows starts no scripts
    with pytest.raises(InputError, match=r"no such program|not an interpreter"):
        find_interpreter(str(script))


def test_a_message_in_the_encoding_of_windows_can_be_read(monkeypatch):
    monkeypatch.setattr(judges_run.locale, "getpreferredencoding", lambda _: "cp936")
    assert (
        judges_run._last_line("warning\nerror: 评审: no such folder.\r\n".encode("gbk"))
        == "error: 评审: no such folder."
    )
    assert judges_run._last_line("error: 评审".encode()) == "error: 评审"
