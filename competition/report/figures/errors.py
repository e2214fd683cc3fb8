"""Where the model errs: the confused classes against each other, and the accuracy of each class."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.classes import ImageClass
from competition.report.document import Say
from competition.report.run_record import Facts
from evaluation.figure_style import (
    BLACK,
    BLUE,
    COLUMN,
    GREY,
    LINE,
    ORANGE,
    SMALL,
    in_print,
    list_below,
    print_figure,
    row_places,
    text_width,
    wrapped,
)
from evaluation.intervals import wilson_interval
from evaluation.metrics import confusion_matrix
from evaluation.plots import LONGEST, class_labels, shown

MOST_CLASSES = 20

WORST_CLASSES = 20

# room of the matrix in a column, in points, and the side of its largest cell
_MATRIX, _LARGEST_CELL = COLUMN - 48, 26


def matrix_of(facts: Facts) -> np.ndarray:
    """Return the confusion matrix int64 (C, C) of the answers of the evaluation."""
    predicted, labels = (
        np.array([getattr(answer, name) for answer in facts.answers]) for name in ("predicted", "label")
    )
    return confusion_matrix(predicted, labels, len(facts.checkpoint.classes))


def confused_classes(matrix: np.ndarray, most: int = MOST_CLASSES) -> list[int]:
    """Return the labels, in order, of at most `most` classes: those that take part in the most frequent confusions."""
    if len(matrix) <= most:
        return list(range(len(matrix)))
    errors = matrix - np.diag(np.diag(matrix))
    # of equal counts, those whose two classes are confused most on the whole come first
    involved = errors.sum(axis=0) + errors.sum(axis=1)
    pairs = np.argwhere(errors > 0)
    order = np.lexsort((-involved[pairs].sum(axis=1), -errors[tuple(pairs.T)]))
    chosen: list[int] = []
    for pair in pairs[order].tolist():
        new = [label for label in pair if label not in chosen]
        if len(chosen) + len(new) <= most:
            chosen += new
    return sorted(chosen) or list(range(most))


def class_numbers(classes: Sequence[ImageClass]) -> list[str]:
    """Return the category ids, or the labels where an id is longer than five signs."""
    ids = [image_class.category_id for image_class in classes]
    return ids if all(0 < len(name) <= 5 and name.isascii() for name in ids) else [str(it.label) for it in classes]


@in_print
def confusions_figure(facts: Facts, say: Say) -> Figure | None:
    """Return the numbers of images by true and predicted class, of the confused classes where there are many.

    The axes have the numbers of the classes, whose names stand below. There are at most `MOST_CLASSES`, and fewer where
    counts have so many digits that they would not fit into the cells.
    """
    if not facts.answers:
        return None
    matrix, classes = matrix_of(facts), facts.checkpoint.classes
    room = text_width(str(matrix.max()), SMALL) + 3
    labels = confused_classes(matrix, min(MOST_CLASSES, int(_MATRIX / room)))
    names, numbers = class_labels(classes, LONGEST), class_numbers(classes)
    part = matrix[np.ix_(labels, labels)]
    cell = min(_MATRIX / len(labels), _LARGEST_CELL)
    figure = print_figure(cell * len(labels) + 42)
    axes = figure.add_subplot()
    axes.grid(visible=False)
    shares = part / np.maximum(matrix.sum(axis=1)[labels], 1)[:, None]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, interpolation="nearest")
    for row, column in np.argwhere(part):
        colour = "white" if shares[row, column] > 0.6 else BLACK
        weight = "normal" if row == column else "bold"
        axes.text(
            column,
            row,
            str(part[row, column]),
            ha="center",
            va="center",
            fontsize=SMALL,
            color=colour,
            fontweight=weight,
        )
    ticks = [shown(numbers[label]) for label in labels]
    upright = max(map(text_width, ticks)) + 2 > cell
    axes.set_xticks(range(len(labels)), ticks, rotation=90 if upright else 0)
    axes.set_yticks(range(len(labels)), ticks)
    part_of = say(f" ({len(labels)} of {len(classes)} classes)", f"（{len(classes)} 类中的 {len(labels)} 类）")
    axes.set_xlabel(say("predicted class", "预测类别") + (part_of if len(labels) < len(classes) else ""))
    axes.set_ylabel(say("true class", "真实类别"))
    # classes without names are called by their numbers
    if any(names[label] != numbers[label] for label in labels):
        list_below(figure, [(shown(numbers[label]), names[label]) for label in labels], columns=2)
    return figure


@in_print
def per_class_figure(facts: Facts, say: Say) -> Figure | None:
    """Return the accuracy of all classes, sorted, with 95 % intervals (Wilson); below, the worst ones with names."""
    rows = sorted(
        (row for row in facts.per_class if int(row["images"])),
        key=lambda row: (int(row["correct"]) / int(row["images"]), -int(row["images"])),
    )
    if not rows:
        return None
    names = class_labels(facts.checkpoint.classes, LONGEST)
    worst = rows[:WORST_CLASSES]
    labels = [wrapped(names[int(row["label"])], 0.45 * COLUMN) for row in worst]
    places, end = row_places(labels)
    below = LINE * end + 34
    if len(rows) == len(worst):
        figure = print_figure(below)
        lower = figure.add_subplot()
    else:
        figure = print_figure(below + 110)
        # each part has its own left margin
        upper, lower = (
            half.add_subplot() for half in figure.subfigures(2, 1, False, height_ratios=(110, below)).ravel()
        )
        _draw_ranks(upper, rows, say)
    for place, row in zip(places, worst, strict=True):
        share, low, high = _interval(row)
        lower.plot([low, high], [place, place], color=GREY, linewidth=1)
        lower.plot(share, place, "o", color=ORANGE)
    lower.set_yticks(places, labels)
    lower.set_ylim(end, 0)
    lower.set_xlim(-2, 102)
    lower.grid(axis="y", visible=False)
    lower.set_xlabel(say("accuracy of the class, %", "类别准确率，%"))
    return figure


def _draw_ranks(axes: Axes, rows: Sequence[dict[str, str]], say: Say) -> None:
    shares, lows, highs = np.array([_interval(row) for row in rows]).T
    ranks = np.arange(1, len(rows) + 1)
    axes.vlines(ranks, lows, highs, color="#b9cfe0", linewidth=max(0.4, min(1.5, 110 / len(rows))))
    colours = [ORANGE if rank <= WORST_CLASSES else BLUE for rank in ranks]
    axes.scatter(ranks, shares, s=4, c=colours, linewidth=0, zorder=3)
    axes.set_xlim(0, len(rows) + 1)
    axes.set_ylim(-2, 102)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel(say("classes by accuracy (orange: named below)", "按准确率排序的类别（橙色：下方列名）"))
    axes.set_ylabel(say("accuracy, %", "准确率，%"))


def _interval(row: dict[str, str]) -> tuple[float, float, float]:
    """Return the accuracy of a class and its interval, in per cent."""
    correct, images = int(row["correct"]), int(row["images"])
    low, high = wilson_interval(correct, images)
    return 100 * correct / images, 100 * low, 100 * high
