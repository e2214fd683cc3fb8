"""Plots: confusion matrix, most confused pairs, predictions, differences, front, range test, importance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from common.classes import ImageClass
from common.files import replacing
from evaluation.calibration import Bin, reliability
from evaluation.figure_style import (
    BLACK,
    BLUE,
    COLUMN,
    FONT,
    GREEN,
    GREY,
    LINE,
    ORANGE,
    SKY,
    SMALL,
    Say,
    english,
    in_print,
    legend_above,
    list_below,
    print_figure,
    row_places,
    wrapped,
)
from evaluation.fonts import is_drawable, use_fonts
from evaluation.intervals import wilson_interval

_MOST_LABELLED_CLASSES = 40

# letters of a name in a figure that does not cut names
LONGEST = 100

# dots per inch of figures that are made for a screen
_SCREEN_DPI = 120

_JPEG = {"quality": 92, "subsampling": 0}


def class_labels(classes: Sequence[ImageClass], longest: int = 24) -> list[str]:
    """Return a text per class that the fonts of this machine can draw: its name, else its id, else its label."""
    use_fonts()
    labels = []
    for image_class in classes:
        texts = [" ".join(text.split()) for text in (image_class.name, image_class.category_id)]
        text = next((text for text in texts if text and is_drawable(text)), f"class {image_class.label}")
        labels.append(shown(text, longest))
    return labels


def shown(text: str, longest: int = 24) -> str:
    """Return one line of at most `longest` characters that matplotlib draws as it is, `$` included."""
    line = " ".join(text.split())
    line = line if len(line) <= longest else f"{line[: longest - 1]}…"
    # an even number of bare $ would make the text a formula
    return line.replace("$", r"\$")


def confusion_figure(matrix: np.ndarray, classes: Sequence[ImageClass]) -> Figure:
    """Return a picture of a confusion matrix (C, C), as fractions of each true class; names up to 40 classes."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(max(4 + 0.12 * len(classes), 6), 16)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if len(classes) <= _MOST_LABELLED_CLASSES:
        labels = class_labels(classes)
        axes.set_xticks(range(len(classes)), labels, rotation=90)
        axes.set_yticks(range(len(classes)), labels)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    return figure


def worst_pairs_figure(pairs: Sequence[tuple[int, int, int]], classes: Sequence[ImageClass]) -> Figure:
    """Return bars of the most frequent confusions (true label, predicted label, images), the worst on top."""
    labels = class_labels(classes)
    figure = Figure(figsize=(8, max(1.2 + 0.32 * len(pairs), 2)), layout="constrained")
    axes = figure.add_subplot()
    names = [f"{labels[true]} taken for {labels[predicted]}" for true, predicted, _ in pairs]
    axes.barh(range(len(pairs)), [count for _, _, count in pairs], color=BLUE)
    axes.set_yticks(range(len(pairs)), names)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("images" if pairs else "no confusions")
    return figure


