"""Which views help: each alone beside the image itself, then greedily those that gain within the latency limit."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.errors import InputError
from data.inputs import Inputs
from engine.benchmark import Latency, drawn_jpegs, measure_latency
from engine.evaluation import choose_images
from engine.metrics import cross_entropy, gain_interval, log_of
from engine.pipeline import Pipeline, answer_all, with_views
from engine.tta import PLAIN, VIEWS

LIMITS = ("competition.max_latency_ms", "competition.input_size")


@dataclass(frozen=True)
class ViewScores:
    """Probabilities float64 (N, C) of each view for the readable images, and their labels int (N,)."""

    of_view: dict[str, np.ndarray]
    labels: np.ndarray
    average: str

    def correct(self, views: Sequence[str]) -> np.ndarray:
        """Return bool (N,): whether the average of `views` is right."""
        return self._mean(views).argmax(axis=1) == self.labels

    def log_loss(self, views: Sequence[str]) -> float:
        """Return the mean log loss of the average of `views`."""
        return cross_entropy(log_of(self._mean(views)), self.labels)

    def _mean(self, views: Sequence[str]) -> np.ndarray:
        stacked = np.stack([self.of_view[view] for view in views])
        if self.average == "logits":
            return np.exp(log_of(stacked).mean(axis=0))
        return stacked.mean(axis=0)


def search_views(pipeline: Pipeline, split: str | None, data: Path | None) -> list[str]:
    """Measure every view, pick greedily those that raise top-1 within `competition.max_latency_ms`, return lines.

    A view is added while top-1 rises and the p95 latency of the set, measured here, stays within the limit; of equal
    gains the lower log loss decides. Raises InputError if no image can be read.
    """
    images = choose_images(pipeline, split or "val", data)
    limits = pipeline.config.competition
    with drawn_jpegs(limits.input_size) as drawn:
        # the search asks again for the pairs of the table
        @functools.cache
        def latency(views: tuple[str, ...]) -> Latency:
            return measure_latency(with_views(pipeline, views), drawn)

        scores = _score(pipeline, images.inputs, images.table.labels[images.rows])
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
        chosen, taken = choose_greedily(scores, latency, limits.max_latency_ms)
    before, after = scores.correct(PLAIN), scores.correct(chosen)
    low, high = gain_interval(after, before)
    lines.append(
        f"chosen      top-1 {100 * after.mean():.2f} %, {100 * (after.mean() - before.mean()):+.2f} points "
        f"(95 %: {low:+.2f} to {high:+.2f}) on the images that chose it; p95 {taken.p95_ms:.1f} ms of "
        f"{limits.max_latency_ms:g} ms"
    )
    lines.append(f"--tta {','.join(chosen)}" if len(chosen) > 1 else "No view helps: leave --tta out.")
    return lines


def _score(pipeline: Pipeline, inputs: Inputs, labels: np.ndarray) -> ViewScores:
    of_view, readable = {}, np.ones(len(labels), dtype=bool)
    for view in VIEWS:
        answers = answer_all(with_views(pipeline, (view,)), inputs, view)
        readable[list(answers.unreadable)] = False
        of_view[view] = answers.probabilities
    if not readable.any():
        raise InputError(f"None of the {len(labels)} images can be read, first {inputs.paths[0]}.")
    return ViewScores({view: values[readable] for view, values in of_view.items()}, labels[readable], pipeline.average)


def choose_greedily(
    scores: ViewScores, latency: Callable[[tuple[str, ...]], Latency], limit_ms: float
) -> tuple[tuple[str, ...], Latency]:
    """Return the views and their latency: one at a time, while top-1 rises and the p95 stays within `limit_ms`."""
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
            return chosen, taken
