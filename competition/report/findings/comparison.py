"""Several runs side by side: what differs in their configs, and in their answers to the same images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from competition.report.findings.difference import Difference, paired_difference
from competition.report.run_record import Facts
from configs.compose import leaves_of, to_plain

# keys that do not change what is learnt
_NOT_COMPARED = (
    *("output_dir", "experiment_name", "device", "dataset.num_workers", "training.resume", "competition."),
    *("augmentation.train", "augmentation.final"),
)


@dataclass(frozen=True)
class Comparison:
    """Another run: its top-1 with interval, what differs, and the first run's gain over it on the same images.

    `differs` maps a key to its value in the first run and in the other. `gain` is None if they were measured on other
    images.
    """

    name: str
    images: int | None
    top1: float | None
    interval: tuple[float, float] | None
    differs: dict[str, tuple[Any, Any]]
    gain: Difference | None


def compare_runs(facts: Facts) -> list[Comparison]:
    """Return a comparison with each of the other runs."""
    return [_compare(facts, other) for other in facts.others]


def _compare(facts: Facts, other: Facts) -> Comparison:
    metrics = other.metrics or {}
    interval = metrics.get("top1_interval")
    return Comparison(
        name=other.name,
        images=metrics.get("images"),
        top1=metrics.get("top1"),
        interval=None if interval is None else (interval[0], interval[1]),
        differs=differing_keys(to_plain(facts.config), to_plain(other.config)),
        gain=_paired(facts, other),
    )


def differing_keys(own: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the keys in which two plain configs differ in what is learnt, each with both values.

    An augmentation of another name has other transforms, which are left out.
    """
    left, right = dict(leaves_of(own)), dict(leaves_of(other))
    keys = [key for key in {**left, **right} if not key.startswith(_NOT_COMPARED)]
    return {key: (left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)}


def _paired(facts: Facts, other: Facts) -> Difference | None:
    own, theirs = ({answer.image_id: answer for answer in it.answers} for it in (facts, other))
    if not own or own.keys() != theirs.keys():
        return None
    names = sorted(own)
    hits = [np.array([answers[name].label == answers[name].predicted for name in names]) for answers in (own, theirs)]
    return paired_difference(hits[0], hits[1])
