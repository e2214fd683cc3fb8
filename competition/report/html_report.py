"""The report as one HTML file that needs no other: pictures inside, printable on A4, whole without its script."""

import base64
from collections.abc import Iterable
from html import escape

from competition.report.document import (
    HTML,
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
from competition.report.html_page import SCRIPT, STYLE
from competition.report.labels import CAPTION_GAP, COLUMN, blocks_for, joined_keywords, linked, numeric_columns, word

_KINDS = {".svg": "svg+xml", ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


def to_html(document: Document) -> str:
    """Return the whole page."""
    language, count = document.language, len(document.references)
    blocks = blocks_for(document, HTML)
    title = escape(document.title)
    parts = [
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
        f'<a class="skip" href="#text">{word("Skip to the text", language)}</a>',
        f'<header><h1>{title}</h1>\n<p class="subtitle">{escape(document.subtitle)}</p></header>',
        '<main id="text">',
        *_abstract(document),
        *_contents(document, blocks),
        *(_render(block, number, language, count) for block, number in blocks),
        *_references(document),
        "</main>",
        f'<dialog aria-label="{word("Figure", language)}" data-enlarge="{word("Enlarge", language)}">'
        f'<button type="button">{word("Close", language)}</button><img src="data:," alt=""></dialog>',
        f"<script>{SCRIPT}</script>\n</body>\n</html>",
    ]
    return "\n".join(parts) + "\n"


def _abstract(document: Document) -> Iterable[str]:
    if document.abstract:
        name = word("Abstract", document.language)
        yield f'<section class="abstract" aria-labelledby="abstract"><h2 id="abstract">{name}</h2>'
        yield f"<p>{_inline(document.abstract, len(document.references))}</p></section>"
    if document.keywords:
        name, keywords = word("Keywords", document.language), joined_keywords(document.keywords, document.language)
        yield f"<p><strong>{name}</strong>{CAPTION_GAP[document.language]}{escape(keywords)}</p>"


def _contents(document: Document, blocks: Iterable[tuple[Block, str]]) -> Iterable[str]:
    headings = ((block, number) for block, number in blocks if isinstance(block, Heading))
    entries = [(heading.name, f"{number} {heading.text}") for heading, number in headings]
    if document.references:
        entries.append(("references", word("References", document.language)))
    if len(entries) > 1:
        lines = "\n".join(f'<li><a href="#{escape(name)}">{escape(text)}</a></li>' for name, text in entries)
        yield f'<nav aria-label="{word("Contents", document.language)}"><ol>\n{lines}\n</ol></nav>'


def _references(document: Document) -> Iterable[str]:
    if document.references:
        yield f'<h2 id="references">{word("References", document.language)}</h2>\n<ol class="references">'
        for number, text in enumerate(document.references, start=1):
            yield f'<li id="ref-{number}">[{number}] {_inline(text, 0)}</li>'
        yield "</ol>"


def _render(block: Block, number: str, language: str, count: int) -> str:
    match block:
        case Heading(text, name):
            return f'<h2 id="{escape(name)}">{number} {escape(text)}</h2>'
        case Subheading(text):
            return f"<h3>{number} {escape(text)}</h3>"
        case Paragraph(text):
            return f"<p>{_inline(text, count)}</p>"
        case Draft(text):
            mark = f"<strong>{word('edit me', language)}</strong>"
            return f'<p class="draft">{mark} {_inline(text, count)}</p>'
        case Code(text):
            return f"<pre>{escape(text)}</pre>"
        case Table():
            return _table(block, number, language, count)
        case Picture():
            return _picture(block, number, language, count)


def _caption(text: str, number: str, language: str, count: int) -> str:
    return f"<strong>{number}</strong>{CAPTION_GAP[language]}{_inline(text, count)}"


def _table(table: Table, number: str, language: str, count: int) -> str:
    """Return a table with sortable rows; the first cell of a row names it."""
    name = f"table-{number.split()[-1]}"
    kinds = [' class="number"' if numeric else "" for numeric in numeric_columns(table)]
    head = "".join(
        f'<th scope="col"{kind}>{_inline(cell, count)}</th>' if cell else "<td></td>"
        for cell, kind in zip(table.header, kinds, strict=True)
    )
    lines = []
    for first, *others in table.rows:
        cells = "".join(f"<td{kind}>{_inline(c, count)}</td>" for c, kind in zip(others, kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row">{_inline(first, count)}</th>{cells}</tr>')
    caption, body = _caption(table.caption, number, language, count), "\n".join(lines)
    return (
        f'<figure class="table"><figcaption id="{name}">{caption}</figcaption>\n'
        f'<div class="scroll" role="group" tabindex="0" aria-labelledby="{name}"><table aria-labelledby="{name}">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div></figure>"
    )


def _picture(picture: Picture, number: str, language: str, count: int) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    source = f"data:image/{_KINDS[picture.path.suffix.lower()]};base64,{data}"
    width = 100 * picture.width * (1 if picture.wide else COLUMN)
    image = f'<img style="width:{width:.0f}%" alt="{escape(picture.alt or picture.caption)}" src="{source}">'
    caption = _caption(picture.caption, number, language, count)
    return f'<figure class="picture">{image}<figcaption>{caption}</figcaption></figure>'


def _inline(text: str, references: int) -> str:
    """Return `text` with links at its citations and addresses."""
    return "".join(
        f'<a href="{escape(target)}">{escape(piece)}</a>' if target else escape(piece)
        for piece, target in linked(text, references)
    )
