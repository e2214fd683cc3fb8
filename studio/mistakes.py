"""The validation photographs that a model answers wrongly, and how they are grouped."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.csv_files import read_rows
from common.errors import InputError
from data.inputs import Inputs
from data.table import ImageTable
from evaluation.evaluate import ANSWER_COLUMNS
from prediction.pipeline import Pipeline, predict_images
from studio.answers import without_workers
from studio.try_view import labels_in_table

# (answered label, its probability) by image id
Answers = dict[str, tuple[int, float]]


@dataclass(frozen=True)
class Mistake:
    """A wrong answer to the photograph `name` of the table; `label` and `predicted` are labels of the model."""

    name: str
    label: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class Mistakes:
    """Wrong answers by pair of classes, the most frequent pair first, in each the most confident first.

    `images` photographs were judged, `left_out` others of the validation split were not.
    """

    found: list[Mistake]
    images: int
    left_out: int


def validation_names(pipeline: Pipeline, table: ImageTable) -> list[str]:
    """Return the validation photographs of the (first) model that the table has."""
    held_back = set(pipeline.members[0].checkpoint.split["val"])
    return [name for name in table.image_ids if name in held_back]


def evaluation_folder(pipeline: Pipeline) -> Path:
    """Return where `evaluate.py` writes the answers of a run's model."""
    return pipeline.members[0].path.parent.parent / "evaluation"


def kept_answers(pipeline: Pipeline) -> Answers | None:
    """Return the answers that `evaluate.py` wrote; None if they are not this model's to its whole validation split."""
    folder, member = evaluation_folder(pipeline), pipeline.members[0]
    try:
        facts = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        models = [entry["sha256"] for entry in facts["checkpoints"]]
        rows = read_rows(folder / "answers.csv", ANSWER_COLUMNS)
        answers = {row["image_id"]: (int(row["predicted"]), float(row["confidence"])) for row in rows}
        complete = len(answers) + int(facts["unreadable"]) == len(member.checkpoint.split["val"])
    except (OSError, ValueError, KeyError, TypeError, InputError):
        # missing, damaged or of another edition: the model is asked instead
        return None
    fits = models == [member.sha256] and complete and set(answers) <= set(member.checkpoint.split["val"])
    return answers if fits else None


def ask(pipeline: Pipeline, table: ImageTable, names: list[str]) -> Answers:
    """Return the model's answers to photographs of the table; those that cannot be read have none."""
    inputs = Inputs(names, [table.image_dir / name for name in names])
    predicted = predict_images(without_workers(pipeline), inputs, "validation")
    best = predicted.probabilities.argmax(axis=1)
    return {
        names[row]: (int(best[row]), float(predicted.probabilities[row, best[row]]))
        for row in predicted.readable.tolist()
    }


def find_mistakes(pipeline: Pipeline, table: ImageTable, answers: Answers) -> Mistakes:
    """Compare answers with the labels of the table, which hold the corrections of when the page was opened."""
    names = set(validation_names(pipeline, table))
    model_label = {label: own for own, label in enumerate(labels_in_table(table, pipeline)) if label is not None}
    wrong, images = [], 0
    for row, name in enumerate(table.image_ids):
        label = model_label.get(int(table.labels[row]))
        if name not in names or name not in answers or label is None:
            continue
        images += 1
        predicted, confidence = answers[name]
        if predicted != label:
            wrong.append(Mistake(name, label, predicted, confidence))
    left_out = len(pipeline.members[0].checkpoint.split["val"]) - images
    return Mistakes([it for group in pairs_of(wrong).values() for it in group], images, left_out)


def pairs_of(mistakes: Iterable[Mistake]) -> dict[tuple[int, int], list[Mistake]]:
    """Return the mistakes of each (label, answer), the most frequent pair first, in each the most confident first."""
    groups = defaultdict(list)
    for mistake in sorted(mistakes, key=lambda it: -it.confidence):
        groups[mistake.label, mistake.predicted].append(mistake)
    # sorting is stable: of equally many the pair with the most confident mistake is first
    return dict(sorted(groups.items(), key=lambda entry: -len(entry[1])))


def of_class(mistakes: Iterable[Mistake], label: int) -> list[Mistake]:
    """Return those whose label or answer is the class `label`; all for -1."""
    return [it for it in mistakes if label < 0 or label in (it.label, it.predicted)]


def of_pair(mistakes: Iterable[Mistake], pair: Sequence[int]) -> list[Mistake]:
    """Return those of a pair (label, answer); all for an empty one."""
    return [it for it in mistakes if not pair or (it.label, it.predicted) == tuple(pair)]
