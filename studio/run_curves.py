"""The curves of several runs over each other: colours, dashes and marks that colour-blind readers can tell apart."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from studio.run_list import RunEntry


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

# marks on one curve
_MARKS = 10


def curve_source(runs: Sequence[RunEntry], column: str, factor: float = 1.0) -> str | None:
    """Return a column of the histories by epoch, a curve for each run, as the `src` of an HTML image.

    The k-th run has the k-th of `STYLES`. None if no run has a value. There are no words in the picture.
    """
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for run, style in zip(runs, STYLES, strict=False):
        cells = [(row["epoch"], row[column]) for row in run.history]
        points = [(epoch, factor * value) for epoch, value in cells if value is not None]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                color=style.colour,
                linestyle=style.line,
                marker=style.mark,
                markevery=max(len(points) // _MARKS, 1),
                markersize=6,
                linewidth=1.8,
            )
    if not axes.lines:
        return None
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode('ascii')}"


def legend(names: Sequence[str]) -> str:
    """Return the whole names with the line and the mark of each curve, as HTML."""
    return f'<div class="kit-legend">{"".join(map(_entry, names, STYLES))}</div>'


def _entry(name: str, style: Style) -> str:
    return (
        '<div><svg width="44" height="14"><line x1="0" y1="7" x2="44" y2="7" '
        f'stroke="{style.colour}" stroke-width="2" stroke-dasharray="{style.dashes}"/></svg>'
        f'<b style="color:{style.colour}">{style.glyph}</b><span>{escape(name)}</span></div>'
    )
