"""How training went: its epochs, where it settled, and what the last steps gave."""

from dataclasses import dataclass

import numpy as np

from competition.report.findings.difference import Difference, paired_difference
from competition.report.run_record import Facts
from training.start_mix import SHARE, TOP1_WITH

# an epoch whose accuracy is this close to the best counts as settled (a share)
SETTLED = 0.01


@dataclass(frozen=True)
class Course:
    """The course of a run; accuracies are those of validation, shares from 0 to 1, None without validation.

    `epochs` ran; `last` is the number of the last one, which is higher where some were skipped. `settled` is the epoch
    from which on no epoch lay more than `SETTLED` below the best. `lowest_loss` is the epoch of
    the lowest validation loss. `hours` holds validation and saving too, `training_hours` does not. `last_epochs` is
    what the best of the gentle last epochs gained over the best before them. `mixed` are the top-1 without and with the
    weights of the start, on `images` validation images.
    """

    epochs: int
    last: int
    planned: float
    hours: float | None
    training_hours: float
    images_per_second: float | None
    first_top1: float | None
    best_top1: float | None
    best_epoch: int | None
    settled: int | None
    lowest_loss: int | None
    last_epochs: Difference | None
    start_share: float | None
    mixed: tuple[float, float] | None
    images: int


def find_course(facts: Facts) -> Course | None:
    """Return the course of a run, None without its history."""
    history = facts.history
    if not history:
        return None
    top1 = {int(row["epoch"]): float(row["val_top1"]) for row in history if row["val_top1"]}
    losses = {int(row["epoch"]): float(row["val_loss"]) for row in history if row["val_loss"]}
    walls = [row.get("wall_seconds") or "" for row in history]
    speeds = [float(row["images_per_second"]) for row in history if row["images_per_second"]]
    best = max(top1.values(), default=None)
    far = [epoch for epoch, value in top1.items() if best is not None and value < best - SETTLED]
    return Course(
        epochs=len(history),
        last=int(history[-1]["epoch"]),
        planned=facts.config.training.epochs,
        hours=sum(map(float, walls)) / 3600 if all(walls) else None,
        training_hours=sum(float(row["seconds"]) for row in history) / 3600,
        images_per_second=float(np.median(speeds)) if speeds else None,
        first_top1=top1[min(top1)] if top1 else None,
        best_top1=best,
        best_epoch=next((epoch for epoch, value in top1.items() if value == best), None),
        settled=None if best is None else min((epoch for epoch in top1 if epoch > max(far, default=0)), default=None),
        lowest_loss=min(losses, key=lambda epoch: losses[epoch]) if losses else None,
        last_epochs=_last_epochs(facts, top1),
        start_share=facts.checkpoint.metrics.get(SHARE),
        mixed=_mixed(facts),
        images=len(facts.checkpoint.split["val"]),
    )


def _last_epochs(facts: Facts, top1: dict[int, float]) -> Difference | None:
    """Return the gain of the last epochs; None where the answers of the epochs were not kept."""
    count = facts.config.training.final_epochs
    planned = facts.config.training.epochs
    # a run that was stopped early or had a part of an epoch may have had none of them
    ran_all = len(facts.history) == len(top1) == planned
    if facts.hits is None or not ran_all or not 0 < count < len(top1) or len(facts.hits) != len(top1):
        return None
    accuracies = facts.hits.mean(axis=1)
    before = int(accuracies[:-count].argmax())
    after = len(top1) - count + int(accuracies[-count:].argmax())
    return paired_difference(facts.hits[after], facts.hits[before])


def _mixed(facts: Facts) -> tuple[float, float] | None:
    """Return validation top-1 without and with the share of the start that is shipped, None if it was not measured."""
    metrics = facts.checkpoint.metrics
    if not metrics.get(SHARE):
        return None
    without, with_start = (metrics.get(TOP1_WITH.format(share)) for share in (0.0, metrics[SHARE]))
    return None if without is None or with_start is None else (without, with_start)
