"""What was compared: ingredients of the recipe, choices within the latency, trials of a search."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from competition.report.document import Say
from competition.report.findings.experiments import model_names
from competition.report.ingredients import variant_name
from competition.report.run_record import Facts
from evaluation.figure_style import BLUE, GREY, ORANGE, in_print, legend_above, print_figure
from evaluation.plots import differences_figure, front_figure


def ablation_figure(facts: Facts, say: Say) -> Figure | None:
    """Return a forest plot of what each variant gives against the base."""
    points = []
    # in the order of the table beside it
    for row in sorted(facts.ablation, key=lambda row: float(row["difference"])):
        if row["variant"] != "base":
            difference, low, high = (100 * float(row[name]) for name in ("difference", "low_95", "high_95"))
            points.append((variant_name(row["variant"], say), difference, low, high))
    if not points:
        return None
    label = say("difference to the base in top-1, points (95 % interval)", "与基线的 top-1 之差，百分点（95 % 区间）")
    return differences_figure(points, label)


def pareto_figure(facts: Facts, say: Say) -> Figure | None:
    """Return latency against accuracy of all choices that `budget` measured."""
    if not facts.budget or not facts.budget["choices"]:
        return None
    choices, best = facts.budget["choices"], facts.budget["best"]
    points = [(_name(row), row["p95_ms"], 100 * row["top1"], row["front"]) for row in choices]
    return front_figure(points, facts.budget["limits"]["p95_ms"], None if best is None else _name(best), say)


def _name(choice: dict) -> str:
    models = " + ".join(model_names(choice["models"]))
    return f"{models}, {choice['runtime']} {choice['precision']}, {choice['views'].replace(',', ' + ')}"


@in_print
def tune_figure(facts: Facts, say: Say) -> Figure | None:
    """Return the validation top-1 of each trial, and the best so far; `facts.tune` are the rows of trials.csv."""
    rows = [row for row in getattr(facts, "tune", None) or () if row["val_top1"]]
    if not rows:
        return None
    numbers = np.array([int(row["trial"]) for row in rows])
    order = np.argsort(numbers, kind="stable")
    numbers, top1 = numbers[order], np.array([100 * float(row["val_top1"]) for row in rows])[order]
    whole = np.array([row["state"] == "finished" for row in rows])[order]
    figure = print_figure(130)
    axes = figure.add_subplot()
    handles = []
    for chosen, marker, colour, label in (
        (whole, "o", BLUE, say("finished", "完成")),
        (~whole, "x", GREY, say("stopped early", "提前终止")),
    ):
        if chosen.any():
            handles += axes.plot(numbers[chosen], top1[chosen], marker, color=colour, label=label)
    if whole.any():
        best = np.maximum.accumulate(top1[whole])
        handles += axes.step(numbers[whole], best, where="post", color=ORANGE, label=say("best so far", "当前最佳"))
    axes.set_xlabel(say("trial", "试验"))
    axes.set_ylabel(say("validation top-1, %", "验证 top-1，%"))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    legend_above(figure, handles)
    return figure
