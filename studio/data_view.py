"""What the tab Data shows, as HTML; knows nothing of gradio. Only the images of one page are opened."""

import numpy as np

from common.errors import InputError
from data.table import ImageTable
from studio import html_parts as html
from studio.context import Studio
from studio.data_facts import Page, first_images, image_counts, image_path, page_of, read_summary, summary_rows

CLASSES_PER_PAGE = 24

PAIRS_PER_PAGE = 12


def summary_html(studio: Studio) -> str:
    """Return what summary.json says, or why it says nothing."""
    try:
        summary = None if studio.data is None else read_summary(studio.data)
    except InputError as error:
        return html.problem(str(error))
    if summary is None:
        return html.note(studio.say("no_summary"))
    return html.table(summary_rows(summary, studio.say))


def photographs_html(studio: Studio, table: ImageTable, label: int, number: int) -> tuple[str, Page]:
    """Return a page of the images of a class, or for label -1 of all classes with their counts."""
    if label < 0:
        counts, first = image_counts(table), first_images(table)
        page = page_of(np.arange(len(table.classes)), number, CLASSES_PER_PAGE)
        tiles = [
            (
                _source(studio, table, int(first[place])),
                [table.classes[place].name, studio.say("count", count=counts[place])],
            )
            for place in page.items.tolist()
        ]
        return html.grid(tiles), page
    page = page_of(np.flatnonzero(table.labels == label), number, CLASSES_PER_PAGE)
    return html.grid([(_source(studio, table, row), [table.image_ids[row]]) for row in page.items.tolist()]), page


def pairs_html(studio: Studio, table: ImageTable, pairs: np.ndarray, number: int) -> tuple[str, Page]:
    """Return a page of near-duplicates, `pairs` int64 (P, 3), side by side with their classes."""
    page = page_of(np.arange(len(pairs)), number, PAIRS_PER_PAGE)
    tiles = []
    for first, second, _ in pairs[page.items].tolist():
        names = [table.classes[table.labels[row]].name for row in (first, second)]
        same = "same_class" if names[0] == names[1] else "other_class"
        lines = [
            f"{table.image_ids[first]} · {table.image_ids[second]}",
            f"{' · '.join(dict.fromkeys(names))} ({studio.say(same)})",
        ]
        tiles.append((_source(studio, table, first), _source(studio, table, second), lines))
    return html.note(studio.say("pairs_found", count=len(pairs))) + html.pairs(tiles), page


def _source(studio: Studio, table: ImageTable, row: int) -> str | None:
    return None if row < 0 else studio.thumbnails.source(image_path(table, row))
