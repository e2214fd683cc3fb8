"""Two buttons that turn pages, and the line between them."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from studio.data_facts import Page
from studio.texts import Say

# gives what is shown of a page, from the page's number and the values of further widgets
Show = Callable[..., tuple[str, Page]]


class Pager:
    """The buttons, and the number of the shown page, which each visitor has of their own."""

    def __init__(self, say: Say, shown: Component, show: Show, inputs: Sequence[Any]) -> None:
        self.say = say
        self.show = show
        with gr.Row(elem_classes="kit-pager", visible=False) as row:
            back = gr.Button(say("earlier"), size="sm", min_width=80)
            self.line = gr.HTML()
            later = gr.Button(say("later"), size="sm", min_width=80)
        self.number = gr.State(1)
        self.inputs = [self.number, *inputs]
        self.outputs = [shown, self.line, self.number, row]
        back.click(lambda number, *values: self._turn(number - 1, *values), self.inputs, self.outputs, **QUIET)
        later.click(lambda number, *values: self._turn(number + 1, *values), self.inputs, self.outputs, **QUIET)

    def first(self, _number: int, *values: Any) -> tuple[str, str, int, dict]:
        """Return the first page for new values of the widgets; the inputs and outputs are those of this object."""
        return self._turn(1, *values)

    def _turn(self, number: int, *values: Any) -> tuple[str, str, int, dict]:
        text, page = self.show(number, *values)
        line = self.say("page_of", page=page.number, pages=page.count)
        return text, line, page.number, gr.update(visible=page.count > 1)


# functions of the page are no API for programs
QUIET: dict[str, Any] = {"api_visibility": "private"}
