"""Runs each check in a process of its own, within a time limit, and writes what was found after every one of them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.site import Facts, line_path
from common.errors import as_warning
from common.files import write_text

# a check that has less than this left is not begun
LEAST_SECONDS = 5


@dataclass(frozen=True)
class Task:
    """A check by its name, and the seconds after which its processes are ended."""

    name: str
    seconds: float


class Runner:
    """Runs tasks as `command + [name]`; `lines` has what was found, in the order of their ends.

    Each process writes its facts to `line_path(folder, name)` and its output goes to logs/NAME.log beside `results`.
    """

    def __init__(self, command: Sequence[str], folder: Path, results: Path) -> None:
        self.command, self.folder, self.results = list(command), folder, results
        self.machine: dict[str, Any] = {}
        self.lines: list[Facts] = []
        self.deadline = float("inf")
        self._started = time.monotonic()
        self._running: dict[str, subprocess.Popen] = {}
        self._stopped = False
        self._lock = threading.Lock()
        (results.parent / "logs").mkdir(parents=True, exist_ok=True)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def run_stage(self, tasks: Sequence[Task], at_once: int) -> None:
        """Run tasks, some at once. On Ctrl-C ends their processes and raises KeyboardInterrupt."""
        with ThreadPoolExecutor(at_once) as pool:
            try:
                left = {pool.submit(self.run, task) for task in tasks}
                while left:
                    # Windows answers Ctrl-C only between waits
                    done, left = wait(left, timeout=0.5)
                    for future in done:
                        future.result()
            except KeyboardInterrupt:
                self.stop()
                raise

    def run(self, task: Task) -> Facts:
        """Run one task, and add its line to `lines`, the screen and the results. Does nothing after `stop`."""
        started = self.seconds
        left = self.deadline - started
        if self._stopped:
            return {}
        if left < LEAST_SECONDS:
            facts: Facts = {"ok": None, "why": "no time was left"}
        else:
            facts = self._run_process(task, min(task.seconds, left))
            if self._stopped:
                return {}
        line = {"check": task.name, "ok": facts["ok"], "seconds": round(self.seconds - started, 1), **facts}
        with self._lock:
            self.lines.append(line)
            print(json.dumps(line, ensure_ascii=False), flush=True)
            # an editor may hold the file for now; the last write is at the end
            with as_warning(f"the newest {self.results.name}"):
                self.write()
        return line

    def _run_process(self, task: Task, limit: float) -> Facts:
        log = self.results.parent / "logs" / f"{task.name}.log"
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen([*self.command, task.name], stdout=file, stderr=file, **own_group())
            self._running[task.name] = process
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                end_processes(process)
                if limit < task.seconds:
                    return {"ok": None, "why": f"not done in the {limit:.0f} s that were left"}
                return {"ok": False, "why": f"not done after {limit:.0f} s"}
            finally:
                self._running.pop(task.name, None)
        path = line_path(self.folder, task.name)
        if code == 0 and path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return {"ok": False, "why": f"exit code {code}: {lines[-1][-300:] if lines else 'no output'}"}

    def stop(self) -> None:
        """End all processes; nothing more is begun."""
        self._stopped = True
        for process in list(self._running.values()):
            end_processes(process)

    def write(self) -> None:
        """Write the machine and all lines to `results`, whole or not at all. Raises RunError if something holds it."""
        found = {"machine": self.machine, "seconds": round(self.seconds, 1), "checks": self.lines}
        write_text(self.results, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def own_group() -> dict[str, Any]:
    """Return the options of Popen that put a process and its children in one group, which Ctrl-C does not reach."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def end_processes(process: subprocess.Popen) -> None:
    """End a process of `own_group` and its children."""
    if sys.platform == "win32":
        taskkill = shutil.which("taskkill")
        if taskkill:
            subprocess.run([taskkill, "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
