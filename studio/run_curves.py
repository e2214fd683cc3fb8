"""The curves of several runs over each other, as pictures."""

import base64
import io
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from studio.run_list import RunEntry
from studio.run_styles import STYLES

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
