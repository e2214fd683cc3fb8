"""What a report is asked for, checked before the run is read. Imports nothing heavy."""

from collections.abc import Sequence
from pathlib import Path

from common.checkpoint_file import check_checkpoint
from common.errors import InputError, check_choice, did_you_mean
from common.files import check_writable_folder
from competition.report.document import DOCX, HTML, PDF
from competition.report.docx_parts import check_docx
from competition.report.typst_report import check_typst
from training.run_folder import RunFolder

LANGUAGES = ("en", "zh")

FORMS = (HTML, PDF, DOCX)

# `competition.report.sections.SECTIONS` has the titles and the function of each
SECTION_NAMES = (
    "task",
    "data",
    "architecture",
    "strategy",
    "results",
    "experiments",
    "errors",
    "calibration",
    "cost",
    "innovation",
    "limitations",
    "reproduce",
)


def check_request(
    run: Path,
    output: Path,
    language: str,
    dropped: Sequence[str],
    forms: Sequence[str],
    others: Sequence[Path] = (),
) -> None:
    """Raise InputError for a language, a form or a section that is not known, a missing package, or no run there."""
    check_choice(f"language {language!r}", language, LANGUAGES)
    if not forms:
        raise InputError(f"No form of the report is named. Choose from {', '.join(FORMS)}.")
    for form in forms:
        check_choice(f"form {form!r}", form, FORMS)
    for name in dropped:
        if name not in SECTION_NAMES:
            raise InputError(
                f"{name}: no such section.{did_you_mean(name, SECTION_NAMES)} Choose from {', '.join(SECTION_NAMES)}."
            )
    check_writable_folder(output)
    if DOCX in forms:
        check_docx()
    if PDF in forms:
        check_typst()
    for folder in (run, *others):
        check_trained(folder)


def check_trained(run: Path) -> None:
    """Raise InputError if a folder holds no trained model."""
    best = RunFolder(run).best
    if not best.is_file():
        raise InputError(f"{run}: no trained run here ({best} is missing). Give the output_dir of train.py.")
    check_checkpoint(best)
