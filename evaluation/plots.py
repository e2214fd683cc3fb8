"""Plots: confusion matrix, most confused pairs, predictions, differences, front, range test, importance."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.classes import ImageClass
from common.files import replacing
from evaluation.calibration import reliability
from evaluation.intervals import wilson_interval

# fonts with Chinese glyphs on Windows, macOS and Linux, then matplotlib's own
_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "SimHei", "PingFang SC", "Heiti TC", "DejaVu Sans")

_MOST_LABELLED_CLASSES = 40

# of variants and of models with their views
_LONGEST_NAME = 80


def class_labels(classes: Sequence[ImageClass]) -> list[str]:
    """Return a short text per class that the fonts of this machine can draw: its name, else its id, else its label."""
    use_fonts()
    labels = []
    for image_class in classes:
        texts = [" ".join(text.split()) for text in (image_class.name, image_class.category_id)]
        text = next((text for text in texts if text and is_drawable(text)), f"class {image_class.label}")
        labels.append(shown(text))
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
    axes.barh(range(len(pairs)), [count for _, _, count in pairs], color="#0072b2")
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


def differences_figure(points: Sequence[tuple[str, float, float, float]], label: str) -> Figure:
    """Return one dot with interval per line: (name, difference, low, high); `label` states the unit."""
    figure = Figure(figsize=(8, max(1.2 + 0.35 * len(points), 2)), layout="constrained")
    axes = figure.add_subplot()
    for row, (_, difference, low, high) in enumerate(points):
        axes.plot([low, high], [row, row], color="#0072b2", linewidth=2)
        axes.plot([difference], [row], marker="o", color="#0072b2")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(points)), [shown(name, _LONGEST_NAME) for name, *_ in points])
    axes.invert_yaxis()
    axes.set_xlabel(label)
    return figure


def front_figure(points: Sequence[tuple[str, float, float, bool]], limit_ms: float) -> Figure:
    """Return dots of (name, p95 in ms, top-1 in per cent, on the Pareto front); the front is named and joined."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    front = sorted((point for point in points if point[3]), key=lambda point: point[1])
    others = [point for point in points if not point[3]]
    axes.plot([point[1] for point in others], [point[2] for point in others], "o", color="#999999", label="beaten")
    axes.plot([point[1] for point in front], [point[2] for point in front], "o-", color="#0072b2", label="Pareto front")
    for place, (name, milliseconds, top1, _) in enumerate(front):
        above = place % 2 == 0
        axes.annotate(
            shown(name, _LONGEST_NAME),
            (milliseconds, top1),
            xytext=(4, 8 if above else -14),
            textcoords="offset points",
            fontsize=8,
        )
    axes.axvline(limit_ms, color="#d55e00", linestyle="--", label=f"limit {limit_ms:g} ms")
    axes.margins(x=0.15, y=0.15)
    axes.set_xlabel("p95 latency of one image, milliseconds")
    axes.set_ylabel("validation top-1, %")
    axes.legend(loc="lower right")
    return figure


def importance_figure(shares: Mapping[str, float]) -> Figure:
    """Return bars of the shares of single keys in the variance that they explain between trials, the largest on top."""
    figure = Figure(figsize=(8, max(1.2 + 0.32 * len(shares), 2)), layout="constrained")
    axes = figure.add_subplot()
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    axes.barh(range(len(ranked)), [100 * share for _, share in ranked], color="#0072b2")
    axes.set_yticks(range(len(ranked)), [shown(name, _LONGEST_NAME) for name, _ in ranked])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the explained variance of validation top-1, %")
    return figure


def range_figure(rates: Sequence[float], losses: Sequence[float], marked: float) -> Figure:
    """Return the curve of a learning-rate range test with one rate marked."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color="#0072b2")
    axes.axvline(marked, color="#d55e00", linestyle="--", label=f"steepest fall: {marked:.2g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("smoothed training loss")
    axes.legend()
    return figure


def reliability_figure(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Return the share of right answers over the confidence, one curve per name, with 95 % intervals; below, how many.

    A curve is of answers with confidences float (N,), which are right or not, bool (N,). Each dot is a bin of equally
    many images; on the diagonal confidence and accuracy agree.
    """
    figure = Figure(figsize=(6, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    for (name, (answers, correct)), color in zip(curves.items(), ("#d55e00", "#0072b2"), strict=False):
        bins = reliability(answers, correct)
        confidences = np.array([it.confidence for it in bins])
        right = np.array([it.right for it in bins])
        bounds = np.array([wilson_interval(it.right * it.images, it.images) for it in bins]).reshape(-1, 2)
        gaps = np.abs(bounds - right[:, None]).T
        upper.errorbar(confidences, right, gaps, marker="o", color=color, label=name, capsize=2)
        lower.hist(answers, bins=20, range=(0, 1), color=color, alpha=0.5)
    upper.set_ylabel("share of right answers")
    upper.legend(loc="upper left")
    lower.set_ylabel("images")
    lower.set_xlabel("confidence")
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` as a PNG, atomically."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def use_fonts() -> None:
    """Let matplotlib draw Chinese names with a font of this machine, if it has one."""
    if not _known_fonts() & set(_FONTS[:-1]):
        _find_new_fonts()
    matplotlib.rcParams["font.family"] = [font for font in _FONTS if font in _known_fonts()]


def _known_fonts() -> set[str]:
    return {font.name for font in font_manager.fontManager.ttflist}


@cache
def _find_new_fonts() -> None:
    """Find fonts that were installed after matplotlib cached its list of fonts."""
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            # skip font files that matplotlib cannot read
            with suppress(OSError, RuntimeError, ValueError):
                font_manager.fontManager.addfont(path)


def is_drawable(text: str) -> bool:
    """Say whether the fonts chosen by `use_fonts` contain every character of a text."""
    with warnings.catch_warnings():
        # a warning about missing fonts is not needed: the caller replaces the text
        warnings.simplefilter("ignore")
        fonts = [font_manager.get_font(font_manager.findfont(family)) for family in matplotlib.rcParams["font.family"]]
    return all(any(font.get_char_index(ord(character)) for font in fonts) for character in text)
