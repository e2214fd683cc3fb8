"""What a visitor decides on labels: written to corrections.csv, told in a sentence, taken back."""

from pathlib import Path

from common.errors import InputError, RunError
from data.corrections import (
    DROP,
    KEEP,
    RELABEL,
    Decision,
    classes_of,
    decide_first,
    newest,
    read_decisions,
    undo_decision,
)
from studio import html_parts as html
from studio.context import Studio
from studio.texts import Say

# key of the sentence that tells of a decision
_DONE = {KEEP: "was_kept", RELABEL: "was_relabelled", DROP: "was_dropped"}

# of one visitor, oldest first
Own = tuple[Decision, ...]


def decide(studio: Studio, decision: Decision, own: Own) -> tuple[str, Own]:
    """Write a decision unless the image has one; return what happened, as HTML, and the visitor's decisions."""
    folder = _folder(studio)
    try:
        counts, written = decide_first(folder, decision)
    except (InputError, RunError) as error:
        return html.problem(str(error)), own
    told = sentence(folder, counts, studio.say)
    if not written:
        return html.problem(studio.say("decided_already", decision=told)), own
    return html.note(told), (*own, counts)


def take_back(studio: Studio, own: Own) -> tuple[str, Own, str | None]:
    """Take back the visitor's last decision; return what happened, the decisions left, and the id of the image."""
    if not own:
        return html.note(studio.say("nothing_to_undo")), own, None
    try:
        undone = undo_decision(_folder(studio), own[-1])
    except (InputError, RunError) as error:
        return html.problem(str(error)), own, None
    if undone is None:
        return html.problem(studio.say("undone_elsewhere", name=own[-1].image_id)), own[:-1], None
    return html.note(studio.say("undone", name=undone.image_id)), own[:-1], undone.image_id


def decisions_by_image(studio: Studio) -> dict[str, Decision]:
    """Return the decision that counts for each image id. Raises InputError as `read_decisions`."""
    return newest(read_decisions(_folder(studio)))


def sentence(folder: Path, decision: Decision, say: Say) -> str:
    """Return a decision in words."""
    name = "" if decision.label is None else classes_of(folder)[decision.label].name
    return say(_DONE[decision.action], image=decision.image_id, name=name)


def _folder(studio: Studio) -> Path:
    assert studio.labels is not None
    return studio.labels
