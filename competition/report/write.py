"""Write report.html, report.typ and report.pdf from the folder of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.files import as_path, write_text
from competition.report.figures import draw_figures
from competition.report.html_report import to_html
from competition.report.innovation import innovation_template, is_written
from competition.report.request import check_request
from competition.report.run_record import read_facts
from competition.report.sections import build_document
from competition.report.typst_report import compile_pdf, fonts_for, to_typst


@dataclass(frozen=True)
class Report:
    """The files of a report, its pages, and notes on missing parts."""

    html: Path
    pdf: Path
    pages: int
    notes: list[str]


def write_report(run: str | Path, output: str | Path, language: str, dropped: Sequence[str]) -> Report:
    """Write the report of a run to the folder `output`; innovation.txt there is kept and shown.

    Raises InputError without a trained model, the package typst or, for `zh`, a Chinese font; RunError above 10 pages.
    """
    run, output = as_path(run), as_path(output)
    check_request(run, output, language, dropped)
    fonts = fonts_for(language)
    facts = read_facts(run)
    innovation = output / "innovation.txt"
    if not innovation.is_file():
        write_text(innovation, innovation_template(language))
    pictures, notes = draw_figures(facts, output / "pictures", language)
    text = innovation.read_text(encoding="utf-8-sig")
    document = build_document(facts, pictures, text, language, dropped)
    write_text(output / "report.html", to_html(document))
    write_text(output / "report.typ", to_typst(document, fonts, output))
    pages = compile_pdf(output / "report.typ", output / "report.pdf")
    if facts.metrics is None:
        checkpoint, folder = run / "checkpoints" / "best_model.pt", run / "evaluation"
        notes.append(f"No results to show; first: python evaluate.py --checkpoint {checkpoint} --output-dir {folder}")
    if not is_written(text):
        notes.append(f"Write about your innovation in {innovation} and run the command again.")
    return Report(output / "report.html", output / "report.pdf", pages, notes)
