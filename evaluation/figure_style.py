"""The style of figures in print: sizes of columns and pages, colours, fonts, and text that is broken to a width.

Drawing functions take `say`, which chooses the language of the words. One that is marked `in_print` draws for a column
of 8.5 cm or a page of 17 cm, so that its letters have at least 7 pt there.
"""

import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from evaluation.fonts import use_fonts

# (English, Chinese) to the text in the language of the figure
Say = Callable[[str, str], str]

# colours that colour-blind readers tell apart (Okabe and Ito 2008)
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
SKY, AMBER, GREY, BLACK = "#56b4e9", "#e69f00", "#767676", "#222222"

# widths and the size of letters, in points (1/72 inch): 8.5 cm and 17 cm
COLUMN, PAGE = 241.0, 482.0
FONT = 7.5
SMALL = 7.0
LINE = 1.3 * SMALL
# of a line, from its upper end
BASELINE = 0.95 * SMALL

# of files of pixels
DPI = 300

_PRINT: Any = {
    "font.size": FONT,
    "axes.labelsize": FONT,
    "axes.titlesize": FONT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "text.color": BLACK,
    "axes.labelcolor": BLACK,
    "axes.unicode_minus": False,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}

# where lines may end: before and after a Chinese character, and after a space
_BREAKS = re.compile(r"(?=[\u3400-\u9fff])|(?<=[\u3400-\u9fff])(?![，。、：；）])|(?<= )(?=\S)")

# in a word that is longer than a line: after signs that join words, or else anywhere; `\$` is one sign
_BREAKS_IN_WORD = re.compile(r"(?<=[_,/=])(?=\w)|(?<=[-.+])(?=[A-Za-z])")
_SIGNS = re.compile(r"\\\$|.")

P = ParamSpec("P")


def english(words: str, chinese: str) -> str:
    """Return the English words: the language of figures outside of a report."""
    return words


def in_print(draw: Callable[P, Any]) -> Callable[P, Any]:
    """Let a function that returns a Figure, or None, draw in the style of print."""

    @wraps(draw)
    def styled(*arguments: P.args, **keywords: P.kwargs) -> Any:
        use_fonts()
        with matplotlib.rc_context(_PRINT):
            figure = draw(*arguments, **keywords)
            if figure is not None:
                # ticks take their style when they are drawn for the first time
                figure.draw_without_rendering()
        return figure

    return styled


def print_figure(height: float, width: float = COLUMN, layout: Any = "constrained") -> Figure:
    """Return an empty figure; `height` and `width` are in points."""
    return Figure(figsize=(width / 72, height / 72), layout=layout, dpi=DPI)


def text_width(text: str, size: float = SMALL, weight: str = "normal") -> float:
    """Return the width in points of one line of text in the fonts of `use_fonts`."""
    plain = text.replace(r"\$", "$")
    return text_to_path.get_text_width_height_descent(plain, FontProperties(size=size, weight=weight), False)[0]


def wrapped(text: str, width: float, size: float = SMALL, weight: str = "normal") -> str:
    """Return the text in lines of at most `width` points; a word that is longer is broken within."""

    def fits(line: str) -> bool:
        return text_width(line.rstrip(), size, weight) <= width

    parts = [text]
    for split in (_BREAKS.split, _BREAKS_IN_WORD.split, _SIGNS.findall):
        parts = [piece for part in parts for piece in ([part] if fits(part) else split(part))]
    lines = [""]
    for part in parts:
        if lines[-1] and not fits(lines[-1] + part):
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip() for line in lines)


def legend_above(figure: Figure, handles: Sequence[Any]) -> None:
    """Put a legend above everything else, in as many columns as fit; the figure grows by the height that it needs."""
    width = 72 * figure.get_figwidth()
    # in one row columns have their own widths, in several we count with the widest
    if sum(text_width(handle.get_label()) + 36 for handle in handles) <= width:
        columns = len(handles)
    else:
        for handle in handles:
            handle.set_label(wrapped(handle.get_label(), width / 2 - 40))
        longest = max(text_width(line) for handle in handles for line in handle.get_label().split("\n"))
        columns = max(min(int(width / (longest + 34)), len(handles)), 1)
    labels = [handle.get_label() for handle in handles]
    rows = -(-len(handles) // columns)
    lines = max(
        sum(label.count("\n") + 1.2 for label in labels[first : first + rows]) for first in range(0, len(labels), rows)
    )
    figure.set_figheight(figure.get_figheight() + (LINE * lines + 6) / 72)
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, columnspacing=1.2, labelspacing=0.3)


def list_below(figure: Figure, entries: Sequence[tuple[str, str]], columns: int = 1) -> None:
    """Write entries (number, name) in columns below everything else; the figure grows by the height that they need."""
    width = 72 * figure.get_figwidth()
    indent = max((text_width(number) for number, _ in entries), default=0) + 6
    names = [wrapped(name, width / columns - indent - 6) for _, name in entries]
    rows = -(-len(entries) // columns) or 1
    parts = [range(first, min(first + rows, len(entries))) for first in range(0, len(entries), rows)]
    needed = LINE * max((sum(names[row].count("\n") + 1 for row in part) for part in parts), default=0) + 8
    height = 72 * figure.get_figheight() + needed
    figure.set_figheight(height / 72)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, needed / height, 1, 1 - needed / height))
    for column, part in enumerate(parts):
        left, top = 4 + column * width / columns, height - needed + 4
        for row in part:
            write_lines(figure, left, top, entries[row][0])
            top = write_lines(figure, left + indent, top, names[row])


def write_lines(figure: Figure, left: float, top: float, text: str, **style: Any) -> float:
    """Write lines at equal distances, from a place in points from the upper left corner; return where the text ends.

    Lines of one text of matplotlib would be as high as their letters.
    """
    across, down = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    for line in text.split("\n"):
        figure.text(left / across, 1 - (top + BASELINE) / down, line, va="baseline", fontsize=SMALL, **style)
        top += LINE
    return top


def row_places(labels: Sequence[str]) -> tuple[np.ndarray, float]:
    """Return the middles (N,) of rows that hold these labels below each other, and the end of the last, in lines."""
    heights = np.array([label.count("\n") + 1.3 for label in labels])
    return np.cumsum(heights) - heights / 2, float(heights.sum())
