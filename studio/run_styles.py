"""How runs are told apart in their curves: colours, dashes and marks that colour-blind readers can tell apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Style:
    """How the curve of a run is drawn; `glyph` is its mark as a character, `dashes` are lengths in SVG's form."""

    colour: str
    line: str
    dashes: str
    mark: str
    glyph: str


# the colours of Okabe and Ito (2008) without their yellow, which is too pale on white
STYLES = (
    Style("#0072b2", "-", "", "o", "●"),
    Style("#d55e00", "--", "6 3", "s", "■"),
    Style("#009e73", "-.", "8 3 2 3", "^", "▲"),
    Style("#cc79a7", ":", "2 3", "D", "◆"),
    Style("#56b4e9", "-", "", "v", "▼"),
    Style("#e69f00", "--", "6 3", "P", "✚"),
    Style("#000000", "-.", "8 3 2 3", "X", "✖"),
    Style("#777777", ":", "2 3", "*", "★"),
)


def legend(names: Sequence[str]) -> str:
    """Return the whole names with the line and the mark of each curve, as HTML."""
    return f'<div class="kit-legend">{"".join(map(_entry, names, STYLES))}</div>'


def _entry(name: str, style: Style) -> str:
    return (
        '<div><svg width="44" height="14"><line x1="0" y1="7" x2="44" y2="7" '
        f'stroke="{style.colour}" stroke-width="2" stroke-dasharray="{style.dashes}"/></svg>'
        f'<b style="color:{style.colour}">{style.glyph}</b><span>{escape(name)}</span></div>'
    )
