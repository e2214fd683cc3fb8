"""What the confidences are worth: are they too high or too low, and what does abstaining give?"""

from dataclasses import dataclass

import numpy as np

from competition.report.run_record import Facts


@dataclass(frozen=True)
class Kept:
    """Answers of at least the confidence `threshold`: the `coverage` of all, and the share that is `right`."""

    coverage: float
    threshold: float
    right: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Confidence:
    """Mean confidence against accuracy, and what is left when the least confident answers are withheld.

    `gap` is the mean confidence less the accuracy, `error` the calibration error with its interval, `before` the error
    without the temperature (all shares). `most` is the row of nine in ten answers kept, `targets` the largest part of
    the answers that reaches a share of right ones, by that share.
    """

    mean: float
    gap: float
    error: float
    interval: tuple[float, float] | None
    before: float | None
    temperature: float | None
    most: Kept | None
    targets: dict[float, Kept]


def find_confidence(facts: Facts) -> Confidence | None:
    """Return what the confidences are worth; None without an evaluation."""
    metrics = facts.metrics
    if metrics is None or not facts.answers:
        return None
    confidences = np.array([answer.confidence for answer in facts.answers])
    right = np.array([answer.label == answer.predicted for answer in facts.answers])
    interval, before = metrics.get("calibration_error_interval"), metrics.get("calibration_error_before")
    rows = [(row["target"], _kept(row)) for row in facts.abstention]
    parts = [kept for target, kept in rows if not target and 0.85 <= kept.coverage < 0.95]
    return Confidence(
        mean=float(confidences.mean()),
        gap=float(confidences.mean() - right.mean()),
        error=metrics["calibration_error"],
        interval=None if interval is None else (interval[0], interval[1]),
        before=None if before is None else before["value"],
        temperature=facts.checkpoint.temperature if facts.checkpoint.temperature_source else None,
        most=min(parts, key=lambda kept: abs(kept.coverage - 0.9), default=None),
        targets={float(target): kept for target, kept in rows if target},
    )


def _kept(row: dict[str, str]) -> Kept:
    low, high = float(row["low_95"]), float(row["high_95"])
    return Kept(float(row["coverage"]), float(row["confidence"]), float(row["right"]), (low, high))
