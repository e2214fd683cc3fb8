"""The report as Typst source, compiled by the package typst to a PDF of A4 pages."""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from common.errors import InputError, RunError
from common.files import replacing
from common.packages import require_package
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
)
from competition.report.labels import (
    CAPTION_GAP,
    blocks_for,
    column_signs,
    joined_keywords,
    linked,
    numeric_columns,
    signs,
    widest_column,
    word,
)
from competition.report.typst_style import PRELUDE

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

# a table within a column that has more rows breaks between columns; a wide one is cut at so many lines
FLOATING_ROWS, PAGE_LINES = 16, 44

# signs of the table's font that fit side by side on a page, the gaps between columns left out
PAGE_SIGNS = 120

_SETTINGS = """// Written by: python cli/flower_cli.py report. Edit it and compile it again: report --compile FILE.
#let title = {title}
#let subtitle = {subtitle}
#let language = {language}
#let fonts = ({fonts},)
#let gap = {gap}
"""

_SAME_NUMBER = "#counter(figure.where(kind: table)).update(number => number - 1)\n"


def to_typst(document: Document, fonts: Sequence[str], folder: Path) -> str:
    """Return the source; pictures are named relative to `folder`, where the source will stand."""
    language, count = document.language, len(document.references)
    settings = _SETTINGS.format(
        title=_text(document.title),
        subtitle=_text(document.subtitle),
        language=_text(language),
        fonts=", ".join(_text(font) for font in fonts),
        gap=_text(CAPTION_GAP[language]),
    )
    names = _text(word("Abstract", language)), _text(word("Keywords", language))
    keywords = _text(joined_keywords(document.keywords, language))
    front = f"#front({names[0]}, {_inline(document.abstract, count)}, {names[1]}, {keywords})\n"
    body, told = [], False
    for block, _ in blocks_for(document, PDF):
        body.append(_render(block, document, folder, told))
        told = isinstance(block, Paragraph | Draft | Code) or (told and not isinstance(block, Heading | Subheading))
    end = ['#section("")', "#context [#metadata(counter(page).final().first()) <last>]"]
    if document.references:
        items = "".join(f",\n  {_inline(reference, 0)}" for reference in document.references)
        end.insert(1, f"#references({_text(word('References', language))}{items})")
    return "\n".join([settings + PRELUDE, front, *body, *end]) + "\n"


def check_typst() -> None:
    """Raise InputError if the package that makes the PDF is not installed."""
    require_package("typst", "The PDF needs the package typst", "requirements-report.txt")


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
        lengths = _lengths(sections)
        longest = sorted(lengths, key=lambda name: -lengths[name])[:4]
        named = ", ".join(f"{name} ({lengths[name]:.1f} pages)" for name in longest)
        raise RunError(
            f"{source}: {pages} pages, more than the {MAX_PAGES} that the contest allows; no PDF was written. "
            f"Shorten your text, or leave sections out: python cli/flower_cli.py report --drop {longest[0]}. "
            f"The longest: {named}."
        )
    with replacing(output) as temporary:
        temporary.write_bytes(pdf)
    return pages


def _lengths(places: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the pages of each section by name, from the places where they start; the last place is the end."""
    return {start["name"]: end["place"] - start["place"] for start, end in itertools.pairwise(places)}


def _render(block: Block, document: Document, folder: Path, told: bool) -> str:
    """Return a block's source; `told`: text stands between the last title and the block."""
    count = len(document.references)
    match block:
        case Heading(text, name):
            return f"= #{_text(text)}\n#section({_text(name)})"
        case Subheading(text):
            return f"== #{_text(text)}"
        case Paragraph(text):
            return f"#({_inline(text, count)})\n"
        case Draft(text):
            return f"#draft({_text(word('edit me', document.language))}, {_inline(text, count)})\n"
        case Code(text):
            return f"#raw(block: true, {_text(text)})"
        case Table(caption):
            first, *others = _parts(block)
            more = f"{caption} ({word('continued', document.language)})"
            rest = [_SAME_NUMBER + _table(replace(block, rows=rows, caption=more), count, told) for rows in others]
            return "\n".join([_table(replace(block, rows=first), count, told), *rest])
        case Picture(path, caption, width, wide, alt):
            name = path.relative_to(folder).as_posix()
            image = f"picture({_text(name)}, {100 * width:.0f}%, {_text(alt or caption)})"
            return f"#figure({image}, {_placed(wide, told)}, caption: {_inline(caption, count)})"


def _placed(wide: bool, told: bool) -> str:
    """Return the arguments of a figure that let it float to the next free top or bottom; text fills the gap.

    What stands right below a title stays there, or the title would stand above nothing.
    """
    if wide:
        return 'placement: auto, scope: "parent"'
    return "placement: auto" if told else "placement: none"


def _table(table: Table, count: int, told: bool) -> str:
    """Return the table; one that is too long for a float stands in the text and breaks between columns."""
    header = "".join(f"{_inline(cell, count)}, " for cell in table.header)
    cells = ",\n  ".join(", ".join(_inline(cell, count) for cell in row) for row in table.rows)
    align = "".join("right, " if number else "left, " for number in numeric_columns(table))
    body = f"ruled(({align}), ({header}),\n  {cells})"
    caption = f"figure.caption(position: top, {_inline(table.caption, count)})"
    long = not table.wide and len(table.rows) > FLOATING_ROWS
    figure = f"figure({body}, {_placed(table.wide, told and not long)}, kind: table, caption: {caption})"
    return f"#breakable({figure})" if long else f"#{figure}"


def _parts(table: Table) -> Sequence[Sequence[Sequence[str]]]:
    """Return the rows in parts that fit on a page if the table is wide, because a float cannot break."""
    if not table.wide:
        return [table.rows]
    width = widest_column(column_signs(table), PAGE_SIGNS)
    parts: list[list[Sequence[str]]] = [[]]
    lines = 0
    for row in table.rows:
        height = max(math.ceil(signs(cell) / width) for cell in row)
        if parts[-1] and lines + height > PAGE_LINES:
            parts.append([])
            lines = 0
        parts[-1].append(row)
        lines += height
    return parts


def _inline(text: str, references: int) -> str:
    """Return an expression that shows `text`, with links at its citations and addresses."""
    pieces = []
    for piece, target in linked(text, references):
        if target.startswith("#"):
            pieces.append(f"cited({target.removeprefix('#ref-')})")
        else:
            pieces.append(f"link({_text(target)}, {_text(piece)})" if target else _text(piece))
    return " + ".join(pieces) or '""'


def _text(text: str) -> str:
    """Return a Typst string literal; strings are shown as they are, without markup."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
