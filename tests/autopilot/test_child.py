"""A command ends with the process that runs it, however that one ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

from autopilot.commands import run_command
from tests.helpers import REPOSITORY

SLEEPER = """
import os, signal, sys, time
from pathlib import Path

def stop(number, frame):
    print("saved", flush=True)
    Path(sys.argv[1]).with_suffix(".saved").write_text("saved", encoding="utf-8")
    sys.exit(130)

signal.signal(signal.SIGTERM, stop)
Path(sys.argv[1]).write_text(str(os.getpid()), encoding="utf-8")
time.sleep(600)
"""

RUNNER = """
import sys
from pathlib import Path
from autopilot.commands import run_command

try:
    run_command([sys.argv[1], sys.argv[2]], Path(sys.argv[2] + ".log"), lambda line: None)
except KeyboardInterrupt:
    sys.exit(130)
"""


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def runner(tmp_path):
    script, note = tmp_path / "sleeper.py", tmp_path / "pid"
    script.write_text(SLEEPER, encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-c", RUNNER, str(script), str(note)], cwd=REPOSITORY)
    wait_for(lambda: note.is_file() and note.read_text("utf-8"))
    yield process, int(note.read_text("utf-8")), note.with_suffix(".saved")
    process.kill()
    process.wait()


@pytest.mark.integration
@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a signal")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_command_saves_and_ends_when_its_runner_is_stopped(runner, how):
    process, pid, saved = runner
    process.send_signal(how)
    code = process.wait(30)
    wait_for(lambda: not is_running(pid))
    assert saved.is_file()
    assert code == (-signal.SIGKILL if how == signal.SIGKILL else 130)


@pytest.mark.integration
def test_the_script_gets_its_words_and_the_log_its_output(tmp_path):
    script = tmp_path / "echo.py"
    script.write_text("import sys\nprint('|'.join(sys.argv[1:]))\nsys.exit(3)\n", encoding="utf-8")
    outcome = run_command([str(script), "a b", "花=1"], tmp_path / "log", lambda line: None)
    assert (outcome.exit_code, outcome.last_lines) == (3, ["a b|花=1"])
    assert (tmp_path / "log").read_text("utf-8").endswith("\na b|花=1\n")
