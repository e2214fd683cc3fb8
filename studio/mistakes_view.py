"""What the tab for mistakes shows, as HTML; knows nothing of gradio. Heat maps are made when they are shown."""

from collections.abc import Callable
from html import escape

import cv2
import numpy as np

from data.corrections import Decision, ids_in_tables
from data.images import attempt, read_image
from data.table import ImageTable
from data.transforms import eval_image
from prediction.pipeline import Pipeline
from studio import html_parts as html
from studio.answers import heat_picture
from studio.context import Studio
from studio.decisions import decisions_by_image, sentence
from studio.doubtful import doubtful_names, examples
from studio.mistakes import Mistake, Mistakes, pairs_of
from studio.try_view import labels_in_table

PER_PAGE = 6

EXAMPLES = 3

# pixels a side of the squares that the model sees, as they are shown
_SIDE = 320


def summary_html(studio: Studio, mistakes: Mistakes) -> str:
    """Return how many answers are wrong."""
    pairs = len(pairs_of(mistakes.found))
    told = html.note(studio.say("mistakes_found", count=len(mistakes.found), images=mistakes.images, pairs=pairs))
    return told + (html.note(studio.say("not_judged", count=mistakes.left_out)) if mistakes.left_out else "")


def decision_on(studio: Studio, mistake: Mistake) -> Decision | None:
    """Return what was decided on the photograph of a mistake. Raises InputError as `read_decisions`."""
    assert studio.labels is not None
    image_id = ids_in_tables(studio.labels, [mistake.name]).get(mistake.name, mistake.name)
    return decisions_by_image(studio).get(image_id)


def mistake_html(studio: Studio, pipeline: Pipeline, table: ImageTable, mistake: Mistake) -> str:
    """Return a mistake: what the model sees, where it looks, and photographs of both classes."""
    say, names = studio.say, [pipeline.classes[label].name for label in (mistake.label, mistake.predicted)]
    title = say("answered", true=names[0], predicted=names[1], share=f"{100 * mistake.confidence:.1f} %")
    seen, heat = _pictures(studio, pipeline, table, mistake)
    pictures = html.image(seen, "", mistake.name)
    pictures += html.note(say("no_heat_map")) if heat is None else html.image(heat, "", say("heat_map"))
    assert studio.labels is not None
    doubtful = {mistake.name, *doubtful_names(studio.audit, studio.labels)}
    own = labels_in_table(table, pipeline)
    looks = ""
    for key, label in (("classes_look", mistake.label), ("answers_look", mistake.predicted)):
        place = own[label]
        found = [] if place is None else examples(table, place, doubtful, EXAMPLES)
        tiles = [(studio.thumbnails.source(table.image_dir / name), [name]) for name in found]
        looks += f"<div>{html.note(say(key))}{html.strip(tiles)}</div>"
    decision = decision_on(studio, mistake)
    done = "" if decision is None else html.note(sentence(studio.labels, decision, say))
    return (
        f'<div class="kit-mistake"><b>{escape(title)}</b><div class="kit-two">{pictures}</div>'
        f'{html.note(mistake.name)}<div class="kit-two">{looks}</div>{done}</div>'
    )


def _pictures(studio: Studio, pipeline: Pipeline, table: ImageTable, mistake: Mistake) -> tuple[str | None, str | None]:
    """Return the square that the model sees and the heat map of its answer, as sources of HTML images."""
    member, model, path = pipeline.members[0], studio.model, table.image_dir / mistake.name
    checkpoint = member.checkpoint
    seen = f"{checkpoint.input_size} {checkpoint.crop_pct} {checkpoint.fit}"

    def drawn(change: Callable[[np.ndarray], np.ndarray | None]) -> np.ndarray | None:
        pixels = attempt(lambda: read_image(path).pixels)[0]
        if pixels is None:
            return None
        picture = change(eval_image(pixels, checkpoint.input_size, checkpoint.crop_pct, checkpoint.fit))
        return None if picture is None else cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)

    def heat(picture: np.ndarray) -> np.ndarray | None:
        return None if model is None else heat_picture(pipeline, model, picture, mistake.predicted)

    kept = studio.thumbnails.kept
    return (
        kept(path, f"seen {seen}", lambda: drawn(lambda picture: picture)),
        kept(path, f"heat {member.sha256} {mistake.predicted} {seen}", lambda: drawn(heat)),
    )
