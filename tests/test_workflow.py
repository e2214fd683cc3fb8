"""The workflow of GitHub has the form that GitHub reads, and tries the Pythons that the kit promises."""

import importlib.util
import subprocess
import sys

import pytest
import yaml

import quickstart
from tests.helpers import REPOSITORY

WORKFLOW = REPOSITORY / ".github" / "workflows" / "ci.yml"


def check_form(path):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


@pytest.mark.integration
@pytest.mark.skipif(importlib.util.find_spec("check_jsonschema") is None, reason="needs check-jsonschema")
def test_the_workflow_has_the_form_that_github_reads(tmp_path):
    done = check_form(WORKFLOW)
    assert done.returncode == 0, done.stdout + done.stderr
    misspelled = tmp_path / "ci.yml"
    misspelled.write_text(WORKFLOW.read_text(encoding="utf-8").replace("runs-on:", "run-on:"), encoding="utf-8")
    assert check_form(misspelled).returncode == 1


def test_the_workflow_tries_each_system_with_the_oldest_and_the_newest_python():
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    matrix = job["strategy"]["matrix"]
    assert [system.split("-")[0] for system in matrix["os"]] == ["ubuntu", "windows", "macos"]
    assert matrix["python"] == [f"{major}.{minor}" for major, minor in (quickstart.OLDEST, quickstart.NEWEST)]
    assert workflow["permissions"] == {"contents": "read"}
    assert job["timeout-minutes"] <= 60
    lines = [step.get("run", "") for step in job["steps"]]
    for command in ("python -m pytest", "ruff check .", "ruff format --check .", "lint-imports", "pyright"):
        assert any(command in line for line in lines), command
