"""TTA search: the gain of each view, and the set of views that gains most within the latency limit."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.flower_drawing import drawn_jpegs
from evaluation.epoch_choice import flattery
from evaluation.intervals import Gain, paired_gain
from evaluation.labelled_images import LabelledImages, choose_images, readable_rows
from evaluation.metrics import cross_entropy
from prediction.latency import IMAGES, Latency, measure_latency
from prediction.logits import calibrated, log_of
from prediction.options import PLAIN
from prediction.pipeline import Pipeline, only_member, predict_images, uncalibrated, with_views
from prediction.view_names import NAMES, SETS

# the set that is tried as one
CROPS = "crops5"


@dataclass(frozen=True)
class ViewScores:
    """Probabilities float64 (M, N, C) of each view, by M members for the N readable images, and their labels int (N,).

    `weights` are the members' shares; `average` is what views are averaged in, within each member, before its
    temperature of `temperatures` acts.
    """

    of_view: dict[str, np.ndarray]
    labels: np.ndarray
    average: str
    weights: Sequence[float] = (1.0,)
    temperatures: Sequence[float] = (1.0,)

    def correct(self, views: Sequence[str]) -> np.ndarray:
        """Return bool (N,): whether the average of `views` is right."""
        return self._mean(views).argmax(axis=1) == self.labels

    def log_loss(self, views: Sequence[str]) -> float:
        """Return the mean log loss of the average of `views`."""
        return cross_entropy(log_of(self._mean(views)), self.labels)

    def _mean(self, views: Sequence[str]) -> np.ndarray:
        stacked = np.stack([self.of_view[view] for view in views])
        of_members = log_of(stacked).mean(axis=0) if self.average == "logits" else log_of(stacked.mean(axis=0))
        pairs = zip(of_members, self.temperatures, strict=True)
        answers = [calibrated(logits, temperature) for logits, temperature in pairs]
        return np.tensordot(self.weights, np.stack(answers), axes=1)


@dataclass(frozen=True)
class ViewGain:
    """A view, or the five crops, beside the image itself: top-1 (a share), and milliseconds added to the median."""

    view: str
    top1: float
    added_ms: float


@dataclass(frozen=True)
class ViewSearch:
    """Every view beside the image itself, and the set chosen greedily.

    `plain_top1` and `plain_ms` (median) are those of the image alone, `top1`, `gain` and `p95_ms` those of the chosen
    set on the images that chose it; top-1 are shares, times milliseconds per image. `too_slow` are the next larger sets
    that would raise top-1 but take longer than the limit. `flattery` is by how much the choice among the image alone,
    the sets of the table and the chosen set makes top-1 (a share) too high.
    """

    images: int
    source: str
    hardware: str
    plain_top1: float
    plain_ms: float
    views: list[ViewGain]
    chosen: tuple[str, ...]
    top1: float
    gain: Gain
    p95_ms: float
    too_slow: list[tuple[str, ...]]
    flattery: float


def search_views(pipeline: Pipeline, split: str | None = None, data: str | Path | None = None) -> ViewSearch:
    """Measure every view, and pick greedily those that raise top-1 within `competition.max_latency_ms`.

    A view is added while top-1 rises and the p95 latency of the set, measured here, stays within the limit; of equal
    gains the lower log loss decides. The five crops are also measured, and tried, together. Raises InputError if no
    image can be read.
    """
    images = choose_images(pipeline, split, data)
    limits = pipeline.config.competition
    with drawn_jpegs(limits.input_size, IMAGES) as drawn:
        # the search asks again for the pairs of the table
        @functools.cache
        def latency(views: tuple[str, ...]) -> Latency:
            return measure_latency(with_views(pipeline, views), drawn)

        scores = _score(pipeline, images)
        plain = latency(PLAIN)
        pairs = [(view, (*PLAIN, view)) for view in NAMES if view not in PLAIN]
        pairs.append((CROPS, (*PLAIN, *SETS[CROPS])))
        views = [
            ViewGain(view, float(scores.correct(pair).mean()), latency(pair).median_ms - plain.median_ms)
            for view, pair in pairs
        ]
        chosen, taken, too_slow = choose_greedily(scores, latency, limits.max_latency_ms)
    before, after = scores.correct(PLAIN), scores.correct(chosen)
    return ViewSearch(
        images=len(scores.labels),
        source=images.source,
        hardware=plain.hardware,
        plain_top1=float(before.mean()),
        plain_ms=plain.median_ms,
        views=views,
        chosen=chosen,
        top1=float(after.mean()),
        gain=paired_gain(after, before),
        p95_ms=taken.p95_ms,
        too_slow=too_slow,
        flattery=flattery(np.stack([before, *(scores.correct(pair) for _, pair in pairs), after])),
    )


def _score(pipeline: Pipeline, images: LabelledImages) -> ViewScores:
    of_view = {}
    for view in NAMES:
        one_view = with_views(uncalibrated(pipeline), (view,))
        predicted = [predict_images(only_member(one_view, member), images.inputs, view) for member in one_view.members]
        rows = readable_rows(predicted[0], images)
        of_view[view] = np.stack([of_member.probabilities[rows] for of_member in predicted])
    weights = [member.weight for member in pipeline.members]
    temperatures = [member.checkpoint.temperature for member in pipeline.members]
    return ViewScores(of_view, images.labels[rows], pipeline.average, weights, temperatures)


def choose_greedily(
    scores: ViewScores, latency: Callable[[tuple[str, ...]], Latency], limit_ms: float
) -> tuple[tuple[str, ...], Latency, list[tuple[str, ...]]]:
    """Add views one at a time, while top-1 rises and the p95 stays within `limit_ms`; where none helps, the five crops.

    Return the views, their latency, and the next larger sets that would raise top-1 but take longer.
    """

    def rank(views: tuple[str, ...]) -> tuple[int, float]:
        return -int(scores.correct(views).sum()), scores.log_loss(views)

    chosen, taken = PLAIN, latency(PLAIN)
    while True:
        right = scores.correct(chosen).sum()
        candidates: list[tuple[str, ...]] = [(*chosen, view) for view in NAMES if view not in chosen]
        crops = [(*chosen, *(view for view in SETS[CROPS] if view not in chosen))]
        better = [views for views in candidates if scores.correct(views).sum() > right]
        better = better or [views for views in crops if scores.correct(views).sum() > right]
        for views in sorted(better, key=rank):
            measured = latency(views)
            if measured.p95_ms <= limit_ms:
                chosen, taken = views, measured
                break
        else:
            return chosen, taken, better
