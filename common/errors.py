"""The two errors shown to users, each one or two plain sentences: what is wrong, where, what to do."""

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class InputError(Exception):
    """Bad usage or bad input: a wrong key, a missing folder, a file that is not what it should be. Exit code 2."""

    exit_code = 2


class RunError(Exception):
    """The input was acceptable, but the work failed or a rule is broken. Exit code 1.

    `result` holds the figures that were found before it failed, if there are any.
    """

    exit_code = 1

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


def print_warning(text: str) -> None:
    """Print a warning where it does not mix with results."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


@contextmanager
def as_warning(what: str, say: Callable[[str], object] = print_warning) -> Iterator[None]:
    """Do what is worth less than the work around it, such as a figure: whatever it raises becomes one line for `say`.

    `what` names it: `the picture worst_pairs.png`.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - matplotlib, its fonts and TensorBoard raise anything
        reason = " ".join(str(error).split())[:300]
        kind = "" if isinstance(error, InputError | RunError) else f"{type(error).__name__}: "
        say(f"{what} is missing: {kind}{reason}")


def check_choice(what: str, value: object, choices: Iterable[str]) -> None:
    """Raise InputError if `value` is none of `choices`; `what` names it in the sentence, as in `device=gpu`."""
    known = list(choices)
    if value not in known:
        raise InputError(f"{what}:{did_you_mean(str(value), known)} Choose from {', '.join(known)}.")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the choice closest to `word`, or an empty string if none is close."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
