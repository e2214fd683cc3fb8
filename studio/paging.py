"""Two buttons that turn pages, and the line between them."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from studio.data_facts import Page
from studio.texts import Say

# gives a page's HTML, from the page's number and the values of further widgets
Show = Callable[..., tuple[str, Page]]


class Pager:
    """The buttons, and the number of the shown page, which each visitor has of their own."""

    def __init__(self, say: Say, shown: gr.HTML, show: Show, inputs: Sequence[Any]) -> None:
        self.say = say
        self.show = show
        with gr.Row(equal_height=True):
            back = gr.Button(say("earlier"), size="sm", scale=1, min_width=80)
            self.line = gr.HTML(elem_classes="kit-note")
            later = gr.Button(say("later"), size="sm", scale=1, min_width=80)
        self.number = gr.State(1)
        self.inputs = [self.number, *inputs]
        self.outputs = [shown, self.line, self.number]
        back.click(lambda number, *values: self._turn(number - 1, *values), self.inputs, self.outputs, **QUIET)
        later.click(lambda number, *values: self._turn(number + 1, *values), self.inputs, self.outputs, **QUIET)

    def first(self, _number: int, *values: Any) -> tuple[str, str, int]:
        """Return the first page for new values of the widgets; the inputs and outputs are those of this object."""
        return self._turn(1, *values)

    def _turn(self, number: int, *values: Any) -> tuple[str, str, int]:
        text, page = self.show(number, *values)
        return text, self.say("page_of", page=page.number, pages=page.count), page.number


# functions of the page are no API for programs
QUIET = {"api_visibility": "private"}
