"""The record of a contest run: each command, how it ended, and the time that was used. It survives a kill."""

import json
import os
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import write_text

JOURNAL, CLOCK = "journal.jsonl", "clock.json"

_SECONDS_BETWEEN_TICKS = 2.0


class Journal:
    """`journal.jsonl` in a folder, one JSON object a line, and the clock beside it.

    The clock counts the seconds while a process works on the contest, not the breaks between.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self._clock = folder / CLOCK
        self.entries = _read_lines(self.path)
        self._used_before = float(_read(self._clock).get("used_seconds", 0.0))
        self._started = self._ticked = time.monotonic()

    def used_seconds(self) -> float:
        """Return the seconds used so far, those of earlier processes included."""
        return self._used_before + time.monotonic() - self._started

    def tick(self) -> None:
        """Write the clock, if that was some time ago."""
        if time.monotonic() - self._ticked >= _SECONDS_BETWEEN_TICKS:
            self._ticked = time.monotonic()
            write_text(self._clock, json.dumps({"used_seconds": round(self.used_seconds(), 1)}) + "\n")

    def started(self, step: str) -> list[str] | None:
        """Return the command with which a step was last begun, None if it never was."""
        return next((e["command"] for e in reversed(self.entries) if e["step"] == step), None)

    def begun_at(self, step: str, command: Sequence[str]) -> float:
        """Return the used seconds at which a step was begun that has not ended since; those of now if there is none."""
        begun = self.used_seconds()
        for entry in reversed(self.entries):
            if entry["step"] == step:
                if entry["event"] == "end" or entry["command"] != list(command):
                    break
                begun = entry["used_seconds"]
        return begun

    def has_done_something(self) -> bool:
        """Say whether a command has ended well."""
        return any(entry["event"] == "end" and entry["exit_code"] == 0 for entry in self.entries)

    def ended(self, step: str, command: Sequence[str] | None = None) -> dict[str, Any] | None:
        """Return the newest record of the end of a step, None if there is none; of `command` alone if it is given."""
        for entry in reversed(self.entries):
            if entry["step"] == step and entry["event"] == "end":
                return entry if command is None or entry["command"] == list(command) else None
        return None

    def seconds_of(self, step: str) -> float | None:
        """Return the seconds that a step took when it last ended."""
        entry = self.ended(step)
        return None if entry is None else entry["seconds"]

    def write(self, event: str, step: str, command: Sequence[str], **facts: Any) -> None:
        """Add an entry; it is on the disk when this returns."""
        entry = {
            "event": event,
            "step": step,
            "command": list(command),
            "time": datetime.now().isoformat(timespec="seconds"),
            "used_seconds": round(self.used_seconds(), 1),
            **facts,
        }
        self.entries.append(entry)
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            # ASCII, so that a cut line is still text
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._ticked = 0.0
        self.tick()


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the entries; a last line that a kill has cut is left out, and taken out of the file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise InputError(f"{path}: line {number} is damaged. Give another output folder.") from error
            write_text(path, "".join(f"{whole}\n" for whole in lines[:-1]))
    return entries
