"""The tab for mistakes: wrong answers to validation photographs, and labels that are wrong instead."""

import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
import numpy as np

from common.errors import InputError, RunError
from common.progress import watched
from data.corrections import DROP, RELABEL, Decision
from data.table import ImageTable
from prediction.pipeline import Pipeline
from studio import html_parts as html
from studio.context import Studio
from studio.data_facts import Page, page_of
from studio.decisions import Own, decide, take_back
from studio.mistakes import (
    Mistake,
    Mistakes,
    ask,
    evaluation_folder,
    find_mistakes,
    kept_answers,
    of_class,
    of_pair,
    pairs_of,
    validation_names,
)
from studio.mistakes_view import PER_PAGE, decision_on, mistake_html, summary_html
from studio.paging import QUIET, Pager
from studio.try_view import labels_in_table

_NOTHING = Mistakes([], 0, 0)


@dataclass(frozen=True)
class _Slot:
    """The widgets of one mistake; `name` is that of the photograph which this window shows in it."""

    column: gr.Column
    content: gr.HTML
    name: gr.Textbox
    buttons: gr.Row
    relabel: gr.Button
    drop: gr.Button

    @property
    def outputs(self) -> list[Any]:
        return [self.column, self.content, self.name, self.buttons, self.relabel]


class _Known:
    """The mistakes of the model, which all visitors share once they are known."""

    def __init__(self, pipeline: Pipeline, table: ImageTable) -> None:
        self.pipeline, self.table = pipeline, table
        self.mistakes: Mistakes | None = None
        self._lock = threading.Lock()

    def look(self) -> Mistakes | None:
        """Return the mistakes if they are known, or `evaluate.py` has kept the answers."""
        # without the lock: a visitor who comes while the model is asked need not wait
        answers = kept_answers(self.pipeline) if self.mistakes is None else None
        if answers is not None:
            self.mistakes = find_mistakes(self.pipeline, self.table, answers)
        return self.mistakes

    def compute(self, names: list[str]) -> None:
        """Ask the model, unless another visitor did."""
        with self._lock:
            if self.mistakes is None:
                self.mistakes = find_mistakes(self.pipeline, self.table, ask(self.pipeline, self.table, names))

    def of(self, name: str) -> Mistake | None:
        """Return the mistake on a photograph."""
        return next((it for it in (self.mistakes or _NOTHING).found if it.name == name), None)


def build_mistakes(studio: Studio, pipeline: Pipeline, page: gr.Blocks) -> None:
    """Add the widgets of the tab to the open page."""
    say, table = studio.say, studio.table
    if table is None:
        gr.HTML(html.note(say("no_data")))
        return
    names = validation_names(pipeline, table)
    if not names:
        gr.HTML(html.note(say("no_validation")))
        return
    known = _Known(pipeline, table)
    with gr.Column(visible=False) as offer:
        folder, model = evaluation_folder(pipeline), pipeline.members[0].path
        gr.HTML(html.note(say("no_own_answers", folder=folder, model=model)))
        find = gr.Button(say("find_mistakes", count=len(names)), variant="primary", elem_id="find-mistakes")
    summary = gr.HTML(elem_id="mistakes-summary")
    with gr.Column(visible=False) as body:
        load = _add_body(studio, known)

    def look() -> tuple[dict, str, dict]:
        found = known.look()
        told = "" if found is None else summary_html(studio, found)
        return gr.update(visible=found is None), told, gr.update(visible=found is not None)

    def compute(progress: gr.Progress = gr.Progress()) -> tuple[dict, str, dict]:  # noqa: B008 - how gradio gives it
        try:
            with watched(lambda done, total: progress((done, total), desc=say("asking"))):
                known.compute(names)
        except (InputError, RunError) as error:
            return gr.update(), html.problem(str(error)), gr.update()
        return look()

    outputs = [offer, summary, body]
    load(page.load(look, None, outputs, **QUIET))
    load(find.click(compute, None, outputs, **QUIET))


