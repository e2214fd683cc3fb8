"""Figures of a report: curves, calibration, confused pairs with photographs, heat maps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from competition.report.run_record import Answer, Facts
from data.images import attempt, read_image
from data.transforms import eval_image
from evaluation.evaluate import worst_pairs
from evaluation.grad_cam import attention_map
from evaluation.metrics import confusion_matrix
from evaluation.plots import class_labels

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"

_TILE = 256


def curves_figure(history: Sequence[dict[str, str]]) -> Figure:
    """Return losses and validation accuracies by epoch."""
    epochs = [int(row["epoch"]) for row in history]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for axes, columns, factor in (
        (losses, {"train_loss": (BLUE, "-"), "val_loss": (ORANGE, "--")}, 1),
        (accuracies, {"val_top1": (BLUE, "-"), "val_top5": (GREEN, "--")}, 100),
    ):
        for name, (colour, line) in columns.items():
            points = [
                (epoch, factor * float(row[name])) for epoch, row in zip(epochs, history, strict=True) if row[name]
            ]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, linestyle=line, marker=".", label=name)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if axes.lines:
            axes.legend()
    losses.set_ylabel("loss")
    accuracies.set_ylabel("%")
    return figure


def reliability_figure(answers: Sequence[Answer], bins: int = 10) -> Figure:
    """Return accuracy by confidence, in equal bins, with the diagonal of a calibrated model (Guo et al. 2017)."""
    confidences = np.array([answer.confidence for answer in answers])
    right = np.array([answer.label == answer.predicted for answer in answers])
    bin_of = np.minimum((confidences * bins).astype(int), bins - 1)
    used = np.flatnonzero(np.bincount(bin_of, minlength=bins))
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#888888", linestyle="--", label="calibrated")
    means = [confidences[bin_of == number].mean() for number in used]
    axes.plot(means, [right[bin_of == number].mean() for number in used], "o-", color=BLUE, label="model")
    for number, mean in zip(used, means, strict=True):
        axes.annotate(str((bin_of == number).sum()), (mean, 0.01), fontsize=7, ha="center", color="#555555")
    axes.set_xlabel("confidence (below: images)")
    axes.set_ylabel("share that is right")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.03)
    axes.legend()
    return figure


def pairs_figure(facts: Facts, pairs: int = 4) -> Figure | None:
    """Return one row per confused pair: a confused photograph, and one of the class it was taken for.

    Returns None if nothing is confused, or the photographs are missing.
    """
    labels = class_labels(facts.checkpoint.classes)
    predicted, true = (np.array([getattr(answer, name) for answer in facts.answers]) for name in ("predicted", "label"))
    rows = []
    for label, other, count in worst_pairs(confusion_matrix(predicted, true, len(labels)), pairs):
        confused = next(a for a in facts.answers if a.label == label and a.predicted == other)
        typical = next((a for a in facts.answers if a.label == other == a.predicted), None)
        shown = [_photograph(facts, answer) for answer in (confused, typical) if answer is not None]
        if len(shown) == 2 and all(image is not None for image in shown):
            rows.append((labels[label], labels[other], count, shown))
    if not rows:
        return None
    figure = Figure(figsize=(4.6 * min(len(rows), 2), 2.7 * -(-len(rows) // 2)), layout="constrained")
    all_axes = figure.subplots(-(-len(rows) // 2), 2 * min(len(rows), 2), squeeze=False).ravel()
    for axes in all_axes:
        axes.set_axis_off()
    for row, (name, other, count, shown) in enumerate(rows):
        for column, (image, title) in enumerate(
            zip(shown, (f"{name}\ntaken for {other} ({count}x)", f"{other}\nas it is"), strict=True)
        ):
            all_axes[2 * row + column].imshow(image)
            all_axes[2 * row + column].set_title(title, fontsize=8)
    return figure


def attention_figure(facts: Facts, images: int = 6) -> Figure | None:
    """Return photographs beside their heat maps; half of them are wrong answers if there are any.

    Returns None if the photographs are missing, or the architecture gives no map.
    """
    wrong = [answer for answer in facts.answers if answer.label != answer.predicted][: images // 2]
    right = [answer for answer in facts.answers if answer.label == answer.predicted]
    chosen = [*right[:: max(len(right) // images, 1)][: images - len(wrong)], *wrong]
    model, labels, shown = facts.checkpoint.build_model(), class_labels(facts.checkpoint.classes), []
    for answer in chosen:
        image = _photograph(facts, answer, facts.checkpoint.input_size)
        places = None if image is None else attention_map(model, image, answer.predicted)
        if places is not None:
            shown.append((answer, image, places))
    if not shown:
        return None
    figure = Figure(figsize=(1.6 * len(shown), 3.9), layout="constrained")
    for column, (answer, image, places) in enumerate(shown):
        for row in range(2):
            axes = figure.add_subplot(2, len(shown), row * len(shown) + column + 1)
            axes.imshow(image)
            axes.set_axis_off()
            if row == 1:
                axes.imshow(places, cmap="viridis", alpha=0.55)
            else:
                text = labels[answer.label]
                text += "" if answer.label == answer.predicted else f"\nnot {labels[answer.predicted]}"
                axes.set_title(text, fontsize=7, color="black" if answer.label == answer.predicted else ORANGE)
    return figure


def _photograph(facts: Facts, answer: Answer, size: int = _TILE) -> np.ndarray | None:
    """Return the square that evaluation uses, uint8 RGB, or None if the file is missing or unreadable."""
    path = Path((facts.metrics or {}).get("image_dir", "")) / answer.image_id
    crop_pct, fit = facts.checkpoint.crop_pct, facts.checkpoint.fit
    return attempt(lambda: eval_image(read_image(path).pixels, size, crop_pct, fit))[0]
