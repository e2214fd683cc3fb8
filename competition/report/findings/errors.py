"""Where the model errs: the most frequent confusions, the worst classes, and what goes with errors."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from competition.report.run_record import Answer, Facts
from data.images import attempt, measure_image
from evaluation.intervals import wilson_interval
from evaluation.rank_correlation import RankCorrelation, rank_correlation

WORST_CLASSES = 8

# two properties of an image that correlate so much are one; the weaker is left out
_SAME_THING = 0.7


@dataclass(frozen=True)
class Confusion:
    """A class taken for another `count` times, of its `images`; `back` is how often the other was taken for it."""

    label: int
    predicted: int
    count: int
    back: int
    images: int


@dataclass(frozen=True)
class ClassAccuracy:
    """How many of the images of a class are right, with the interval of the share."""

    label: int
    training_images: int
    images: int
    correct: int
    share: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Errors:
    """The wrong answers of an evaluation.

    `confusions` are the most frequent first; those that occur at least twice hold `repeated` of the errors. Of the
    classes, `worst` have the lowest accuracy, `like_the_last` more are as bad as the last of them, and `perfect` of
    the `measured` ones have no error. `confidence_right` and `confidence_wrong` are mean confidences.
    `correlations` are of a right answer (1 or 0) with, by name: `confidence`, `training_images` of the true class,
    `shorter_side` of the file in pixels, and `cropped`, the share of the photograph that evaluation cuts off.
    """

    images: int
    wrong: int
    confusions: list[Confusion]
    repeated: int
    worst: list[ClassAccuracy]
    like_the_last: int
    perfect: int
    measured: int
    confidence_right: float | None
    confidence_wrong: float | None
    correlations: dict[str, RankCorrelation]

    @property
    def most_frequent(self) -> list[Confusion]:
        """The confusions that no other exceeds; several if they are equally frequent."""
        return [it for it in self.confusions if it.count == self.confusions[0].count]


def find_errors(facts: Facts) -> Errors | None:
    """Return where the model errs; None without an evaluation."""
    answers = facts.answers
    if not answers:
        return None
    right = [answer for answer in answers if answer.label == answer.predicted]
    wrong = [answer for answer in answers if answer.label != answer.predicted]
    pairs = Counter((answer.label, answer.predicted) for answer in wrong)
    counts = Counter(answer.label for answer in answers)
    classes = _classes(facts)
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    failing = sorted((it for it in classes if it.correct < it.images), key=lambda it: (it.share, -it.images))
    worst, others = failing[:WORST_CLASSES], failing[WORST_CLASSES:]
    return Errors(
        images=len(answers),
        wrong=len(wrong),
        confusions=[
            Confusion(label, other, count, pairs.get((other, label), 0), counts[label])
            for (label, other), count in ranked
        ],
        repeated=sum(count for count in pairs.values() if count > 1),
        worst=worst,
        like_the_last=sum(it.share == worst[-1].share for it in others),
        perfect=sum(it.correct == it.images for it in classes),
        measured=len(classes),
        confidence_right=_mean_confidence(right),
        confidence_wrong=_mean_confidence(wrong),
        correlations=_correlations(facts),
    )


def _mean_confidence(answers: list[Answer]) -> float | None:
    return float(np.mean([answer.confidence for answer in answers])) if answers else None


def _classes(facts: Facts) -> list[ClassAccuracy]:
    found = []
    for row in facts.per_class:
        images, correct = int(row["images"]), int(row["correct"])
        if images:
            interval = wilson_interval(correct, images)
            found.append(
                ClassAccuracy(
                    int(row["label"]), int(row["training_images"]), images, correct, correct / images, interval
                )
            )
    return found


def _correlations(facts: Facts) -> dict[str, RankCorrelation]:
    right = np.array([float(answer.label == answer.predicted) for answer in facts.answers])
    values = {
        "confidence": np.array([answer.confidence for answer in facts.answers]),
        "training_images": np.array([float(facts.checkpoint.class_counts[answer.label]) for answer in facts.answers]),
    }
    sizes = image_sizes(facts)
    if sizes is not None:
        shorter, longer = sizes.min(axis=1), sizes.max(axis=1)
        values["shorter_side"] = shorter
        if facts.checkpoint.fit == "crop":
            values["cropped"] = 1 - shorter / longer
    found = {name: rank_correlation(right, column) for name, column in values.items()}
    known = {name: correlation for name, correlation in found.items() if correlation is not None}
    if {"shorter_side", "cropped"} <= known.keys():
        both = rank_correlation(values["shorter_side"], values["cropped"])
        if both and abs(both.rho) >= _SAME_THING:
            del known[min("shorter_side", "cropped", key=lambda name: abs(known[name].rho))]
    return known


def image_sizes(facts: Facts) -> np.ndarray | None:
    """Return the sizes in pixels, float64 (N, 2), of the evaluated files; None if one is gone or unreadable."""
    folder = Path((facts.metrics or {}).get("image_dir", ""))
    sizes = []
    for answer in facts.answers:
        path = folder / answer.image_id
        size, _ = attempt(lambda path=path: measure_image(np.fromfile(path, np.uint8), path.name)[0])
        if size is None:
            return None
        sizes.append(size)
    return np.array(sizes, dtype=np.float64)
