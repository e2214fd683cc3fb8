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

# in the report's order: name to the title in English and in Chinese
SECTION_TITLES = {
    "task": ("Task and limits", "任务与约束"),
    "data": ("Data", "数据"),
    "architecture": ("Architecture", "模型架构"),
    "strategy": ("Training strategy", "训练策略"),
    "results": ("Results", "实验结果"),
    "experiments": ("Analysis of the experiments", "实验分析"),
    "errors": ("Error analysis", "错误分析"),
    "calibration": ("Calibration and abstention", "置信度校准与拒识"),
    "cost": ("Cost and compliance", "资源开销与合规性"),
    "innovation": ("Innovation", "创新点"),
    "limitations": ("Limitations", "局限性"),
    "reproduce": ("Reproduction", "复现方法"),
}


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
        if name not in SECTION_TITLES:
            raise InputError(
                f"{name}: no such section.{did_you_mean(name, SECTION_TITLES)} Choose from {', '.join(SECTION_TITLES)}."
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
