"""Write report.html, report.typ and report.pdf from the folder of a run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from common.errors import InputError, as_warning, check_choice, did_you_mean
from common.files import as_path, check_writable_folder, write_text
from competition.report.figure_labels_zh import translate
from competition.report.figures import attention_figure, curves_figure, pairs_figure, reliability_figure
from competition.report.html_report import to_html
from competition.report.innovation import innovation_template, is_written
from competition.report.run_record import Facts, read_facts
from competition.report.sections import SECTIONS, build_document
from competition.report.typst_report import check_typst, compile_pdf, fonts_for, to_typst
from data.prepared import load_table
from data.preview import contact_sheet, write_png
from data.transforms import train_transform
from evaluation.evaluate import worst_pairs
from evaluation.metrics import confusion_matrix
from evaluation.plots import class_labels, confusion_figure, save_figure, use_fonts, worst_pairs_figure

LANGUAGES = ("en", "zh")

SHEET_IMAGES, SHEET_EPOCHS, SHEET_TILE = 4, 5, 160


@dataclass(frozen=True)
class Report:
    """The files of a report, its pages, and notes on missing parts."""

    html: Path
    pdf: Path
    pages: int
    notes: list[str]


def write_report(
    run: str | Path,
    output: str | Path,
    language: str,
    dropped: Sequence[str],
    others: Sequence[str | Path] = (),
    title: str = "",
    team: str = "",
) -> Report:
    """Write the report of a run to the folder `output`; innovation.txt there is kept and shown.

    `others` are runs to compare it with. `title` and `team` take the place of the usual title and of the name below it.
    Raises InputError without a trained model, the package typst or, for `zh`, a Chinese font; RunError above 10 pages.
    """
    run, output = as_path(run), as_path(output)
    check_choice(f"language {language!r}", language, LANGUAGES)
    for name in dropped:
        if name not in SECTIONS:
            raise InputError(
                f"{name}: no such section.{did_you_mean(name, SECTIONS)} Choose from {', '.join(SECTIONS)}."
            )
    check_writable_folder(output)
    check_typst()
    fonts = fonts_for(language)
    facts = read_facts(run, [as_path(other) for other in others])
    innovation = output / "innovation.txt"
    if not innovation.is_file():
        write_text(innovation, innovation_template(language))
    pictures, drawing_notes = draw_pictures(facts, output / "pictures", language)
    notes = [*facts.notes, *drawing_notes]
    text = innovation.read_text(encoding="utf-8-sig")
    document = build_document(facts, pictures, text, language, dropped, title, team)
    write_text(output / "report.html", to_html(document))
    write_text(output / "report.typ", to_typst(document, fonts, output))
    pages = compile_pdf(output / "report.typ", output / "report.pdf")
    if facts.metrics is None:
        checkpoint, folder = run / "checkpoints" / "best_model.pt", run / "evaluation"
        notes.append(f"No results to show; first: python evaluate.py --checkpoint {checkpoint} --output-dir {folder}")
    if not is_written(text):
        notes.append(f"Write about your innovation in {innovation} and run the command again.")
    return Report(output / "report.html", output / "report.pdf", pages, notes)


def draw_pictures(facts: Facts, folder: Path, language: str) -> tuple[dict[str, Path], list[str]]:
    """Draw all pictures that the facts allow; return their files by name, and notes on those that are missing."""
    use_fonts()
    pictures, notes = {}, []
    names = class_labels(facts.checkpoint.classes)
    for name, draw in _figures(facts):
        with as_warning(f"The picture '{name}'", notes.append):
            figure = draw()
            if figure is None:
                notes.append(f"No picture '{name}': its photographs are gone, or there is nothing to show.")
                continue
            if language == "zh":
                translate(figure, names)
            save_figure(figure, folder / f"{name}.png")
            pictures[name] = folder / f"{name}.png"
    with as_warning("The contact sheet of the augmentation", notes.append):
        table = load_table(facts.config.dataset)
        transform, seed, fit = train_transform(facts.config), facts.config.seed, facts.config.model.fit
        sheet = contact_sheet(table, transform, SHEET_IMAGES, SHEET_EPOCHS, SHEET_TILE, seed, fit)
        write_png(folder / "augmentation.png", sheet)
        pictures["augmentation"] = folder / "augmentation.png"
    return pictures, notes


def _figures(facts: Facts) -> Iterable[tuple[str, Callable[[], Figure | None]]]:
    if facts.history:
        yield "curves", partial(curves_figure, facts.history)
    if not facts.answers:
        return
    classes = facts.checkpoint.classes
    predicted, labels = (
        np.array([getattr(answer, name) for answer in facts.answers]) for name in ("predicted", "label")
    )
    matrix = confusion_matrix(predicted, labels, len(classes))
    yield "confusion_matrix", partial(confusion_figure, matrix, classes)
    if pairs := worst_pairs(matrix, 10):
        yield "worst_pairs", partial(worst_pairs_figure, pairs, classes)
        yield "pairs", partial(pairs_figure, facts)
    yield "reliability", partial(reliability_figure, facts.answers)
    yield "attention", partial(attention_figure, facts)
