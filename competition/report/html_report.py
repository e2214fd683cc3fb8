"""The report as one HTML file: pictures inside, no scripts, printable on A4."""

import base64
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
    blocks_for,
)

_STYLE = """
@page { size: A4; margin: 18mm }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff; line-height: 1.5;
  font-family: "Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", Arial, sans-serif }
h1 { margin-bottom: 0 } h2 { margin-top: 2.2rem; border-bottom: 2px solid #0072b2; padding-bottom: .2rem }
h2, h3 { break-after: avoid } p.subtitle { color: #555; margin-top: .2rem }
div.table { overflow-x: auto } table { border-collapse: collapse; margin: .4rem 0 1rem; font-size: .9rem }
caption { text-align: left; font-weight: 600; padding: .4rem 0 }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .7rem .25rem 0; text-align: left; vertical-align: top;
  overflow-wrap: anywhere }
tr { break-inside: avoid } figure { margin: 1rem 0; break-inside: avoid } img { max-width: 100%; height: auto }
figcaption { color: #555; font-size: .9rem }
pre { background: #f3f3f3; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem }
"""


def to_html(document: Document) -> str:
    """Return the whole page."""
    body = "\n".join(_render(block) for block in blocks_for(document, HTML))
    return (
        f'<!doctype html>\n<html lang="{document.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(document.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(document.title)}</h1>\n<p class="subtitle">{escape(document.subtitle)}</p>\n'
        f"{_front(document)}{body}\n{_end(document)}"
        "</body>\n</html>\n"
    )


def _front(document: Document) -> str:
    return f"<p>{escape(document.abstract)}</p>\n" if document.abstract else ""


def _end(document: Document) -> str:
    lines = "".join(f"<li>{escape(source)}</li>" for source in document.references)
    return f"<ol>{lines}</ol>\n" if lines else ""


def _render(block: Block) -> str:
    match block:
        case Heading(text, name):
            return f'<h2 id="{escape(name)}">{escape(text)}</h2>'
        case Subheading(text):
            return f"<h3>{escape(text)}</h3>"
        case Paragraph(text) | Draft(text):
            return f"<p>{escape(text)}</p>"
        case Code(text):
            return f"<pre>{escape(text)}</pre>"
        case Table(caption, header, rows):
            head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
            lines = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
            title = f"<caption>{escape(caption)}</caption>"
            return f'<div class="table"><table>{title}\n<thead><tr>{head}</tr></thead>\n{lines}\n</table></div>'
        case Picture(path, caption, width):
            kind = "jpeg" if path.suffix == ".jpg" else "png"
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            image = (
                f'<img style="width:{100 * width:.0f}%" alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'
            )
            return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"
