"""One rule and how it was kept: what the gate prints, in a table or as JSON, and what decides its exit code."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


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
    """Print a line a check: pass, FAIL or - (not checked), the rule, the figure, and what is allowed."""
    width = max(len(check.rule) for check in checks)
    words = {True: "pass", False: "FAIL", None: "-"}
    for check in checks:
        allowed = f"   [{check.limit}]" if check.limit else ""
        print(f"{words[check.passed]:<4}  {check.rule:<{width}}  {check.figure}{allowed}")
