"""Goals of speed and memory, and the tables at the end."""

from collections.abc import Mapping, Sequence
from typing import Any

# p95 in ms of ConvNeXt-Base with two views at 600 px, by a part of the card's name
LATENCY_GOALS = {"H100": 20.0, "RTX 3060": 60.0}

_WORDS = {True: "ok", False: "FAILED", None: "skipped"}
_GOAL_WORDS = {True: "pass", False: "FAIL", None: "not judged"}


def at_least(name: str, value: float | None, limit: float) -> dict[str, Any]:
    """Return a goal that is reached from `limit` upwards; None is not judged."""
    return _goal(name, value, f">= {limit:g}", None if value is None else value >= limit)


def at_most(name: str, value: float | None, limit: float | None) -> dict[str, Any]:
    """Return a goal that is reached up to `limit`; without a value or a limit it is not judged."""
    passed = None if value is None or limit is None else value <= limit
    return _goal(name, value, "none for this card" if limit is None else f"<= {limit:g}", passed)


def near_one(name: str, ratio: float | None, share: float) -> dict[str, Any]:
    """Return a goal for a ratio that may differ from 1 by `share`; None is not judged."""
    passed = None if ratio is None else 1 - share <= ratio <= 1 + share
    return _goal(name, ratio, f"{1 - share:g} to {1 + share:g}", passed)


def _goal(name: str, value: float | None, limit: str, passed: bool | None) -> dict[str, Any]:
    return {"goal": name, "value": value, "limit": limit, "passed": passed}


def latency_goal(card: str) -> float | None:
    """Return the goal of a card in ms, None for one without."""
    return next((limit for part, limit in LATENCY_GOALS.items() if part in card), None)


def tables(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the checks and that of the goals."""
    checks = [
        (line["check"], _WORDS[line["ok"]], f"{line['seconds']:.0f}", line.get("why") or line.get("summary", ""))
        for line in lines
    ]
    goals = [
        (goal["goal"], "-" if goal["value"] is None else f"{goal['value']:.2f}", goal["limit"], passed_word(goal))
        for line in lines
        for goal in line.get("goals", ())
    ]
    parts = [_table(("check", "result", "s", "found"), checks)]
    if goals:
        parts.append(_table(("goal", "value", "limit", "result"), goals))
    return "\n\n".join(parts)


def passed_word(goal: Mapping[str, Any]) -> str:
    """Return the word for how a goal ended."""
    return _GOAL_WORDS[goal["passed"]]


def verdict(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the last line: how many checks and goals ended how."""
    counts = {word: sum(_WORDS[line["ok"]] == word for line in lines) for word in _WORDS.values()}
    goals = [goal for line in lines for goal in line.get("goals", ())]
    ends = {word: sum(passed_word(goal) == word for goal in goals) for word in _GOAL_WORDS.values()}
    told = [f"{number} {word}" for word, number in counts.items() if number]
    reached = [f"{number} {word}" for word, number in ends.items() if number]
    return f"{len(lines)} checks: {', '.join(told)}" + (f"; {len(goals)} goals: {', '.join(reached)}" if goals else "")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads) - 1)]
    lines = []
    for row in [heads, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        # an error may have several lines
        lines.append("  ".join([*cells, " ".join(row[-1].split())]).rstrip())
    return "\n".join(lines)
