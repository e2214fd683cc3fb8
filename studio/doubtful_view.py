"""What the tab for doubtful labels shows, as HTML; knows nothing of gradio."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from common.errors import InputError
from data.corrections import classes_of
from data.table import ImageTable
from studio import html_parts as html
from studio.context import Studio
from studio.decisions import Own, decisions_by_image
from studio.doubtful import Doubt, examples, next_doubt, read_doubts
from tools.label_errors import SAME_PICTURE

EXAMPLES = 6


@dataclass(frozen=True)
class Visit:
    """What one visitor did: images that they skipped, in order, and their decisions."""

    skipped: tuple[str, ...] = ()
    own: Own = ()


@dataclass(frozen=True)
class View:
    """What is shown: how far the work is, as HTML; the photograph and its classes, as HTML; the doubt, or None."""

    progress: str
    content: str
    doubt: Doubt | None


def view(studio: Studio, table: ImageTable, labels: Path, visit: Visit, wanted: str | None = None) -> View:
    """Return what a visitor sees next; `wanted` is the id of an image that comes first."""
    say = studio.say
    try:
        listed = read_doubts(studio.audit, labels)
        decided = decisions_by_image(studio)
    except InputError as error:
        return View("", html.problem(str(error)), None)
    if listed is None:
        return View("", _how_to_audit(studio), None)
    doubts, strange = listed
    other = html.problem(say("other_data", count=strange, folder=studio.audit)) if strange else ""
    if not doubts:
        return View("", other + (_how_to_audit(studio) if strange else html.note(say("no_doubts"))), None)
    done = sum(doubt.image_id in decided for doubt in doubts)
    skipped = [name for name in visit.skipped if name not in decided]
    progress = html.progress(say("decided", done=done, all=len(doubts)), done / len(doubts))
    if skipped:
        progress += html.note(say("skipped", count=len(skipped)))
    asked = next((it for it in doubts if it.image_id == wanted and wanted not in decided), None)
    doubt = asked or next_doubt(doubts, decided, skipped)
    if doubt is None:
        return View(other + progress, html.note(say("all_decided")), None)
    return View(other + progress, _doubt_html(studio, table, labels, doubt, doubts), doubt)


def after_skip(visit: Visit, image_id: str) -> Visit:
    """Return the visit with an image skipped, as the last one."""
    return Visit((*(name for name in visit.skipped if name != image_id), image_id), visit.own)


def _how_to_audit(studio: Studio) -> str:
    say = studio.say
    root, output = _quoted(f"dataset.root={studio.data}"), _quoted(str(studio.audit))
    model = "model=efficientnet_lite0 model.input_size=224"
    command = f"python cli/flower_cli.py audit --label-errors {model} {root} --output {output}"
    told = html.note(say("no_list", folder=studio.audit))
    return f'{told}<pre class="kit-command">{escape(command)}</pre>{html.note(say("list_hint"))}'


def _quoted(word: str) -> str:
    # quotation marks that every shell knows, Windows' too
    return word if re.fullmatch(r"[\w./=:\\-]+", word) else f'"{word}"'


def _doubt_html(studio: Studio, table: ImageTable, labels: Path, doubt: Doubt, doubts: Sequence[Doubt]) -> str:
    say, classes = studio.say, classes_of(labels)
    photograph = studio.thumbnails.whole(table.image_dir / doubt.name)
    doubtful = {it.name for it in doubts}
    sides = ""
    for key, label, share in (
        ("given_label", doubt.label, doubt.given_probability),
        ("suggested_label", doubt.suggested, doubt.suggested_probability),
    ):
        names = examples(table, label, doubtful, EXAMPLES)
        sources = [(studio.thumbnails.source(table.image_dir / name), [name]) for name in names]
        title = say(key, name=classes[label].name, share=f"{100 * share:.1f} %")
        shown = html.strip(sources) if sources else html.note(say("no_examples"))
        sides += f"<h3>{escape(title)}</h3>{shown}"
    reason = say("reason_copy" if doubt.reason == SAME_PICTURE else "reason_model")
    return (
        f'<div class="kit-columns"><div>{html.image(photograph, "kit-photograph", doubt.image_id)}'
        f"{html.note(f'{doubt.image_id}: {reason}')}</div><div class='kit-wide'>{sides}</div></div>"
    )
