"""The HTML that the tabs show. Names of classes and files are escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from studio.texts import Say

CSS = """
.kit-note { color: var(--body-text-color); opacity: 0.72; margin: 4px 0; }
.kit-pager { justify-content: center; align-items: center; }
.kit-pager > * { flex: 0 0 auto !important; }
.kit-problem { color: #b42318; background: #fef3f2; border-radius: 8px; padding: 10px 14px; }
.kit-columns { display: flex; flex-wrap: wrap; gap: 24px; }
.kit-columns > div { flex: 1 1 260px; min-width: 0; }
.kit-columns > div.kit-wide { flex-grow: 2; flex-basis: 380px; }
.kit-bar { display: flex; gap: 12px; align-items: center; margin: 10px 0; }
.kit-bar > div { flex: 1 1 0; min-width: 0; }
.kit-bar img { width: 64px; height: 64px; border-radius: 8px; object-fit: cover; margin: 0; }
.kit-bar b { display: block; overflow-wrap: anywhere; font-weight: 600; }
.kit-bar .kit-track { height: 10px; border-radius: 5px; background: var(--border-color-primary); margin-top: 6px; }
.kit-bar .kit-track div { height: 10px; border-radius: 5px; background: #2f7d4f; }
.kit-bar span { width: 64px; text-align: right; font-variant-numeric: tabular-nums; }
.kit-empty { background: var(--border-color-primary); }
.kit-picture { width: 100%; max-width: 420px; border-radius: 8px; image-rendering: auto; }
.kit-sheet { width: 100%; max-width: 1120px; border-radius: 8px; }
.kit-grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); gap: 14px; }
.kit-grid figure { margin: 0; min-width: 0; }
.kit-grid img, .kit-grid .kit-empty { margin: 0; width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 8px; }
.kit-grid figcaption { font-size: 13px; line-height: 1.35; overflow-wrap: anywhere; margin-top: 4px; }
.kit-grid.kit-pairs { grid-template-columns: repeat(auto-fill, minmax(264px, 1fr)); }
.kit-pairs .kit-two { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; }
table.kit-table { border-collapse: collapse; width: 100%; border: none !important; }
.kit-table tr, .kit-table tbody { border: none !important; }
.kit-table td, .kit-table th { text-align: left; vertical-align: top; padding: 5px 12px 5px 0 !important;
  overflow-wrap: anywhere; border: none !important; border-bottom: 1px solid var(--border-color-primary) !important; }
"""


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
