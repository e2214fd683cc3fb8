"""One line that shows stage, time used and time left; lines of JSON for machines."""

import json
import sys
import time

from common.progress import clock

# where there is no terminal
SECONDS_BETWEEN_LINES = 30

STAGES = ("look", "hold back", "shortlist", "plan", "train", "choose", "deliver")


class StageLine:
    """Shows where a contest run is. `as_json` writes an object a line to standard output instead."""

    def __init__(self, hours: float, as_json: bool) -> None:
        self.seconds = 3600 * hours
        self.as_json = as_json
        self.stage = STAGES[0]
        self._terminal = not as_json and sys.stderr.isatty()
        self._shown = float("-inf")

    def enter(self, stage: str) -> None:
        """Say that a stage begins."""
        self.stage = stage
        if not self.as_json:
            self.say(f"\nStage {STAGES.index(stage) + 1} of {len(STAGES)}: {stage}")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self.as_json:
            self._write_json("message", text.strip(), None)
            return
        self._clear()
        print(text, flush=True)

    def show(self, text: str, used_seconds: float) -> None:
        """Show the line of now, with what a command says last."""
        pause = 1 if self._terminal else 5 if self.as_json else SECONDS_BETWEEN_LINES
        if time.monotonic() - self._shown < pause:
            return
        self._shown = time.monotonic()
        if self.as_json:
            self._write_json("progress", text, used_seconds)
            return
        left = max(self.seconds - used_seconds, 0)
        line = f"[{self.stage}] used {clock(used_seconds)}, left {clock(left)}  {text}"
        if self._terminal:
            self._clear()
            print(line[:110], end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._terminal:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)

    def _write_json(self, event: str, text: str, used_seconds: float | None) -> None:
        facts = {"event": event, "stage": self.stage, "text": text}
        if used_seconds is not None:
            facts |= {
                "used_seconds": round(used_seconds, 1),
                "left_seconds": round(max(self.seconds - used_seconds, 0), 1),
            }
        print(json.dumps(facts, ensure_ascii=False), flush=True)
