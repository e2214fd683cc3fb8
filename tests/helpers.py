"""Running the scripts as a user would."""

import contextlib
import dataclasses
import functools
import importlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import torch

import cli.entry
from configs.compose import compose
from configs.schema import Config, DatasetConfig, TrainingConfig

REPOSITORY = Path(__file__).resolve().parents[1]


def run_script(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run a script of the kit in this process and return the exit code and the output that a user gets.

    It takes a twentieth of the time of `run_process`, which is for what only a process can show.
    """
    script, *words = map(str, arguments)
    main = importlib.import_module(script.removesuffix(".py").replace("/", ".")).main
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in ("stdout", "stderr")]
    with (
        working_directory(cwd or REPOSITORY),
        mock.patch.object(sys, "argv", [script, *words]),
        mock.patch.dict(os.environ),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
        _warnings_on_stderr(),
        _process_state_kept(),
    ):
        code = _exit_code(main)
    texts = [stream.buffer.getvalue().decode("utf-8").replace(os.linesep, "\n") for stream in streams]
    return subprocess.CompletedProcess([script, *words], code, *texts)


def _exit_code(main: Callable[[list[str]], int]) -> int:
    """Run `main` as its script does and return the exit code that its process would have."""
    try:
        cli.entry.run_script(main)
    except SystemExit as end:
        return int(end.code or 0)
    except Exception:  # noqa: BLE001 - Python itself prints what nobody has caught, and exits with 1
        traceback.print_exc()
        return 1


@contextlib.contextmanager
def _warnings_on_stderr() -> Iterator[None]:
    """Show warnings where a process shows them, and only the kinds that Python shows; pytest would keep them."""

    def show(message, category, filename, lineno, file=None, line=None):
        print(warnings.formatwarning(message, category, filename, lineno, line), file=sys.stderr, end="")

    with warnings.catch_warnings():
        warnings.showwarning = show
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        yield


@contextlib.contextmanager
def _process_state_kept() -> Iterator[None]:
    """Put back what a script sets for its whole process: signal handlers and torch's choice of algorithms."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    deterministic, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    filled = getattr(torch.utils.deterministic, "fill_uninitialized_memory")  # noqa: B009
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        setattr(torch.utils.deterministic, "fill_uninitialized_memory", filled)  # noqa: B010
        torch.backends.cudnn.benchmark = benchmark
        for number, handler in handlers.items():
            signal.signal(number, handler)


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


def kill_workers() -> None:
    """Kill the worker processes that a test has left, for whose end torch would wait seconds when it deletes them."""
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of a script of the kit."""
    script, *rest = map(str, arguments)
    return [sys.executable, str(REPOSITORY / script), *rest]


def environment() -> dict[str, str]:
    """Return the environment of a user; conftest.py has taken the model hubs and the threads out of it."""
    return {**os.environ, "PYTHONIOENCODING": "utf-8"}


def training_config(**changes: object) -> TrainingConfig:
    """Return the default training config with some values changed."""
    return dataclasses.replace(_defaults().training, **changes)


def dataset_config(**changes: object) -> DatasetConfig:
    """Return the default data set's config with some values changed."""
    return dataclasses.replace(_defaults().dataset, **changes)


@functools.cache
def _defaults() -> Config:
    return compose()
