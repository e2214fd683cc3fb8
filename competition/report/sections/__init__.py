"""The sections of the report, in English and Chinese: sentences on recorded facts, none without a measurement."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

from competition.report.document import Block, Document, Heading
from competition.report.findings import find
from competition.report.ingredients import read_references
from competition.report.run_record import Facts
from competition.report.sections.architecture import architecture
from competition.report.sections.calibration import calibration
from competition.report.sections.closing import limitations, reproduce
from competition.report.sections.cost import cost
from competition.report.sections.data import data
from competition.report.sections.errors import errors
from competition.report.sections.experiments import experiments
from competition.report.sections.innovation import innovation
from competition.report.sections.material import Material
from competition.report.sections.opening import abstract, keywords, task
from competition.report.sections.results import results
from competition.report.sections.strategy import strategy
from competition.report.writer import Writer

# in the report's order: the title in English and Chinese, and what writes it; `innovation` has the team's own text
SECTIONS: dict[str, tuple[str, str, Callable[[Material], list[Block]] | None]] = {
    "task": ("Task and limits", "任务与约束", task),
    "data": ("Data", "数据", data),
    "architecture": ("Architecture", "模型架构", architecture),
    "strategy": ("Training strategy", "训练策略", strategy),
    "results": ("Results", "实验结果", results),
    "experiments": ("Analysis of the experiments", "实验分析", experiments),
    "errors": ("Error analysis", "错误分析", errors),
    "calibration": ("Calibration and abstention", "置信度校准与拒识", calibration),
    "cost": ("Cost and compliance", "资源开销与合规性", cost),
    "innovation": ("Innovation", "创新点", None),
    "limitations": ("Limitations", "局限性", limitations),
    "reproduce": ("Reproduction", "复现方法", reproduce),
}


def build_document(
    facts: Facts,
    pictures: Mapping[str, Path],
    innovation_text: str,
    language: str,
    dropped: Sequence[str],
    title: str = "",
    team: str = "",
    writer: Writer | None = None,
) -> Document:
    """Return the report.

    `pictures` are files by name, `innovation_text` is the team's own, `dropped` are names of sections. `title` and
    `team` take the place of the usual title and of the line below it. `writer`, a fresh one, keeps what was written.
    """
    writer = writer or Writer(language, read_references())
    material = Material(facts, find(facts), pictures, writer)
    blocks: list[Block] = []
    for name, (english, chinese, write) in SECTIONS.items():
        if name in dropped:
            continue
        written = innovation(material, innovation_text) if write is None else write(material)
        if written:
            blocks += [Heading(writer.say(english, chinese), name), *written]
    classes = len(facts.checkpoint.classes)
    usual = writer.say(
        f"Fine-grained flower recognition in {classes} classes: technical report",
        f"{classes} 类花卉细粒度识别技术报告",
    )
    return Document(
        title=title or usual,
        subtitle=", ".join(part for part in (team or facts.config.experiment_name, date.today().isoformat()) if part),
        language=language,
        blocks=blocks,
        abstract=abstract(material),
        keywords=keywords(material),
        references=writer.references(),
    )
