"""Losses and accuracies by epoch, of one run or of several."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from competition.report.document import Say
from competition.report.run_record import Facts
from configs.epochs import epoch_count, first_final_epoch
from evaluation.figure_style import (
    AMBER,
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    in_print,
    legend_above,
    print_figure,
)
from evaluation.plots import LONGEST, shown

# rows of history.csv
History = Sequence[dict[str, str]]

# (name, first epoch, last epoch, colour); the ends count from 1 and may be fractions
Phase = tuple[str, float, float, str]

_OTHERS = (PURPLE, AMBER, SKY, GREY)


def curves_of_run(facts: Facts, say: Say) -> Figure | None:
    """Return the curves of the run, of other runs in `facts.others`, and the phases of the training."""
    if not facts.history:
        return None
    others = [(other.name, other.history) for other in getattr(facts, "others", ())]
    return curves_figure(facts.history, say, facts.checkpoint.epoch, _phases(facts, say), others)


def _phases(facts: Facts, say: Say) -> list[Phase]:
    training, ended = facts.config.training, int(facts.history[-1]["epoch"])
    phases = []
    if training.warmup_epochs:
        phases.append((say("warm-up", "预热"), 0.5, min(training.warmup_epochs, ended) + 0.5, "#fbe9cf"))
    first = first_final_epoch(training)
    if training.final_epochs and ended > first:
        last = min(ended, epoch_count(training)) + 0.5
        phases.append((say("last epochs, gentle augmentation", "末段轻增强"), first + 0.5, last, "#d8efe7"))
    return phases


@in_print
def curves_figure(
    history: History,
    say: Say,
    chosen: int | None = None,
    phases: Sequence[Phase] = (),
    others: Sequence[tuple[str, History]] = (),
) -> Figure:
    """Return losses above accuracies in per cent, by epoch; `chosen` is the epoch whose weights are used.

    Of `others` (name, history) only the validation is drawn.
    """
    figure = print_figure(190)
    losses, accuracies = figure.subplots(2, 1, sharex=True)
    handles = [
        *_draw(losses, history, "train_loss", say("training loss", "训练损失"), BLUE, "-"),
        *_draw(losses, history, "val_loss", say("validation loss", "验证损失"), ORANGE, "--"),
        *_draw(accuracies, history, "val_top1", say("validation top-1", "验证 top-1"), GREEN, "-", 100),
        *_draw(accuracies, history, "val_top5", say("validation top-5", "验证 top-5"), BLACK, ":", 100),
    ]
    for (name, rows), colour in zip(others, _OTHERS * len(others), strict=False):
        label = shown(name, LONGEST)
        of_loss = _draw(losses, rows, "val_loss", label, colour, "--")
        of_top1 = _draw(accuracies, rows, "val_top1", label, colour, "-", 100)
        handles += (of_top1 or of_loss)[:1]
    for axes in (losses, accuracies):
        for _, first, last, colour in phases:
            axes.axvspan(first, last, color=colour, linewidth=0, zorder=0)
        if chosen is not None:
            axes.axvline(chosen, color=BLACK, linewidth=0.8, linestyle="-.")
    handles += [Patch(color=colour, label=name) for name, *_, colour in phases]
    if chosen is not None:
        handles.append(losses.lines[-1])
        handles[-1].set_label(say(f"chosen epoch {chosen}", f"选定轮次 {chosen}"))
    longest = max(int(row["epoch"]) for rows in (history, *(rows for _, rows in others)) for row in rows)
    accuracies.set_xlim(0.5, longest + 0.5)
    accuracies.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    accuracies.set_xlabel(say("epoch", "轮次"))
    losses.set_ylabel(say("loss, nats", "损失，奈特"))
    accuracies.set_ylabel(say("accuracy, %", "准确率，%"))
    legend_above(figure, handles)
    return figure


def _draw(axes: Axes, history: History, column: str, label: str, colour: str, line: str, factor: float = 1) -> list:
    points = [(int(row["epoch"]), factor * float(row[column])) for row in history if row.get(column)]
    if not points:
        return []
    return axes.plot(*zip(*points, strict=True), color=colour, linestyle=line, marker=".", label=label)
