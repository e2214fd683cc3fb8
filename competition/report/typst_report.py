"""The report as Typst source, compiled by the package typst to a PDF of A4 pages."""

import json
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from common.errors import InputError, RunError
from common.files import replacing
from competition.report.document import (
    PDF,
    Block,
    Code,
    Document,
    Draft,
    Heading,
    Paragraph,
    Picture,
    Subheading,
    Table,
    blocks_for,
)

MAX_PAGES = 10

# fonts with Chinese glyphs on the usual systems, then the fonts of Typst
CHINESE_FONTS = (
    "Noto Serif CJK SC",
    "Noto Sans CJK SC",
    "Source Han Serif SC",
    "Source Han Sans SC",
    "Songti SC",
    "PingFang SC",
    "Microsoft YaHei",
    "SimSun",
    "SimHei",
)

LATIN_FONT = "Libertinus Serif"

_HEAD = """// Written by: python cli/flower_cli.py report. Edit it and compile it again: report --compile FILE.
#set document(title: {title})
#set page(paper: "a4", margin: (x: 20mm, y: 18mm), numbering: "1 / 1")
#set text(lang: {language}, font: ({fonts}), size: 10pt)
#set par(justify: true)
#set heading(numbering: "1.1")
#show heading: set block(above: 1.1em, below: 0.6em)
#show figure: set block(breakable: false)
#show figure.caption: set text(size: 9pt, fill: luma(80))
#show table.cell: set text(size: 8.5pt)
#show raw.where(block: true): it => block(fill: luma(243), inset: 6pt, width: 100%, text(size: 8pt, it))
#set table(stroke: (x, y) => (bottom: 0.4pt + luma(180)), inset: (x: 4pt, y: 3pt))
#let section(name) = context [#metadata((name: name, page: here().page())) <section>]

#align(center)[
  #text(size: 18pt, weight: "bold")[#{title}]

  #text(fill: luma(80))[#{subtitle}]
]
"""


def to_typst(document: Document, fonts: Sequence[str], folder: Path) -> str:
    """Return the source; pictures are named relative to `folder`, where the source will stand."""
    head = _HEAD.format(
        title=_text(document.title),
        subtitle=_text(document.subtitle),
        language=_text(document.language),
        fonts=", ".join(_text(font) for font in fonts),
    )
    references = [f"+ #{_text(source)}" for source in document.references]
    front = [f"#{_text(document.abstract)}\n"] if document.abstract else []
    end = "#context [#metadata(here().page()) <last>]"
    return (
        "\n".join([head, *front, *(_render(block, folder) for block in blocks_for(document, PDF)), *references, end])
        + "\n"
    )


def check_typst() -> None:
    """Raise InputError if the package that makes the PDF is not installed."""
    if find_spec("typst") is None:
        raise InputError("The PDF needs the package typst: pip install -r requirements-report.txt")


def _typst() -> ModuleType:
    """Import the optional package by name: the import check of a ZIP treats an import statement as a requirement."""
    return import_module("typst")


def fonts_for(language: str) -> list[str]:
    """Return the fonts for the source. Raises InputError if no font of this machine has Chinese characters."""
    installed = set(_typst().Fonts(include_system_fonts=True).families())
    chinese = [font for font in CHINESE_FONTS if font in installed]
    if language == "zh" and not chinese:
        raise InputError(
            "No Chinese font is installed, and the report would show empty boxes. On Debian and Ubuntu: sudo apt "
            "install fonts-noto-cjk; elsewhere install Noto Sans CJK SC. Or write the report in English."
        )
    return [LATIN_FONT, *chinese]


def compile_pdf(source: Path, output: Path) -> int:
    """Compile, and return the number of pages. Raises RunError if Typst fails, or there are too many pages.

    A report that is too long is not written; the error names the pages of each section, the longest first.
    """
    check_typst()
    compiler = _typst().Compiler(source, root=source.parent)
    try:
        pdf = compiler.compile(format="pdf")
        pages = json.loads(compiler.query("<last>", field="value", one=True))
        sections = json.loads(compiler.query("<section>", field="value"))
    except (RuntimeError, ValueError) as error:
        raise RunError(f"{source}: Typst refuses it: {' '.join(str(error).split())[:300]}") from error
    if pages > MAX_PAGES:
        starts = [section["page"] for section in sections] + [pages]
        lengths = {
            section["name"]: following - section["page"]
            for section, following in zip(sections, starts[1:], strict=True)
        }
        longest = sorted(lengths, key=lambda name: -lengths[name])[:4]
        named = ", ".join(f"{name} ({lengths[name]} pages)" for name in longest)
        raise RunError(
            f"{source}: {pages} pages, more than the {MAX_PAGES} that the contest allows; no PDF was written. "
            f"Shorten your text, or leave sections out: python cli/flower_cli.py report --drop {longest[0]}. "
            f"The longest: {named}."
        )
    with replacing(output) as temporary:
        temporary.write_bytes(pdf)
    return pages


def _render(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, name):
            return f"= #{_text(text)}\n#section({_text(name)})"
        case Subheading(text):
            return f"== #{_text(text)}"
        case Paragraph(text) | Draft(text):
            return f"#{_text(text)}\n"
        case Code(text):
            return f"#raw(block: true, {_text(text)})"
        case Table(caption, header, rows):
            cells = ", ".join(_text(cell) for row in rows for cell in row)
            head = ", ".join(f"strong({_text(cell)})" for cell in header)
            body = f"table(columns: {len(header)}, align: left, table.header({head}), {cells})"
            return f"#figure({body}, kind: table, caption: figure.caption(position: top, {_text(caption)}))"
        case Picture(path, caption, width):
            name = path.relative_to(folder).as_posix()
            return f"#figure(image({_text(name)}, width: {100 * width:.0f}%), caption: {_text(caption)})"


def _text(text: str) -> str:
    """Return a Typst string literal; strings are shown as they are, without markup."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
