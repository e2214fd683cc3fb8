"""flower_cli.py correct: decisions on doubtful labels, in corrections.csv beside train.csv."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.entry import is_config_key, show

if TYPE_CHECKING:
    from common.classes import ImageClass
    from data.corrections import Decision

HELP = "decide on doubtful labels: dataset.root=... with --drop, --relabel or --keep; train.csv stays as it is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("--drop", nargs="+", metavar="ID", help="leave these images out of every table")
    # a word such as rose.jpg=3 looks like a key of the config, so that it is not found here
    one.add_argument(
        "--relabel", nargs="*", metavar="ID=LABEL", help="give these images other labels, by name or number of a class"
    )
    one.add_argument("--keep", nargs="+", metavar="ID", help="the labels are right; the audit does not list them again")
    one.add_argument("--undo", action="store_true", help="take back the last decision")
    one.add_argument("--list", action="store_true", help="print all decisions, the oldest first")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Write, take back or list decisions, and print them."""
    from common.errors import InputError
    from configs.compose import compose
    from data.corrections import append_decisions, classes_of, read_decisions, undo_decision
    from data.prepared import training_table

    pairs = [word for word in overrides if not is_config_key(word)]
    if pairs and arguments.relabel is None:
        raise InputError(f"{pairs[0]}: is no key of the config; a new label needs --relabel.")
    words = [word for word in overrides if is_config_key(word)]
    folder = training_table(compose("config", words).dataset).parent
    if arguments.undo:
        undone = undo_decision(folder)
        lines = ["There is no decision to take back."] if undone is None else describe([undone], classes_of(folder))
        show([f"taken back: {lines[0]}" if undone else lines[0]])
        return 0
    if arguments.list:
        decisions = read_decisions(folder)
        show(describe(decisions, classes_of(folder)) if decisions else [f"There are no decisions in {folder}."])
        return 0
    show(describe(append_decisions(folder, _wanted(arguments, pairs, folder)), classes_of(folder)))
    print("Training, evaluation and audit apply them; --undo takes back the last one.")
    return 0


def describe(decisions: Sequence[Decision], classes: Sequence[ImageClass]) -> list[str]:
    """Return a line for each decision."""
    return [
        f"{it.time}  {it.action:<8} {it.image_id}"
        + ("" if it.label is None else f" to {classes[it.label].name} ({it.label})")
        for it in decisions
    ]


def _wanted(arguments: argparse.Namespace, pairs: Sequence[str], folder: Path) -> list[Decision]:
    from common.errors import InputError
    from data.corrections import DROP, KEEP, RELABEL, Decision, classes_of

    if arguments.relabel is None:
        action = KEEP if arguments.drop is None else DROP
        return [Decision(image_id, action) for image_id in arguments.drop or arguments.keep]
    classes, decisions = classes_of(folder), []
    for word in [*arguments.relabel, *pairs]:
        image_id, sign, text = word.rpartition("=")
        if not sign:
            raise InputError(f"{word}: write ID=LABEL, such as rose/1.jpg=tulip.")
        decisions.append(Decision(image_id, RELABEL, _label_of(text, classes)))
    if not decisions:
        raise InputError("--relabel needs ID=LABEL, such as rose/1.jpg=tulip.")
    return decisions


def _label_of(text: str, classes: Sequence[ImageClass]) -> int:
    """Return the label of a class by its name, else by its label: names may be numbers, too. Raises InputError."""
    from common.errors import InputError, did_you_mean

    named = [it.label for it in classes if it.name == text]
    if len(named) > 1:
        raise InputError(f"{text}: is the name of the labels {', '.join(map(str, named))}; give one of these.")
    numbered = [it.label for it in classes if str(it.label) == text]
    if not named and not numbered:
        raise InputError(
            f"{text}: no class has this name or label.{did_you_mean(text, [it.name for it in classes])} "
            f"The labels are 0 to {len(classes) - 1}."
        )
    return [*named, *numbered][0]
