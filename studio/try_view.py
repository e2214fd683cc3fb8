"""What the tab Try answers to its visitor, as HTML and table rows; knows nothing of gradio."""

from collections.abc import Sequence

from common.classes import labels_in, positions_of
from common.errors import InputError, RunError
from common.files import as_path
from data.table import ImageTable
from prediction.pipeline import Pipeline
from studio import html_parts as html
from studio.answers import Answer, FileAnswer, answer_photograph
from studio.context import Studio
from studio.data_facts import first_images, image_path
from studio.thumbnails import picture_source


def photograph_html(studio: Studio, pipeline: Pipeline, path: str | None) -> str:
    """Return the answer to an image file; a hint where there is none, and a sentence where it cannot be read."""
    if path is None:
        return html.note(studio.say("drop_here"))
    try:
        answer = answer_photograph(pipeline, studio.model, path)
    except (InputError, RunError) as error:
        reason = str(error).rstrip(".")
        return html.problem(studio.say("unreadable", name=as_path(path).name, reason=reason))
    return _answer_html(studio, pipeline, answer)


def _answer_html(studio: Studio, pipeline: Pipeline, answer: Answer) -> str:
    say, examples = studio.say, example_sources(studio, pipeline, [found.label for found, _ in answer.best])
    rows = [(found.name, share, examples[found.label]) for found, share in answer.best]
    time = say("milliseconds", taken=answer.milliseconds, limit=answer.limit_ms)
    caveat = f" {say('not_the_judges')}" if answer.on_cpu else ""
    damage = html.problem(say("recovered")) if answer.recovered else ""
    shown, title = (answer.picture, "seen") if answer.heat is None else (answer.heat, "heat_map")
    missing = html.note(say("no_heat_map")) if answer.heat is None else ""
    views = [(view, found.name, f"{100 * share:.1f} %") for view, found, share in answer.views]
    return (
        f'{damage}<div class="kit-columns"><div class="kit-wide"><h3>{say("best_classes")}</h3>{html.bars(rows, say)}'
        f"{html.note(time + caveat)}</div>"
        f"<div><h3>{say(title)}</h3>{html.image(picture_source(shown), 'kit-picture', say(title))}{missing}</div></div>"
        f"<h3>{say('views')}</h3>"
        f"{html.table(views, (say('view'), say('class'), say('confidence')))}"
    )


def example_sources(studio: Studio, pipeline: Pipeline, labels: Sequence[int]) -> dict[int, str | None]:
    """Return a training photograph of each of the pipeline's `labels`, None where there is none.

    Classes are matched by category id, or by name where no id is the same.
    """
    if studio.table is None:
        return dict.fromkeys(labels)
    own, first = labels_in_table(studio.table, pipeline), first_images(studio.table)
    found: dict[int, str | None] = {}
    for label in labels:
        place = own[label]
        row = -1 if place is None else int(first[place])
        found[label] = None if row < 0 else studio.thumbnails.source(image_path(studio.table, row))
    return found


def labels_in_table(table: ImageTable, pipeline: Pipeline) -> list[int | None]:
    """Return the label that the table gives to each class of the pipeline, None for a class that it lacks.

    Classes are matched by category id, or by name where no id is the same.
    """
    by_id = labels_in(table.classes, pipeline.classes)
    if any(label is not None for label in by_id):
        return by_id
    return positions_of([found.name for found in pipeline.classes], [found.name for found in table.classes])


def file_rows(studio: Studio, answers: Sequence[FileAnswer]) -> list[list[str]]:
    """Return (file name, class, confidence) of each file; instead of a class, why there is none."""
    rows = []
    for answer in answers:
        if answer.image_class is None:
            sentence = studio.say("unreadable", name=answer.name, reason=answer.problem.rstrip("."))
            rows.append([answer.name, sentence, ""])
        else:
            rows.append([answer.name, answer.image_class.name, f"{100 * answer.confidence:.1f} %"])
    return rows
