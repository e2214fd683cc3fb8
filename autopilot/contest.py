"""A contest run: seven stages of commands, each recorded, so that the same call goes on after a kill."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from autopilot.child import SECONDS_TO_SAVE
from autopilot.commands import Outcome, run_command, shown
from autopilot.journal import CLOCK, JOURNAL, Journal
from autopilot.progress import STAGES, StageLine
from common.errors import InputError, RunError
from common.files import to_json, write_text
from common.locks import locked

# config keys that every command takes; the others are those of training
_EVERYWHERE = ("device=", "dataset.num_workers=")
_LIMITS = "competition."

FINISHED, REQUEST, CHILD_LOCK = "finished.json", "request.json", ".child.lock"

# says whether an exit code is a good one
IsWell = Callable[[int], bool]


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


def succeeded(code: int) -> bool:
    """Say whether an exit code is that of success."""
    return code == 0


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

    def run(self, step: str, command: Sequence[str], is_well: IsWell = succeeded) -> Outcome:
        """Run a command, unless it is on record as done; `is_well` says which exit codes are good.

        Raises InputError if it refuses its input, and RunError if it ends otherwise.
        """
        outcome = self.attempt(step, command, is_well)
        if is_well(outcome.exit_code):
            return outcome
        if outcome.exit_code == InputError.exit_code:
            raise InputError(outcome.problem)
        raise RunError(
            f"{shown(command)} ended with exit code {outcome.exit_code}: {outcome.problem} Its output is in "
            f"{self.log_of(step)}. The same command goes on from here."
        )

    def attempt(self, step: str, command: Sequence[str], is_well: IsWell = succeeded) -> Outcome:
        """Run a command, unless it is on record as done with these words; return how it ended.

        A failure is on record as done too, if the run went on after it.
        """
        command = [str(word) for word in command]
        done = self.journal.ended(step, command)
        if done is not None and (is_well(done["exit_code"]) or done is not self.journal.entries[-1]):
            self.line.say(f"$ {shown(command)}\n  done before")
            return Outcome(done["exit_code"], done["last_lines"])
        self.line.say(f"$ {shown(command)}")
        begun = self.journal.begun_at(step, command)
        self.journal.write("start", step, command)

        def tick(text: str) -> None:
            self.journal.tick()
            self.line.show(text, self.journal.used_seconds())

        outcome = run_command(command, self.log_of(step), tick, self.folder / CHILD_LOCK)
        self.journal.write(
            "end",
            step,
            command,
            exit_code=outcome.exit_code,
            seconds=round(self.journal.used_seconds() - begun, 1),
            last_lines=outcome.last_lines,
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

    Raises InputError if it is that of another request. After an InputError before anything was done, such as that of a
    wrong source, nothing of the run is left.
    """
    folder = request.output
    fresh = not folder.exists()
    try:
        with locked(folder, "another process", "Wait for it, or give another output."):
            check_same_request(request)
            write_text(folder / REQUEST, to_json(_words(request)))
            _wait_for_child(folder, line)
            contest = Contest(request, Journal(folder), line)
            had_begun = contest.journal.has_done_something()
            try:
                yield contest
            except InputError:
                if not had_begun and line.stage in STAGES[: STAGES.index("train")]:
                    _remove(folder)
                raise
    finally:
        if fresh and not (folder / REQUEST).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Remove what a run writes before it trains, but not what else a user may have in the folder."""
    for name in (REQUEST, JOURNAL, CLOCK, CHILD_LOCK, "shortlist.json", "plan.json"):
        (folder / name).unlink(missing_ok=True)
    for name in ("data", "audit", "logs"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _wait_for_child(folder: Path, line: StageLine) -> None:
    """Wait until the command of a killed run has saved its state and ended."""
    lock = FileLock(folder / CHILD_LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        line.say("The command of the run before is still saving; this waits for it.")
        try:
            lock.acquire(timeout=2 * SECONDS_TO_SAVE)
        except Timeout as error:
            raise InputError(
                f"{folder}: a command of the run before still works there. End it, then try again."
            ) from error
    lock.release()


def _words(request: Request) -> dict[str, Any]:
    return {
        "source": str(request.source.resolve()),
        "hours": request.hours,
        "profile": request.profile,
        "models": list(request.models),
        "language": request.language,
        "keys": list(request.keys),
    }


def check_same_request(request: Request) -> None:
    """Raise InputError if the folder is that of another request; the images to predict may be others."""
    path = request.output / REQUEST
    if not path.is_file():
        return
    saved = json.loads(path.read_text(encoding="utf-8"))
    other = [f"{name} (was {saved.get(name)})" for name, value in _words(request).items() if saved.get(name) != value]
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
    (
        re.compile(r"out of memory|memory is full|does not hold a (single image|training step)", re.IGNORECASE),
        ("dataset.batch_size=auto",),
    ),
    (re.compile(r"not finite|diverged", re.IGNORECASE), ("training.use_amp=false",)),
    (re.compile(r"worker processes|shared memory", re.IGNORECASE), ("dataset.num_workers=0",)),
)


def remedy_for(problem: str) -> list[str]:
    """Return the words that a failed training is tried with once more; none for a problem that is not known."""
    return next((list(words) for pattern, words in _REMEDIES if pattern.search(problem)), [])