def _add_body(studio: Studio, known: _Known) -> Any:
    """Add the filters and the mistakes of a page; return what shows the first page after an event."""
    say, classes = studio.say, known.pipeline.classes

    def pairs(label: int) -> dict:
        groups = pairs_of(of_class((known.mistakes or _NOTHING).found, label))
        choices = [(say("every_pair"), "")]
        for (true, predicted), group in groups.items():
            told = f"{classes[true].name} → {classes[predicted].name} ({len(group)})"
            choices.append((told, f"{true} {predicted}"))
        return gr.update(choices=choices, value="")

    def show(number: int, label: int, pair: str) -> tuple[str, Page]:
        chosen = of_pair(of_class((known.mistakes or _NOTHING).found, label), [int(word) for word in pair.split()])
        page = page_of(np.arange(len(chosen)), number, PER_PAGE)
        return "\n".join(chosen[row].name for row in page.items), page

    with gr.Row():
        choices = [(say("every_class"), -1), *((found.name, found.label) for found in classes)]
        label = gr.Dropdown(choices, value=-1, label=say("true_or_predicted"), elem_id="mistakes-class")
        pair = gr.Dropdown([(say("every_pair"), "")], value="", label=say("mistaken_pair"), elem_id="mistakes-pair")
    with gr.Row():
        told = gr.HTML(elem_id="mistakes-told")
        undo = gr.Button(say("undo_last"), elem_id="mistakes-undo", scale=0, min_width=160)
    # a state tells of its change wherever it is; a widget only while it is on the screen
    shown = gr.State("")
    own = gr.State(())
    with gr.Row():
        slots = [_add_slot(studio, place) for place in range(PER_PAGE)]
    pager = Pager(say, shown, show, [label, pair])
    for place, slot in enumerate(slots):
        fill = partial(_fill, studio, known, place)
        shown.change(fill, shown, slot.outputs, **QUIET)
        for action, button in ((RELABEL, slot.relabel), (DROP, slot.drop)):
            act = partial(_decided, studio, known, action)
            button.click(act, [own, slot.name], [told, own, slot.content, slot.buttons], **QUIET)
    undone = undo.click(lambda mine: take_back(studio, mine)[:2], own, [told, own], **QUIET)
    for place, slot in enumerate(slots):
        undone.then(partial(_fill, studio, known, place), shown, slot.outputs, **QUIET)
    pair.input(pager.first, pager.inputs, pager.outputs, **QUIET)

    def load(event: Any) -> None:
        event.then(pairs, label, pair, **QUIET).then(pager.first, pager.inputs, pager.outputs, **QUIET)

    load(label.input(lambda: None, None, None, **QUIET))
    return load


def _add_slot(studio: Studio, place: int) -> _Slot:
    say = studio.say
    with gr.Column(visible=False, min_width=340, elem_classes="kit-slot") as column:
        content = gr.HTML(elem_id=f"mistake-{place}")
        with gr.Row() as buttons:
            relabel = gr.Button(size="sm", elem_id=f"mistake-{place}-relabel", min_width=140)
            drop = gr.Button(say("wrong_photograph"), size="sm", elem_id=f"mistake-{place}-drop", min_width=140)
        name = gr.Textbox(visible="hidden")
    return _Slot(column, content, name, buttons, relabel, drop)


def _fill(studio: Studio, known: _Known, place: int, shown: str) -> tuple[Any, ...]:
    """Return the values of a slot's widgets; `shown` are the names of the page's photographs, one a line."""
    names = shown.split("\n") if shown else []
    mistake = known.of(names[place]) if place < len(names) else None
    if mistake is None:
        return gr.update(visible=False), "", "", gr.update(visible=False), gr.update()
    text, open_still = _content(studio, known, mistake)
    new_label = labels_in_table(known.table, known.pipeline)[mistake.predicted]
    button = studio.say("wrong_label", predicted=known.pipeline.classes[mistake.predicted].name)
    return (
        gr.update(visible=True),
        text,
        mistake.name,
        gr.update(visible=open_still),
        gr.update(value=button, visible=new_label is not None),
    )


def _decided(studio: Studio, known: _Known, action: str, own: Own, name: str) -> tuple[Any, ...]:
    mistake = known.of(name)
    if mistake is None:
        return "", own, gr.update(), gr.update()
    new_label = labels_in_table(known.table, known.pipeline)[mistake.predicted] if action == RELABEL else None
    message, own = decide(studio, Decision(name, action, new_label), own)
    text, open_still = _content(studio, known, mistake)
    return message, own, text, gr.update(visible=open_still)


def _content(studio: Studio, known: _Known, mistake: Mistake) -> tuple[str, bool]:
    """Return a mistake as HTML, and whether nobody has decided on it."""
    try:
        text = mistake_html(studio, known.pipeline, known.table, mistake)
        return text, decision_on(studio, mistake) is None
    except InputError as error:
        return html.problem(str(error)), False
