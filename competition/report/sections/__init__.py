"""The sections of the report, in English and Chinese: sentences on recorded facts, none without a measurement."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

from competition.report.document import Block, Document, Heading
from competition.report.findings import find
from competition.report.ingredients import read_references
from competition.report.request import SECTION_TITLES
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

# what writes each section of `SECTION_TITLES`; `innovation`, which has the team's own text, is written apart
_WRITERS: dict[str, Callable[[Material], list[Block]]] = {
    "task": task,
    "data": data,
    "architecture": architecture,
    "strategy": strategy,
    "results": results,
    "experiments": experiments,
    "errors": errors,
    "calibration": calibration,
    "cost": cost,
    "limitations": limitations,
    "reproduce": reproduce,
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
    for name, titles in SECTION_TITLES.items():
        if name in dropped:
            continue
        written = innovation(material, innovation_text) if name == "innovation" else _WRITERS[name](material)
        if written:
            blocks += [Heading(writer.say(*titles), name), *written]
    classes = len(facts.checkpoint.classes)
    usual = writer.say(
        f"Fine-grained flower recognition in {classes} classes: technical report",
        f"{classes} 类花卉细粒度识别技术报告",
    )
    return Document(
        title=title or usual,
        subtitle=", ".join(part for part in (team, date.today().isoformat()) if part),
        language=language,
        blocks=blocks,
        abstract=abstract(material),
        keywords=keywords(material),
        references=writer.references(),
    )
