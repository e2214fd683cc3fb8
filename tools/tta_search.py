"""Which views help: each alone beside the image itself, then greedily those that gain within the latency limit."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.flower_drawing import drawn_jpegs
from evaluation.labelled_images import LabelledImages, choose_images, readable_rows
from evaluation.metrics import cross_entropy, gain_interval
from prediction.latency import IMAGES, Latency, measure_latency
from prediction.logits import log_of, softmax
from prediction.pipeline import Pipeline, only_member, predict_images, with_views
from prediction.views import PLAIN, VIEWS

LIMITS = ("competition.max_latency_ms", "competition.input_size")


@dataclass(frozen=True)
class ViewScores:
    """Probabilities float64 (M, N, C) of each view, by M members for the N readable images, and their labels int (N,).

    `weights` are the members' shares; `average` is what views are averaged in, within each member.
    """

    of_view: dict[str, np.ndarray]
    labels: np.ndarray
    average: str
    weights: Sequence[float] = (1.0,)

    def correct(self, views: Sequence[str]) -> np.ndarray:
        """Return bool (N,): whether the average of `views` is right."""
        return self._mean(views).argmax(axis=1) == self.labels

    def log_loss(self, views: Sequence[str]) -> float:
        """Return the mean log loss of the average of `views`."""
        return cross_entropy(log_of(self._mean(views)), self.labels)

    def _mean(self, views: Sequence[str]) -> np.ndarray:
        stacked = np.stack([self.of_view[view] for view in views])
        if self.average == "logits":
            logits = np.log(np.maximum(stacked, np.finfo(np.float64).tiny))
            of_members = softmax(logits.mean(axis=0))
        else:
            of_members = stacked.mean(axis=0)
        return np.tensordot(self.weights, of_members, axes=1)


def search_views(pipeline: Pipeline, split: str | None, data: Path | None) -> list[str]:
    """Measure every view, pick greedily those that raise top-1 within `competition.max_latency_ms`, return lines.

    A view is added while top-1 rises and the p95 latency of the set, measured here, stays within the limit; of equal
    gains the lower log loss decides. Raises InputError if no image can be read.
    """
    images = choose_images(pipeline, split or "val", data)
    limits = pipeline.config.competition
    with drawn_jpegs(limits.input_size, IMAGES) as drawn:
        # the search asks again for the pairs of the table
        @functools.cache
        def latency(views: tuple[str, ...]) -> Latency:
            return measure_latency(with_views(pipeline, views), drawn)

        scores = _score(pipeline, images)
        plain = latency(PLAIN)
        lines = [
            f"{len(scores.labels)} images ({images.source}); latency on {plain.hardware}, of files of "
            f"{limits.input_size}x{limits.input_size}",
            f"{'beside identity':<18} {'top-1 %':>8} {'gain':>6} {'added ms':>9}",
            f"{'(identity alone)':<18} {100 * scores.correct(PLAIN).mean():>8.2f} {'':>6} "
            f"{f'({plain.median_ms:.1f})':>9}",
        ]
        for view in (name for name in VIEWS if name not in PLAIN):
            pair = (*PLAIN, view)
            top1, added = scores.correct(pair).mean(), latency(pair).median_ms - plain.median_ms
            gain = top1 - scores.correct(PLAIN).mean()
            lines.append(f"{view:<18} {100 * top1:>8.2f} {100 * gain:>+6.2f} {added:>9.1f}")
        chosen, taken, too_slow = choose_greedily(scores, latency, limits.max_latency_ms)
    before, after = scores.correct(PLAIN), scores.correct(chosen)
    low, high = gain_interval(after, before)
    lines.append(
        f"chosen      top-1 {100 * after.mean():.2f} %, {100 * (after.mean() - before.mean()):+.2f} points "
        f"(95 %: {low:+.2f} to {high:+.2f}) on the images that chose it; p95 {taken.p95_ms:.1f} ms of "
        f"{limits.max_latency_ms:g} ms"
    )
    if len(chosen) > 1:
        return [*lines, f"--tta {','.join(chosen)}"]
    reason = f"A view that helps takes more than {limits.max_latency_ms:g} ms" if too_slow else "No view helps"
    return [*lines, f"{reason}: leave --tta out."]


def _score(pipeline: Pipeline, images: LabelledImages) -> ViewScores:
    of_view = {}
    for view in VIEWS:
        seen = with_views(pipeline, (view,))
        answers = [predict_images(only_member(seen, member), images.inputs, view) for member in seen.members]
        rows = readable_rows(answers[0], images)
        of_view[view] = np.stack([answer.probabilities[rows] for answer in answers])
    return ViewScores(of_view, images.labels[rows], pipeline.average, [member.weight for member in pipeline.members])


def choose_greedily(
    scores: ViewScores, latency: Callable[[tuple[str, ...]], Latency], limit_ms: float
) -> tuple[tuple[str, ...], Latency, list[tuple[str, ...]]]:
    """Add views one at a time, while top-1 rises and the p95 stays within `limit_ms`.

    Return the views, their latency, and the sets of one view more that would raise top-1 but take longer.
    """
    chosen, taken = PLAIN, latency(PLAIN)
    while True:
        right = scores.correct(chosen).sum()
        candidates = [(*chosen, view) for view in VIEWS if view not in chosen]
        better = [views for views in candidates if scores.correct(views).sum() > right]
        for views in sorted(better, key=lambda views: (-scores.correct(views).sum(), scores.log_loss(views))):
            measured = latency(views)
            if measured.p95_ms <= limit_ms:
                chosen, taken = views, measured
                break
        else:
            return chosen, taken, better
