"""flower_cli.py tune: a search for the best values of keys."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.early_checks import check_search

if TYPE_CHECKING:
    from tools.search_results import Search

HELP = "search values of keys with Optuna: key=low..high is a range, key=a,b,c are choices, key=value stays fixed"

SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--trials",
        type=int,
        default=20,
        metavar="N",
        help="finished and pruned trials of the search (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="start no trial after M minutes; the running one ends (default: none)",
    )
    parser.add_argument("--output", type=Path, default=Path("results/tune"), help="default: %(default)s")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Train the trials that are missing; the same command continues a search. 1 if all failed."""
    from cli.entry import show
    from common.errors import InputError

    if arguments.trials < 1:
        raise InputError("--trials: expected at least 1.")
    if arguments.minutes is not None and not arguments.minutes > 0:
        raise InputError("--minutes: expected more than 0.")
    check_search(overrides, arguments.output)

    from tools.tune import tune

    found = tune(overrides, arguments.trials, arguments.minutes, arguments.output)
    show(["", *describe(found)])
    if found.interrupted:
        raise KeyboardInterrupt
    return 1 if found.all_failed else 0


def describe(found: Search) -> list[str]:
    """Return the best trials, how many there are, what the figures are worth, and the command of the best."""
    states = [trial.state for trial in found.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    lines = [*_table(found), f"trials      {counts or 'none'}; all in {found.table}"]
    if found.importance is None:
        lines.append(f"importance  not drawn: {found.no_importance}")
    else:
        lines.append(f"importance  {found.importance}")
    failed = next((trial for trial in found.trials if trial.state == "failed"), None)
    if failed is not None:
        lines.append(f"failed      first trial {failed.number}: {failed.problem}")
    best = found.best
    if best is None or found.command is None:
        return [*lines, "No trial has finished, so there is no best one."]
    less = f"at least {100 * found.flattery:.2f} points" if found.flattery > 0 else "a little"
    return [
        *lines,
        "note: the validation images chose the best trial and its epoch, so its top-1 is optimistic; "
        f"expect {less} less on new images.",
        f"Best model: {best.output_dir / 'checkpoints' / 'best_model.pt'}",
        f"The same again: {found.command}",
    ]


def _table(found: Search) -> list[str]:
    finished = [trial for trial in found.trials if trial.state == "finished" and trial.top1 is not None]
    if not finished:
        return []
    lines = ["trial  top-1 %  best epoch  minutes  overrides"]
    for trial in finished[:SHOWN]:
        minutes = "" if trial.minutes is None else f"{trial.minutes:.1f}"
        lines.append(
            f"{trial.number:>5}  {100 * (trial.top1 or 0.0):>7.2f}  {trial.best_epoch:>10}  {minutes:>7}  "
            f"{' '.join(trial.words)}"
        )
    return lines
