"""Commands of the kit as child processes: their output goes to a log, their last line is shown."""

import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autopilot.child import LOCK

REPOSITORY = Path(__file__).resolve().parents[1]

INTERRUPTED = 130

# lines of a command's end that its error may be among
_LAST_LINES = 12

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code (negative: the signal that ended it), and its last lines."""

    exit_code: int
    last_lines: list[str]

    @property
    def problem(self) -> str:
        """The line that says what is wrong, else the last one."""
        if self.exit_code < 0:
            return f"the system ended it (signal {-self.exit_code}), as it does when memory is full"
        errors = [line for line in self.last_lines if line.startswith("error:") or "Error:" in line]
        return (errors or self.last_lines or ["no output"])[-1].removeprefix("error:").strip()


def shown(command: Sequence[str]) -> str:
    """Return a command as a user types it in the folder of the kit."""
    return " ".join(["python", *map(shlex.quote, command)])


def run_command(command: Sequence[str], log: Path, tick: Callable[[str], None], lock: Path | None = None) -> Outcome:
    """Run a script of the kit with its words; add its output to `log`. The file `lock` is locked while it runs.

    `tick` gets the newest line about once a second. Ctrl-C and SIGTERM reach the script, which may take some seconds to
    save its state; then KeyboardInterrupt is raised.
    """
    script, *words = command
    log.parent.mkdir(parents=True, exist_ok=True)
    stops: list[int] = []
    handlers = {number: signal.signal(number, lambda number, frame: stops.append(number)) for number in _SIGNALS}
    process = subprocess.Popen(
        [sys.executable, "-m", "autopilot.child", str(REPOSITORY / script), *words],
        env={**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": _python_path(), **({LOCK: str(lock)} if lock else {})},
        # the child ends when nobody holds this pipe any more
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {shown(command)}\n")
            last_lines = _follow(process, file.write, tick, stops)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    code = process.wait()
    if stops or code == INTERRUPTED:
        raise KeyboardInterrupt
    return Outcome(code, last_lines)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _python_path() -> str:
    return os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])


def _follow(
    process: subprocess.Popen, write: Callable[[str], object], tick: Callable[[str], None], stops: list[int]
) -> list[str]:
    """Read the output to its end; return the last lines. A stop is passed on once."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(_COLOURS.sub("", line))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    last_lines: list[str] = []
    passed_on = False
    while True:
        if stops and not passed_on:
            passed_on = True
            # Ctrl-C has reached the child by itself; on Windows this would end it at once
            if os.name != "nt":
                process.terminate()
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            tick(last_lines[-1] if last_lines else "")
            continue
        if line is None:
            return last_lines
        write(line)
        if line.strip():
            last_lines = [*last_lines, line.strip()][-_LAST_LINES:]
            tick(last_lines[-1])
