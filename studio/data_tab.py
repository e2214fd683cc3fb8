"""The tab Data: what prepare-data understood, the classes, near-duplicates, augmentation."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from common.errors import InputError
from configs.options import option_names
from data.table import ImageTable
from studio import html_parts as html
from studio.augmentation import augmented_sheet, chances_of, save_augmentation, steps_of, with_chances
from studio.context import Studio
from studio.data_facts import Page, duplicate_pairs
from studio.data_view import pairs_html, photographs_html, summary_html
from studio.paging import QUIET, Pager
from studio.thumbnails import picture_source

_FIRST = "medium"


def build_data(studio: Studio, page: gr.Blocks) -> None:
    """Add the widgets of the tab to the open page."""
    table = studio.table
    if table is None:
        gr.HTML(html.note(studio.say("no_data")))
        return
    gr.Markdown(f"### {studio.say('understood')}")
    gr.HTML(summary_html(studio))
    _add_classes(studio, table, page)
    _add_duplicates(studio, table)
    _add_augmentation(studio, table)


def _add_classes(studio: Studio, table: ImageTable, page: gr.Blocks) -> None:
    say = studio.say
    choices = [(say("all_classes"), -1), *((found.name, found.label) for found in table.classes)]
    gr.Markdown(f"### {say('class_list')}")
    label = gr.Dropdown(choices, value=-1, label=say("class"), elem_id="class")
    shown = gr.HTML(elem_id="photographs")
    pager = Pager(say, shown, lambda number, chosen: photographs_html(studio, table, chosen, number), [label])
    label.change(pager.first, pager.inputs, pager.outputs, **QUIET)
    # when a visitor comes, so that building the page opens no image
    page.load(pager.first, pager.inputs, pager.outputs, **QUIET)


def _add_duplicates(studio: Studio, table: ImageTable) -> None:
    say, folder = studio.say, studio.data
    assert folder is not None
    with gr.Accordion(say("duplicates"), open=False):
        gr.HTML(html.note(say("duplicates_hint")))
        search = gr.Button(say("find_duplicates"), elem_id="find-duplicates")
        shown = gr.HTML(elem_id="pairs")
        pairs = gr.State()

        def show(number: int, found: np.ndarray | None) -> tuple[str, Page]:
            return pairs_html(studio, table, np.empty((0, 3), np.int64) if found is None else found, number)

        pager = Pager(say, shown, show, [pairs])
        search.click(lambda: duplicate_pairs(table, folder), None, pairs, **QUIET).then(
            pager.first, pager.inputs, pager.outputs, **QUIET
        )


def _add_augmentation(studio: Studio, table: ImageTable) -> None:
    say = studio.say
    with gr.Accordion(say("augmentation"), open=False):
        base = gr.Dropdown(option_names("augmentation"), value=_FIRST, label=say("strength"), elem_id="strength")
        sheet = gr.HTML(elem_id="sheet")
        gr.HTML(html.note(say("sheet")))
        # the sheet of another strength must not stay
        base.change(lambda chosen: _sheet_html(studio, table, chosen, ()), base, sheet, **QUIET)

        @gr.render(inputs=base)
        def add_sliders(chosen: str) -> None:
            _add_sliders(studio, table, chosen, sheet)


def _add_sliders(studio: Studio, table: ImageTable, base: str, sheet: gr.HTML) -> None:
    """Add a slider for each step of the option `base`, and what is done with them."""
    say, steps = studio.say, steps_of(base)
    gr.HTML(html.note(say("chance")))
    with gr.Row():
        sliders = [gr.Slider(0, 1, chance, step=0.05, label=name) for name, chance in chances_of(steps).items()]
    show = gr.Button(say("show_augmented"), variant="primary", elem_id="show-augmented")
    with gr.Row(equal_height=True):
        name = gr.Textbox(label=say("save_as"), placeholder=say("save_hint"), elem_id="save-name")
        save = gr.Button(say("save"), elem_id="save")
    told = gr.HTML(elem_id="saved")

    def draw(*chances: float) -> str:
        return _sheet_html(studio, table, base, chances)

    def write(chosen: str, *chances: float) -> str:
        try:
            path = save_augmentation(chosen.strip(), base, dict(zip(steps, chances, strict=True)))
        except InputError as error:
            return html.problem(str(error))
        return html.note(say("saved", path=path.name, name=path.stem))

    values: list[Any] = list(sliders)
    show.click(draw, values, sheet, **QUIET)
    save.click(write, [name, *values], told, **QUIET)


def _sheet_html(studio: Studio, table: ImageTable, base: str, chances: Sequence[float]) -> str:
    """Return the contact sheet of the option `base`, with other probabilities unless `chances` is empty."""
    steps = steps_of(base)
    try:
        changed = with_chances(steps, dict(zip(steps, chances, strict=True))) if chances else steps
        pixels = augmented_sheet(table, changed)
    except InputError as error:
        return html.problem(str(error))
    return html.image(picture_source(pixels), "kit-sheet", studio.say("sheet"))
