"""The tab for doubtful labels: a photograph at a time, decided by a key or a button."""

from functools import partial
from typing import Any

import gradio as gr

from data.corrections import DROP, KEEP, RELABEL, Decision, classes_of
from studio import html_parts as html
from studio.context import Studio
from studio.decisions import decide, take_back
from studio.doubtful_view import Visit, after_skip, view
from studio.paging import QUIET

# keys press the buttons, if these are on the screen and no field wants the keys
_KEYS = """
() => {
  const buttons = {1: "keep", 2: "relabel", 3: "drop", 4: "skip", u: "undo", U: "undo", Backspace: "undo"};
  document.addEventListener("keydown", (event) => {
    const at = document.activeElement, pressed = buttons[event.key];
    if (!pressed || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (at && (at.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(at.tagName))) return;
    const button = document.getElementById(`doubtful-${pressed}`);
    if (!button || button.offsetParent === null) return;
    event.preventDefault();
    button.click();
  });
}
"""

# after a choice the keys count again
_LEAVE_FIELD = "() => document.activeElement.blur()"


def build_doubtful(studio: Studio, page: gr.Blocks) -> None:
    """Add the widgets of the tab to the open page."""
    say, table, labels = studio.say, studio.table, studio.labels
    if table is None or labels is None:
        gr.HTML(html.note(say("no_data")))
        return
    names = [found.name for found in classes_of(labels)]
    visit = gr.State(Visit())
    progress = gr.HTML(elem_id="doubtful-progress")
    content = gr.HTML(elem_id="doubtful")
    with gr.Row(equal_height=True, visible=False) as buttons:
        keep = gr.Button(say("keep"), elem_id="doubtful-keep", min_width=110)
        relabel = gr.Button(variant="primary", elem_id="doubtful-relabel", min_width=220)
        drop = gr.Button(say("drop"), elem_id="doubtful-drop", min_width=110)
        skip = gr.Button(say("skip"), elem_id="doubtful-skip", min_width=110)
    with gr.Row(elem_classes="kit-controls"):
        choices = [(name, label) for label, name in enumerate(names)]
        new_label = gr.Dropdown(choices, label=say("new_label"), visible=False, elem_id="doubtful-class", scale=2)
        undo = gr.Button(say("undo"), elem_id="doubtful-undo", min_width=110)
        again = gr.Button(say("read_again"), elem_id="doubtful-again", min_width=110)
    told = gr.HTML(elem_id="doubtful-told")
    gr.HTML(html.note(say("keys")))
    # the image that this window shows, which a decision is about, whatever other windows do
    shown = gr.Textbox(visible="hidden", elem_id="doubtful-shown")
    outputs = [told, visit, progress, content, shown, buttons, new_label, relabel]

    def show(visited: Visit, message: str = "", wanted: str | None = None) -> tuple[Any, ...]:
        seen = view(studio, table, labels, visited, wanted)
        there = seen.doubt is not None
        image_id, label = (seen.doubt.image_id, seen.doubt.suggested) if seen.doubt else ("", None)
        return (
            message,
            visited,
            seen.progress,
            seen.content,
            image_id,
            gr.update(visible=there),
            gr.update(value=label, visible=there),
            _name_of_button(label),
        )

    def _name_of_button(label: int | None) -> str:
        return "" if label is None else say("relabel", name=names[label])

    def decided(action: str, visited: Visit, image_id: str, label: int | None) -> tuple[Any, ...]:
        if not image_id:
            return show(visited)
        decision = Decision(image_id, action, label if action == RELABEL else None)
        message, own = decide(studio, decision, visited.own)
        return show(Visit(visited.skipped, own), message)

    def undone(visited: Visit) -> tuple[Any, ...]:
        message, own, image_id = take_back(studio, visited.own)
        return show(Visit(visited.skipped, own), message, image_id)

    inputs: list[Any] = [visit, shown, new_label]
    for action, button in ((KEEP, keep), (RELABEL, relabel), (DROP, drop)):
        button.click(partial(decided, action), inputs, outputs, **QUIET)
    skip.click(lambda visited, image_id: show(after_skip(visited, image_id)), [visit, shown], outputs, **QUIET)
    undo.click(undone, visit, outputs, **QUIET)
    again.click(show, visit, outputs, **QUIET)
    new_label.input(_name_of_button, new_label, relabel, **QUIET)
    new_label.select(None, None, None, js=_LEAVE_FIELD, **QUIET)
    page.load(show, visit, outputs, **QUIET)
    page.load(None, None, None, js=_KEYS, **QUIET)
