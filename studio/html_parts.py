"""The HTML that the tabs show. Names of classes and files are escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from studio.texts import Say


def problem(text: str) -> str:
    """Return a sentence that says what is wrong."""
    return f'<p class="kit-problem">{escape(text)}</p>'


def note(text: str) -> str:
    """Return a quiet sentence."""
    return f'<p class="kit-note">{escape(text)}</p>'


def image(source: str | None, kind: str, description: str) -> str:
    """Return an image, or an empty box where there is none; `kind` is its CSS class."""
    if source is None:
        return f'<div class="{kind} kit-empty" title="{escape(description)}"></div>'
    return f'<img class="{kind}" src="{source}" alt="{escape(description)}" title="{escape(description)}">'


def bars(rows: Iterable[tuple[str, float, str | None]], say: Say) -> str:
    """Return a bar for each (name, probability, example photograph)."""
    return "".join(
        f'<div class="kit-bar">{image(source, "", say("example", name=name)) if source else ""}'
        f'<div><b>{escape(name)}</b><div class="kit-track"><div style="width:{100 * share:.1f}%"></div></div></div>'
        f"<span>{100 * share:.1f} %</span></div>"
        for name, share, source in rows
    )


def table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Return a table."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return f'<table class="kit-table">{f"<tr>{head}</tr>" if head else ""}{"".join(lines)}</table>'


def scrolled(content: str) -> str:
    """Return something wide in a box of its own that scrolls sideways."""
    return f'<div class="kit-scrolled">{content}</div>'


def code(text: str) -> str:
    """Return a command to copy."""
    return f'<pre class="kit-code">{escape(text)}</pre>'


def grid(tiles: Iterable[tuple[str | None, Sequence[str]]]) -> str:
    """Return photographs with lines below them."""
    figures = [
        f"<figure>{image(source, '', lines[0])}<figcaption>{'<br>'.join(map(escape, lines))}</figcaption></figure>"
        for source, lines in tiles
    ]
    return f'<div class="kit-grid">{"".join(figures)}</div>'


def pairs(tiles: Iterable[tuple[str | None, str | None, Sequence[str]]]) -> str:
    """Return pairs of photographs side by side with lines below them."""
    figures = [
        f'<figure><div class="kit-two">{image(first, "", lines[0])}{image(second, "", lines[0])}</div>'
        f"<figcaption>{'<br>'.join(map(escape, lines))}</figcaption></figure>"
        for first, second, lines in tiles
    ]
    return f'<div class="kit-grid kit-pairs">{"".join(figures)}</div>'


def strip(tiles: Iterable[tuple[str | None, Sequence[str]]]) -> str:
    """Return photographs close to one another; their lines are shown where the mouse is."""
    return f'<div class="kit-strip">{"".join(image(source, "", " ".join(lines)) for source, lines in tiles)}</div>'


def progress(text: str, share: float) -> str:
    """Return how far a work is: a sentence and a bar."""
    return (
        f'<div class="kit-progress"><b>{escape(text)}</b><div><div style="width:{100 * share:.1f}%"></div></div></div>'
    )
