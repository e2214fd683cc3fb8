"""One rule and how it was kept: what the gate prints, in a table or as JSON, and what decides its exit code."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDEST_TABLE = 400


@dataclass(frozen=True)
class Check:
    """A rule, whether it was kept (None: could not be checked), the figure found, and what is allowed."""

    rule: str
    passed: bool | None
    figure: str
    limit: str = ""


def failed(checks: Sequence[Check]) -> list[Check]:
    """Return the rules that are broken."""
    return [check for check in checks if check.passed is False]


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the checks as plain values."""
    return {"passed": not failed(checks), "checks": [asdict(check) for check in checks]}


def print_checks(checks: Sequence[Check]) -> None:
    """Print the checks as a table, a line each."""
    table = Table(box=SIMPLE_HEAD)
    for heading in ("", "rule", "found", "allowed"):
        table.add_column(heading, no_wrap=True)
    words = {True: Text("pass", "green"), False: Text("FAIL", "bold red"), None: Text("-", "dim")}
    for check in checks:
        table.add_row(words[check.passed], check.rule, Text(check.figure), Text(check.limit))
    # a narrow terminal wraps lines; nothing is cut off
    Console(width=_WIDEST_TABLE).print(table, soft_wrap=True)
