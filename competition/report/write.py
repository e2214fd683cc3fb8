"""Write the report of a run in the forms that are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.files import as_path, write_text
from competition.report.document import DOCX, HTML, PDF
from competition.report.docx_report import write_docx
from competition.report.figures import draw_figures
from competition.report.html_report import to_html
from competition.report.innovation import innovation_template, is_written
from competition.report.request import check_request
from competition.report.run_record import read_facts
from competition.report.sections import build_document
from competition.report.typst_report import compile_pdf, fonts_for, to_typst


@dataclass(frozen=True)
class Report:
    """The file of each form, the pages of the PDF, and notes on missing parts; None for a form not asked for."""

    html: Path | None
    pdf: Path | None
    docx: Path | None
    pages: int | None
    notes: list[str]


def write_report(
    run: str | Path,
    output: str | Path,
    language: str,
    dropped: Sequence[str],
    forms: Sequence[str] = (HTML, PDF),
    others: Sequence[str | Path] = (),
    title: str = "",
    team: str = "",
) -> Report:
    """Write the report of a run to the folder `output`, in `forms` of FORMS; innovation.txt there is kept and shown.

    `others` are runs to compare it with. `title` and `team` take the place of the usual title and of the name below it.
    Raises InputError without a trained model, without the package of a form, or without a Chinese font for a PDF in
    `zh`; RunError above 10 pages.
    """
    run, output = as_path(run), as_path(output)
    runs_beside = [as_path(other) for other in others]
    check_request(run, output, language, dropped, forms, runs_beside)
    fonts = fonts_for(language) if PDF in forms else []
    facts = read_facts(run, runs_beside)
    innovation = output / "innovation.txt"
    if not innovation.is_file():
        write_text(innovation, innovation_template(language))
    pictures, drawing_notes = draw_figures(facts, output / "pictures", language)
    notes = [*facts.notes, *drawing_notes]
    text = innovation.read_text(encoding="utf-8-sig")
    document = build_document(facts, pictures, text, language, dropped, title, team)
    files, pages = {form: output / f"report.{form}" for form in forms}, None
    if HTML in forms:
        write_text(files[HTML], to_html(document))
    if DOCX in forms:
        write_docx(document, files[DOCX])
    if PDF in forms:
        write_text(output / "report.typ", to_typst(document, fonts, output))
        pages = compile_pdf(output / "report.typ", files[PDF])
    if facts.metrics is None:
        checkpoint, folder = run / "checkpoints" / "best_model.pt", run / "evaluation"
        notes.append(f"No results to show; first: python evaluate.py --checkpoint {checkpoint} --output-dir {folder}")
    if not is_written(text):
        notes.append(f"Write about your innovation in {innovation} and run the command again.")
    return Report(files.get(HTML), files.get(PDF), files.get(DOCX), pages, notes)
