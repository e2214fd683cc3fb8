"""Pairs of runs for an ensemble: how their recorded answers to the same images differ. No model computes here."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from common.csv_files import read_rows
from common.errors import InputError
from evaluation.evaluate import ANSWER_COLUMNS
from evaluation.intervals import Interval, wilson_interval
from evaluation.recorded import FOLDER, recorded_metrics
from studio.run_list import RunEntry


@dataclass(frozen=True)
class RunAnswers:
    """The answers of a run's best model that evaluate.py wrote: image id to the true and the answered category id.

    `image_dir` is the folder of the images, `trained_on` the ids of those that the run was trained on.
    """

    name: str
    answers: dict[str, tuple[str, str]]
    image_dir: str
    trained_on: set[str]


@dataclass(frozen=True)
class Pair:
    """Two runs on `images` images that neither was trained on; all figures but the count are shares.

    `either_right` is the top-1 of whoever always chose the right one of the two answers, with its 95 % interval.
    """

    first: str
    second: str
    images: int
    disagreement: float
    both_wrong: float
    first_top1: float
    second_top1: float
    either_right: float
    interval: Interval

    @property
    def room(self) -> float:
        """The share of images that the better run has wrong and the other right."""
        return self.either_right - max(self.first_top1, self.second_top1)


def read_answers(run: RunEntry) -> RunAnswers | None:
    """Return the recorded answers of a run, None if evaluate.py has written none for its model.

    Raises InputError if its files are damaged.
    """
    path = run.folder.root / FOLDER / "answers.csv"
    if run.checkpoint is None or not path.is_file():
        return None
    metrics = recorded_metrics(run.folder.best)
    if metrics is None:
        return None
    categories = {str(entry.label): entry.category_id for entry in run.checkpoint.classes}
    try:
        answers = {
            row["image_id"]: (categories[row["label"]], categories[row["predicted"]])
            for row in read_rows(path, ANSWER_COLUMNS)
        }
        image_dir = str(metrics["image_dir"])
    except KeyError as error:
        raise InputError(f"{path}: not the answers of {run.folder.best}. Evaluate the run again.") from error
    return RunAnswers(run.name, answers, image_dir, set(run.checkpoint.split["train"]))


def compare_pair(first: RunAnswers, second: RunAnswers) -> Pair | None:
    """Return the figures of a pair, None if the two share no image that neither was trained on.

    Raises InputError if their images are of different folders, or have different labels.
    """
    if first.image_dir != second.image_dir:
        raise InputError(
            f"{first.name} and {second.name} answered images of different folders: {first.image_dir} and "
            f"{second.image_dir}. Evaluate both on the same images."
        )
    shared = sorted((first.answers.keys() & second.answers.keys()) - first.trained_on - second.trained_on)
    if not shared:
        return None
    true, one = np.array([first.answers[image] for image in shared]).T
    also_true, other = np.array([second.answers[image] for image in shared]).T
    changed = true != also_true
    if changed.any():
        raise InputError(
            f"{first.name} and {second.name} were measured with different labels of {changed.sum()} images, first "
            f"{shared[int(changed.argmax())]}. Evaluate both again."
        )
    right = np.stack([one == true, other == true])
    either = right.any(axis=0)
    return Pair(
        first=first.name,
        second=second.name,
        images=len(shared),
        disagreement=float((one != other).mean()),
        both_wrong=float((~either).mean()),
        first_top1=float(right[0].mean()),
        second_top1=float(right[1].mean()),
        either_right=float(either.mean()),
        interval=wilson_interval(int(either.sum()), len(shared)),
    )


def compare_pairs(runs: Sequence[RunAnswers]) -> tuple[list[Pair], list[tuple[str, str]], list[str]]:
    """Return the pairs, most room first; the names of pairs without a shared new image; and why others are left out."""
    pairs, apart, problems = [], [], []
    for first, second in combinations(runs, 2):
        try:
            pair = compare_pair(first, second)
        except InputError as error:
            problems.append(str(error))
            continue
        if pair is None:
            apart.append((first.name, second.name))
        else:
            pairs.append(pair)
    return sorted(pairs, key=lambda pair: -pair.room), apart, problems
