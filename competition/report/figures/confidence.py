"""What the confidence of an answer is worth, and what goes with the accuracy of a class."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from competition.report.document import Say
from competition.report.run_record import Facts
from evaluation.calibration import reliability
from evaluation.figure_style import BLUE, GREY, ORANGE, SKY, in_print, legend_above, print_figure
from evaluation.intervals import wilson_interval
from evaluation.plots import reliability_figure

# answers beyond which the interval at a point of a curve is drawn
_FEWEST = 5


def _confidences(facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences float (N,) and which answers are right, bool (N,)."""
    answers = facts.answers
    return np.array([it.confidence for it in answers]), np.array([it.label == it.predicted for it in answers])


def reliability_of_run(facts: Facts, say: Say) -> Figure | None:
    """Return the accuracy by confidence of the answers of the evaluation."""
    return reliability_figure({say("model", "本模型"): _confidences(facts)}, say) if facts.answers else None


@in_print
def risk_coverage_figure(facts: Facts, say: Say) -> Figure | None:
    """Return the error among the most confident answers by the share that they are (El-Yaniv and Wiener 2010).

    The dashed line is of confidences that would put all right answers first.
    """
    if not facts.answers:
        return None
    confidences, right = _confidences(facts)
    ranked = np.argsort(-confidences, kind="stable")
    confidences, right = confidences[ranked], right[ranked]
    # answers of equal confidence come together
    ends = np.flatnonzero(np.append(confidences[1:] < confidences[:-1], True)) + 1
    wrong = np.cumsum(~right)[ends - 1]
    figure = print_figure(135)
    axes = figure.add_subplot()
    drawn = ends >= _FEWEST
    coverage = 100 * ends / len(right)
    bounds = np.array([wilson_interval(count, kept) for count, kept in zip(wrong[drawn], ends[drawn], strict=True)])
    handles: list = axes.plot(coverage, 100 * wrong / ends, color=BLUE, label=say("by confidence", "按置信度"))
    if len(bounds):
        label = say("95 % interval", "95 % 区间")
        handles.append(axes.fill_between(coverage[drawn], *(100 * bounds.T), color=SKY, alpha=0.3, lw=0, label=label))
    kept = np.arange(1, len(right) + 1)
    ideal = np.maximum(kept - right.sum(), 0) / kept
    label = say("perfect order", "理想排序")
    handles += axes.plot(100 * kept / len(right), 100 * ideal, "--", color=GREY, linewidth=0.9, label=label)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, max(100 * wrong / ends) * 1.25 + 1)
    axes.set_xlabel(say("share of the images answered, %", "作答图像的比例，%"))
    axes.set_ylabel(say("errors among these, %", "其中的错误率，%"))
    legend_above(figure, handles)
    return figure


@in_print
def correlations_figure(facts: Facts, say: Say) -> Figure | None:
    """Return the accuracy of each class by its training images, above the share of errors by confidence.

    The first part is left out where all classes have equally many training images.
    """
    if not facts.answers:
        return None
    rows = [row for row in facts.per_class if int(row["images"])]
    several = len({row["training_images"] for row in rows}) > 1
    figure = print_figure(270 if several else 150)
    *above, lower = figure.subplots(2 if several else 1, 1, squeeze=False).ravel()
    for axes in above:
        _draw_classes(axes, rows, say)
    confidences, right = _confidences(facts)
    bins = reliability(confidences, right)
    means = [100 * it.confidence for it in bins]
    wrong = np.array([1 - it.right for it in bins])
    bounds = np.array([wilson_interval(it.images * (1 - it.right), it.images) for it in bins])
    lower.errorbar(means, 100 * wrong, 100 * np.abs(bounds - wrong[:, None]).T, fmt="o-", color=BLUE, capsize=1.5, lw=1)
    lower.set_xlim(0, 100)
    lower.set_ylim(bottom=0)
    lower.set_xlabel(say("confidence, % (groups of equally many images)", "置信度，%（每组图像数相同）"))
    lower.set_ylabel(say("errors, % (95 % interval)", "错误率，%（95 % 区间）"))
    return figure


def _draw_classes(axes: Axes, rows: list[dict[str, str]], say: Say) -> None:
    trained = np.array([int(row["training_images"]) for row in rows])
    accuracy = np.array([100 * int(row["correct"]) / int(row["images"]) for row in rows])
    # equal points would hide each other: their area is the number of classes
    points, counts = np.unique(np.stack([trained, accuracy]), axis=1, return_counts=True)
    axes.scatter(*points, s=9 * counts, color=BLUE, alpha=0.55, linewidth=0)
    means = [(count, accuracy[trained == count].mean()) for count in np.unique(trained)]
    if len(means) <= 25:
        axes.plot(*zip(*means, strict=True), "_", color=ORANGE, markersize=7, markeredgewidth=1.5)
    axes.set_ylim(-5, 105)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel(
        say("training images of the class (area: classes; dash: mean)", "该类训练图像数（面积：类别数；横线：均值）")
    )
    axes.set_ylabel(say("accuracy of the class, %", "类别准确率，%"))
