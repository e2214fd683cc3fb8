"""The tab Runs: all runs as a table, and some of them compared.

What reads them imports torch, and is imported when a visitor opens the tab: the page is not to wait for it.
"""

from typing import Any

import gradio as gr

from studio import html_parts as html
from studio.context import Studio
from studio.paging import QUIET
from studio.run_styles import STYLES

# columns of the table of runs: keys of studio/texts.py
COLUMNS = ("run", "date", "model", "size", "epochs", "top1_corrected", "top1_measured", "minutes", "state")

# runs that are compared before a visitor has chosen any
_FIRST = 2

_NUMBERS = {"top1_corrected", "top1_measured"}


def build_runs(studio: Studio, _page: gr.Blocks) -> None:
    """Add the widgets of the tab to the open page."""
    say = studio.say

    def look(chosen: list[str]) -> tuple[str, dict, str, dict]:
        from studio.run_view import list_runs, run_rows

        runs, problems = list_runs(studio)
        key = "runs_below" if runs else "no_runs"
        told = html.note(say(key, count=len(runs), folder=studio.runs.resolve()))
        names = [run.name for run in runs]
        kept = [name for name in chosen if name in names] or [run.name for run in runs if run.history][:_FIRST]
        table = gr.update(value=run_rows(runs, say), visible=bool(runs))
        notes = html.note(say("runs_note")) if runs else ""
        warnings = "".join(map(html.problem, problems))
        return told, table, notes + warnings, gr.update(choices=names, value=kept, visible=bool(runs))

    def compare(chosen: list[str]) -> str:
        from studio.run_view import compared_html

        return compared_html(studio, chosen)

    with gr.Row(equal_height=True):
        told = gr.HTML()
        again = gr.Button(say("look_again"), size="sm", scale=0, min_width=120, elem_id="look-again")
    kinds: list[Any] = ["number" if key in _NUMBERS else "str" for key in COLUMNS]
    rows = gr.Dataframe(
        headers=[say(key) for key in COLUMNS], datatype=kinds, interactive=False, wrap=True, elem_id="runs"
    )
    notes = gr.HTML(elem_id="run-problems")
    label = say("compare_runs", count=len(STYLES))
    chosen = gr.Dropdown([], value=[], multiselect=True, max_choices=len(STYLES), label=label, elem_id="chosen-runs")
    compared = gr.HTML(elem_id="compared")
    outputs, tab = [told, rows, notes, chosen], compared.parent
    assert isinstance(tab, gr.Tab)
    tab.select(look, chosen, outputs, **QUIET)
    # a run that goes on has longer curves, although the same runs are chosen
    again.click(look, chosen, outputs, **QUIET).then(compare, chosen, compared, **QUIET)
    # not `input`, which the button that removes all choices does not send
    chosen.change(compare, chosen, compared, **QUIET)
