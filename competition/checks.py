"""One rule of a contest and whether it was kept."""

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