def predictions_figure(
    images: Sequence[np.ndarray], labels: Sequence[int], predicted: Sequence[int], classes: Sequence[ImageClass]
) -> Figure:
    """Return up to two rows of images (uint8 RGB) with true class and prediction; wrong ones are marked."""
    texts = class_labels(classes)
    columns = max(-(-len(images) // 2), 1)
    figure = Figure(figsize=(2.4 * columns, 5.6), layout="constrained")
    for position, (image, label, prediction) in enumerate(zip(images, labels, predicted, strict=True)):
        axes = figure.add_subplot(2, columns, position + 1)
        axes.imshow(image)
        axes.set_axis_off()
        right = label == prediction
        title = texts[label] if right else f"{texts[label]}\nnot {texts[prediction]}"
        axes.set_title(title, fontsize=8, color="black" if right else "#d55e00")
    return figure


@in_print
def differences_figure(points: Sequence[tuple[str, float, float, float]], label: str) -> Figure:
    """Return a forest plot: a dot with its interval per line (name, difference, low, high), and the numbers beside it.

    `label` states the unit. Grey intervals hold zero.
    """
    names = [wrapped(shown(name, LONGEST), 0.36 * COLUMN) for name, *_ in points]
    places, end = row_places(names)
    figure = print_figure(max(LINE * end + 42, 72))
    axes = figure.add_subplot()
    for place, (_, difference, low, high) in zip(places, points, strict=True):
        colour = GREY if low <= 0 <= high else BLUE if difference > 0 else ORANGE
        axes.plot([low, high], [place, place], color=colour, solid_capstyle="butt")
        axes.plot([difference], [place], marker="s", color=colour)
        text = f"{difference:+.1f} ({low:+.1f}, {high:+.1f})"
        axes.text(1.03, place, text, transform=axes.get_yaxis_transform(), fontsize=SMALL, va="center")
    axes.axvline(0, color=BLACK, linewidth=0.8)
    axes.set_yticks(places, names)
    axes.set_ylim(max(end, 1), 0)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    figure.supxlabel(wrapped(label, COLUMN - 10, FONT), fontsize=FONT)
    return figure


@in_print
def front_figure(
    points: Sequence[tuple[str, float, float, bool]], limit_ms: float, best: str | None = None, say: Say = english
) -> Figure:
    """Return dots of (name, p95 in ms, top-1 in per cent, on the Pareto front); the front is numbered and joined.

    `best` is the name of the choice to mark. The names stand below.
    """
    figure = print_figure(150)
    axes = figure.add_subplot()
    front = sorted((point for point in points if point[3]), key=lambda point: point[1])
    others = [point for point in points if not point[3]]
    handles = []
    if others:
        label = say("beaten by another", "被其他方案超过")
        handles += axes.plot([point[1] for point in others], [point[2] for point in others], "o", color="#aaaaaa")
        handles[-1].set_label(label)
    handles += axes.plot([point[1] for point in front], [point[2] for point in front], "o-", color=BLUE)
    handles[-1].set_label(say("Pareto front", "帕累托前沿"))
    for name, milliseconds, top1, _ in points:
        if name == best:
            ring = axes.plot([milliseconds], [top1], "o", markersize=9, markerfacecolor="none", color=GREEN)
            ring[0].set_label(say("best within the limits", "满足限制的最佳方案"))
            handles += ring
    for place, (_, milliseconds, top1, _) in enumerate(front, 1):
        axes.annotate(
            str(place), (milliseconds, top1), xytext=(-3, 4), textcoords="offset points", fontsize=SMALL, ha="right"
        )
    handles.append(axes.axvline(limit_ms, color=ORANGE, linestyle="--"))
    handles[-1].set_label(say(f"limit {limit_ms:g} ms", f"上限 {limit_ms:g} ms"))
    if limit_ms > 0 and min((point[1] for point in points), default=0) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.12, y=0.15)
    axes.set_xlabel(say("p95 latency of one image, ms", "单张图像 p95 时延，毫秒"))
    axes.set_ylabel("top-1, %")
    legend_above(figure, handles)
    list_below(
        figure,
        [
            (
                str(place),
                f"{shown(name, LONGEST)}: {top1:.2f}\N{NO-BREAK SPACE}%, {milliseconds:.1f}\N{NO-BREAK SPACE}ms",
            )
            for place, (name, milliseconds, top1, _) in enumerate(front, 1)
        ],
    )
    return figure


@in_print
def importance_figure(shares: Mapping[str, float], say: Say = english) -> Figure:
    """Return bars of the shares of single keys in the variance that they explain between trials, the largest on top."""
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    names = [wrapped(shown(name, LONGEST), 0.45 * COLUMN) for name, _ in ranked]
    places, end = row_places(names)
    figure = print_figure(max(LINE * end + 42, 72))
    axes = figure.add_subplot()
    axes.barh(places, [100 * share for _, share in ranked], color=BLUE)
    axes.set_yticks(places, names)
    axes.set_ylim(max(end, 1), 0)
    axes.set_xlim(0, 100)
    axes.grid(axis="y", visible=False)
    words = say("share of the explained variance of validation top-1, %", "对验证 top-1 方差的解释比例，%")
    figure.supxlabel(wrapped(words, COLUMN - 10, FONT), fontsize=FONT)
    return figure


def range_figure(rates: Sequence[float], losses: Sequence[float], marked: float) -> Figure:
    """Return the curve of a learning-rate range test with one rate marked."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=BLUE)
    axes.axvline(marked, color=ORANGE, linestyle="--", label=f"steepest fall: {marked:.2g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("smoothed training loss")
    axes.legend()
    return figure


@in_print
def reliability_figure(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], say: Say = english) -> Figure:
    """Return the share of right answers over the confidence, one curve per name, with 95 % intervals; below, how many.

    A curve is of answers with confidences float (N,), which are right or not, bool (N,). Each dot is a bin of equally
    many images; on the diagonal confidence and accuracy agree. The bars count the images of each tenth of confidence,
    of the last curve.
    """
    figure = print_figure(215)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.1))
    handles = upper.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, label=say("calibrated", "完全校准"))
    answers = np.empty(0)
    for (name, (answers, correct)), color in zip(curves.items(), (ORANGE, BLUE)[-len(curves) :], strict=False):
        bins = reliability(answers, correct)
        confidences = np.array([it.confidence for it in bins])
        right = np.array([it.right for it in bins])
        bounds = np.array([wilson_interval(it.right * it.images, it.images) for it in bins]).reshape(-1, 2)
        gaps = np.abs(bounds - right[:, None]).T
        label = say(f"{name}, {_images_of(bins)} images a dot", f"{name}，每点 {_images_of(bins)} 张图像")
        handles.append(
            upper.errorbar(confidences, right, gaps, marker="o", color=color, label=label, capsize=1.5, linewidth=1)
        )
    counts, edges = np.histogram(answers, bins=10, range=(0, 1))
    lower.bar(edges[:-1], counts, width=0.095, align="edge", color=SKY)
    for left, count in zip(edges, counts, strict=False):
        lower.annotate(
            str(count), (left + 0.0475, count), xytext=(0, 1.5), textcoords="offset points", ha="center", fontsize=SMALL
        )
    lower.margins(y=0.25)
    lower.grid(axis="x", visible=False)
    lower.set_xlim(0, 1)
    upper.set_ylim(-0.02, 1.04)
    upper.set_ylabel(say("share of right answers", "正确比例"))
    lower.set_ylabel(say("images", "图像数"))
    lower.set_xlabel(say("confidence", "置信度"))
    legend_above(figure, handles)
    return figure


def _images_of(bins: Sequence[Bin]) -> str:
    fewest, most = min(it.images for it in bins), max(it.images for it in bins)
    return str(most) if fewest == most else f"{fewest}-{most}"


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` atomically, in the form that the suffix of `path` names: PNG, JPEG, or SVG with text as paths.

    So the letters of an SVG are the same without the fonts of this machine, and equal figures are equal files.
    """
    kind = path.suffix[1:].lower()
    options: dict[str, Any] = {"svg": {"metadata": {"Date": None}}, "jpg": {"pil_kwargs": _JPEG}}.get(kind, {})
    with replacing(path) as temporary, matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": path.stem}):
        figure.savefig(temporary, dpi=max(figure.dpi, _SCREEN_DPI), format=kind, **options)
