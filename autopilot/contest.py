"""A contest run: seven stages of commands, each recorded, so that the same call goes on after a kill."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autopilot.commands import Outcome, run_command, shown
from autopilot.journal import Journal
from autopilot.progress import STAGES, StageLine
from common.errors import InputError, RunError
from common.files import to_json, write_text
from common.locks import locked

# config keys that every command takes; the others are those of training
_EVERYWHERE = ("device=", "dataset.num_workers=")
_LIMITS = "competition."

FINISHED = "finished.json"


@dataclass(frozen=True)
class Request:
    """What the user asked for; `keys` are config keys, for the commands that take them."""

    source: Path
    hours: float
    output: Path = Path("results/compete")
    test: Path | None = None
    profile: str = "flower_2025"
    models: tuple[str, ...] = ()
    language: str = "en"
    keys: tuple[str, ...] = ()

    @property
    def common_keys(self) -> list[str]:
        """The keys that every command takes."""
        return [key for key in self.keys if key.startswith(_EVERYWHERE)]

    @property
    def limit_keys(self) -> list[str]:
        """The keys that change the limits of the contest."""
        return [key for key in self.keys if key.startswith(_LIMITS)]

    @property
    def training_keys(self) -> list[str]:
        """The keys of a training."""
        return [f"competition={self.profile}", *self.keys]


@dataclass
class Contest:
    """The request, the record of what was done, and the line that shows it."""

    request: Request
    journal: Journal
    line: StageLine
    notes: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where everything of the run is."""
        return self.request.output

    @property
    def data(self) -> Path:
        """The prepared data."""
        return self.folder / "data"

    def left_seconds(self) -> float:
        """Return the seconds that are left of the hours."""
        return 3600 * self.request.hours - self.journal.used_seconds()

    def note(self, text: str) -> None:
        """Print a sentence, and keep it for the summary."""
        self.notes.append(text)
        self.line.say(text)

    def run(self, step: str, command: Sequence[str], accepted: Sequence[int] = (0,)) -> Outcome:
        """Run a command, unless it is on record as done.

        Raises InputError if it refuses its input, and RunError if it ends with another code that is not accepted.
        """
        outcome = self.attempt(step, command, accepted)
        if outcome.exit_code == InputError.exit_code:
            raise InputError(outcome.problem)
        if outcome.exit_code not in accepted:
            raise RunError(
                f"{shown(command)} ended with exit code {outcome.exit_code}: {outcome.problem} Its output is in "
                f"{self.log_of(step)}. The same command goes on from here."
            )
        return outcome

    def attempt(self, step: str, command: Sequence[str], accepted: Sequence[int] = (0,)) -> Outcome:
        """Run a command, unless it is on record as done with these words; return how it ended.

        A failure is on record as done too, if the run went on after it.
        """
        command = [str(word) for word in command]
        done = self.journal.ended(step, command)
        if done is not None and (done["exit_code"] in accepted or done is not self.journal.entries[-1]):
            self.line.say(f"$ {shown(command)}\n  done before")
            return Outcome(done["exit_code"], done["last_lines"])
        self.line.say(f"$ {shown(command)}")
        self.journal.write("start", step, command)
        began = self.journal.used_seconds()

        def tick(text: str) -> None:
            self.journal.tick()
            self.line.show(text, self.journal.used_seconds())

        outcome = run_command(command, self.log_of(step), tick)
        seconds = round(self.journal.used_seconds() - began, 1)
        self.journal.write(
            "end", step, command, exit_code=outcome.exit_code, seconds=seconds, last_lines=outcome.last_lines
        )
        return outcome

    def log_of(self, step: str) -> Path:
        """Return where the output of a step is."""
        return self.folder / "logs" / f"{step}.log"

    def output_of(self, step: str) -> list[str]:
        """Return the lines that a step has printed."""
        return self.log_of(step).read_text(encoding="utf-8").splitlines()


@contextmanager
def opened(request: Request, line: StageLine) -> Iterator[Contest]:
    """Open the folder of a run, which nobody else may use meanwhile.

    Raises InputError if it is that of another request.
    """
    folder = request.output
    fresh = not folder.exists()
    try:
        with locked(folder, "another process", "Wait for it, or give another output."):
            _check_same_request(request)
            yield Contest(request, Journal(folder), line)
    except InputError:
        if fresh and line.stage in STAGES[: STAGES.index("train")]:
            # nothing half-made is left behind; what was trained is
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_same_request(request: Request) -> None:
    path = request.output / "request.json"
    words = {
        "source": str(request.source.resolve()),
        "test": None if request.test is None else str(request.test.resolve()),
        "hours": request.hours,
        "profile": request.profile,
        "models": list(request.models),
        "language": request.language,
        "keys": list(request.keys),
    }
    if not path.is_file():
        write_text(path, to_json(words))
        return
    saved = json.loads(path.read_text(encoding="utf-8"))
    other = [f"{name} (was {saved.get(name)})" for name, value in words.items() if saved.get(name) != value]
    if other:
        raise InputError(
            f"{request.output}: holds a run with other words: {', '.join(other)}. Give them, or another output."
        )


def finished(output: Path) -> dict[str, Any] | None:
    """Return the result of a finished run, None if there is none."""
    path = output / FINISHED
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


# what a training says when it fails: what may help, as the message itself advises
_REMEDIES = (
    (re.compile(r"out of memory|does not hold a single image", re.IGNORECASE), ("dataset.batch_size=auto",)),
    (re.compile(r"not finite|diverged", re.IGNORECASE), ("training.use_amp=false",)),
    (re.compile(r"worker processes|shared memory", re.IGNORECASE), ("dataset.num_workers=0",)),
)


def remedy_for(problem: str) -> list[str]:
    """Return the words that a failed training is tried with once more; none for a problem that is not known."""
    return next((list(words) for pattern, words in _REMEDIES if pattern.search(problem)), [])
