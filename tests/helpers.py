"""Running the scripts as a user would."""

import contextlib
import dataclasses
import importlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

import cli.entry
from configs.compose import compose
from configs.schema import DatasetConfig, TrainingConfig

REPOSITORY = Path(__file__).resolve().parents[1]


def run_script(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run a script of the kit in this process and return the exit code and the output that a user gets.

    It takes a twentieth of the time of `run_process`, which is for what only a process can show.
    """
    script, *words = map(str, arguments)
    main = importlib.import_module(script.removesuffix(".py").replace("/", ".")).main
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        working_directory(cwd or REPOSITORY),
        mock.patch.object(sys, "argv", [script, *words]),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        pytest.raises(SystemExit) as ended,
    ):
        cli.entry.run_script(main)
    return subprocess.CompletedProcess([script, *words], ended.value.code or 0, stdout.getvalue(), stderr.getvalue())


def run_process(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run `python <arguments>`, the first being a script of the kit, and return its exit code and output."""
    return run_words(command(*arguments), cwd=cwd or REPOSITORY)


@contextlib.contextmanager
def working_directory(folder: Path) -> Iterator[None]:
    """Make `folder` the working directory for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run_words(words: list[str], **options: object) -> subprocess.CompletedProcess:
    """Run a command line in the environment of a user; `options` are further ones of subprocess.run."""
    return subprocess.run(
        words,
        **{"cwd": REPOSITORY, "timeout": 300, **options},
        env=environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of a script of the kit."""
    script, *rest = map(str, arguments)
    return [sys.executable, str(REPOSITORY / script), *rest]


def environment() -> dict[str, str]:
    """Return the environment of a user without a network."""
    return {**os.environ, "PYTHONIOENCODING": "utf-8", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def training_config(**changes: object) -> TrainingConfig:
    """Return the default training config with some values changed."""
    return dataclasses.replace(compose().training, **changes)


def dataset_config(**changes: object) -> DatasetConfig:
    """Return the default data set's config with some values changed."""
    return dataclasses.replace(compose().dataset, **changes)
