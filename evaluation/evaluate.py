"""Evaluation: a checkpoint, or several averaged, on labelled images; figures with intervals, tables and pictures."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from common import distributed
from common.csv_files import write_rows
from common.errors import as_warning
from common.files import as_path, check_writable_folder, run_all, to_json, write_text
from evaluation import metrics
from evaluation.abstention import CONFIDENCE_DIGITS, TARGETS, Kept, abstention_table, most_kept
from evaluation.calibration import CalibrationError, calibration_error
from evaluation.epoch_choice import CORRECTED
from evaluation.intervals import Interval, balanced_accuracy_interval, macro_f1_interval, wilson_interval
from evaluation.labelled_images import LabelledImages, choose_images, readable_rows
from evaluation.plots import confusion_figure, reliability_figure, save_figure, worst_pairs_figure
from models.checkpoint import Checkpoint
from prediction.logits import log_of, softmax
from prediction.options import PLAIN
from prediction.pipeline import Pipeline, PredictedProbabilities, predict_images
from prediction.predict import write_predictions_and_provenance
from prediction.provenance import describe_pipeline

WORST_PAIRS = 20

ANSWER_COLUMNS = ("image_id", "label", "predicted", "confidence")

ABSTENTION_COLUMNS = ("target", "coverage", "confidence", "images", "right", "low_95", "high_95")


@dataclass(frozen=True)
class Metrics:
    """Figures on `images` images: fractions from 0 to 1 with 95 % intervals; the loss (cross-entropy) in nats.

    An interval is None where there are too few images for an honest one.
    """

    images: int
    top1: float
    top1_interval: Interval
    top5: float
    top5_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval | None
    balanced_accuracy: float
    balanced_accuracy_interval: Interval | None
    loss: float
    calibration_error: float
    calibration_error_interval: Interval | None


@dataclass(frozen=True)
class ClassGroup:
    """Classes with similarly many training images: how many classes, fewest and most images, mean recall."""

    classes: int
    training_images: tuple[int, int]
    balanced_accuracy: float


@dataclass(frozen=True)
class Evaluation:
    """A pipeline measured on one set of images.

    `groups` are the classes with many, medium and few training images. `correct` bool (N,) says for each of the
    readable `image_ids` whether the most probable class is right. `error_before` is the calibration error of a single
    model without its `temperature`, None for several models or the temperature 1. `kept` says how many of the most
    confident answers are right, `targets` the largest share of answers of which that share is right (None: no share).
    `chose_model` is true if the best epoch, the input size, or the members of a soup were chosen on the same images;
    `corrected_top1` then is the top-1 that the run expects on new ones, or None. `files` is the folder with tables and
    pictures, or None.
    """

    metrics: Metrics
    groups: dict[str, ClassGroup]
    image_ids: list[str]
    correct: np.ndarray
    source: str
    split: str | None
    seen_in_training: int
    unreadable: int
    recovered: int
    models: int
    views: tuple[str, ...]
    precision: str
    temperature: float
    error_before: CalibrationError | None
    kept: list[Kept]
    targets: dict[float, Kept | None]
    chose_model: bool
    corrected_top1: float | None
    files: Path | None


def evaluate(
    pipeline: Pipeline, split: str | None = None, data: str | Path | None = None, output_dir: str | Path | None = None
) -> Evaluation:
    """Measure the pipeline on labelled images.

    `split` (val, test, train or all) chooses images of the (first) checkpoint's own data set; `data`, a prepared folder
    or a table, names others instead; without both it is val. With `output_dir`, writes metrics.json, per_class.csv,
    answers.csv, abstention.csv, predictions.csv and three pictures there. Raises InputError for a split and `data`
    together, and if the images cannot be had, or have unknown classes.
    """
    folder = None if output_dir is None else as_path(output_dir)
    if folder is not None:
        check_writable_folder(folder)
    images = choose_images(pipeline, split, data)
    predicted = predict_images(pipeline, images.inputs, "evaluation")
    readable = readable_rows(predicted, images)
    with np.errstate(divide="ignore"):
        logits = np.log(predicted.probabilities[readable])
    labels, answers = images.labels[readable], logits.argmax(axis=1)
    checkpoints = [member.checkpoint for member in pipeline.members]
    as_in_training = len(checkpoints) == 1 and pipeline.views == PLAIN
    single = checkpoints[0].temperature if len(checkpoints) == 1 else 1.0
    # as answers.csv has them, so that a threshold keeps the same answers there
    confidences = predicted.probabilities[readable].max(axis=1).round(CONFIDENCE_DIGITS)
    trained_on = set().union(*(checkpoint.split["train"] for checkpoint in checkpoints))
    found = Evaluation(
        metrics=compute_metrics(logits, labels, len(pipeline.classes)),
        groups=group_accuracies(answers, labels, checkpoints[0].class_counts),
        image_ids=[images.inputs.image_ids[row] for row in readable],
        correct=answers == labels,
        source=images.source,
        split=images.split,
        seen_in_training=len(trained_on & set(images.inputs.image_ids)),
        unreadable=len(predicted.unreadable),
        recovered=len(predicted.recovered),
        models=len(pipeline.members),
        views=pipeline.views,
        precision=pipeline.computed_in,
        temperature=single,
        error_before=None if single == 1 else calibration_error(softmax(logits * single), labels),
        kept=abstention_table(confidences, answers == labels),
        targets={target: most_kept(confidences, answers == labels, target) for target in TARGETS},
        chose_model=images.split == "val" and _is_best_of_several(checkpoints[0]),
        corrected_top1=checkpoints[0].metrics.get(CORRECTED) if as_in_training else None,
        files=folder,
    )
    if folder is not None and distributed.is_main():
        matrix = metrics.confusion_matrix(answers, labels, len(pipeline.classes))
        _write(folder, pipeline, images, predicted, matrix, found)
    return found


def _is_best_of_several(checkpoint: Checkpoint) -> bool:
    """Say whether validation chose the model: among epochs, or (epoch 0) among soups or input sizes."""
    epochs = checkpoint.config.get("training", {}).get("epochs")
    return "val_top1" in checkpoint.metrics and not (checkpoint.epoch == 1 and epochs == 1)


def compute_metrics(logits: np.ndarray, labels: np.ndarray, num_classes: int) -> Metrics:
    """Return the figures of logits (N, C) for labels int (N,).

    evaluation.intervals says how their intervals are made.
    """
    probabilities = softmax(logits) if len(labels) else np.empty((0, num_classes))
    predicted = logits.argmax(axis=1)
    matrix = metrics.confusion_matrix(predicted, labels, num_classes)
    top1, top5 = metrics.top_k_accuracy(logits, labels, 1), metrics.top_k_accuracy(logits, labels, 5)
    error = calibration_error(probabilities, labels)
    return Metrics(
        images=len(labels),
        top1=top1,
        top1_interval=wilson_interval(top1 * len(labels), len(labels)),
        top5=top5,
        top5_interval=wilson_interval(top5 * len(labels), len(labels)),
        macro_f1=metrics.macro_f1(matrix),
        macro_f1_interval=macro_f1_interval(matrix),
        balanced_accuracy=float(np.nanmean(metrics.per_class_accuracy(matrix))),
        balanced_accuracy_interval=balanced_accuracy_interval(matrix),
        loss=metrics.cross_entropy(logits, labels),
        calibration_error=error.value,
        calibration_error_interval=error.interval,
    )


def group_accuracies(predicted: np.ndarray, labels: np.ndarray, class_counts: Sequence[int]) -> dict[str, ClassGroup]:
    """Return the balanced accuracy of classes with many, medium and few training images; {} if all have many.

    Many means at least half as many images as the largest class, few at most an eighth. Liu et al. 2019
    (arXiv:1904.05160) use fixed limits of 100 and 20 images, which do not suit data sets of other sizes.
    """
    counts = np.asarray(class_counts)
    many, few = counts >= counts.max() / 2, counts <= counts.max() / 8
    groups = {"many": many, "medium": ~many & ~few, "few": few}
    if many.all():
        return {}
    accuracies = metrics.per_class_accuracy(metrics.confusion_matrix(predicted, labels, len(counts)))
    found = {}
    for name, members in groups.items():
        measured = members & ~np.isnan(accuracies)
        if measured.any():
            images = sorted(counts[measured].tolist())
            accuracy = float(accuracies[measured].mean())
            found[name] = ClassGroup(int(measured.sum()), (images[0], images[-1]), accuracy)
    return found


def worst_pairs(matrix: np.ndarray, count: int = WORST_PAIRS) -> list[tuple[int, int, int]]:
    """Return the most frequent confusions as (true label, predicted label, images), most frequent first."""
    errors = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-errors, axis=None, kind="stable")[:count]
    pairs = [
        (int(true), int(predicted)) for true, predicted in zip(*np.unravel_index(order, errors.shape), strict=True)
    ]
    return [(true, predicted, int(errors[true, predicted])) for true, predicted in pairs if errors[true, predicted]]


def _write(
    folder: Path,
    pipeline: Pipeline,
    images: LabelledImages,
    predicted: PredictedProbabilities,
    matrix: np.ndarray,
    found: Evaluation,
) -> None:
    classes, inputs = pipeline.classes, images.inputs
    facts = {
        "checkpoints": describe_pipeline(pipeline)["checkpoints"],
        "views": list(found.views),
        "precision": found.precision,
        "images_from": found.source,
        "image_dir": images.table.image_dir.resolve().as_posix(),
        "seen_in_training": found.seen_in_training,
        "unreadable": found.unreadable,
        "recovered": found.recovered,
        **asdict(found.metrics),
        "temperature": found.temperature,
        "calibration_error_before": None if found.error_before is None else asdict(found.error_before),
        "chose_model": found.chose_model,
        "corrected_top1": found.corrected_top1,
        "groups": {name: asdict(group) for name, group in found.groups.items()},
    }
    confidences, labels = predicted.probabilities.max(axis=1), predicted.probabilities.argmax(axis=1)
    rows = [
        (inputs.image_ids[row], images.labels[row], labels[row], f"{confidences[row]:.{CONFIDENCE_DIGITS}f}")
        for row in range(len(images.rows))
        if row not in predicted.unreadable
    ]
    with as_warning(f"the picture {folder / 'confusion_matrix.png'}"):
        save_figure(confusion_figure(matrix, classes), folder / "confusion_matrix.png")
    with as_warning(f"the picture {folder / 'reliability.png'}"):
        save_figure(_reliability_figure(images, predicted, found), folder / "reliability.png")
    with as_warning(f"the picture {folder / 'worst_pairs.png'}"):
        save_figure(worst_pairs_figure(worst_pairs(matrix), classes), folder / "worst_pairs.png")
    run_all(
        [
            lambda: write_text(folder / "metrics.json", to_json(facts)),
            lambda: write_text(folder / "per_class.csv", _per_class_text(matrix, pipeline.members[0].checkpoint)),
            lambda: write_rows(folder / "answers.csv", ANSWER_COLUMNS, rows),
            lambda: write_rows(folder / "abstention.csv", ABSTENTION_COLUMNS, _abstention_rows(found)),
            lambda: write_predictions_and_provenance(
                folder / "predictions.csv", "kit", pipeline, inputs, predicted, None
            ),
        ]
    )


def _reliability_figure(images: LabelledImages, predicted: PredictedProbabilities, found: Evaluation) -> Figure:
    probabilities = predicted.probabilities[predicted.readable]
    curves = {}
    if found.error_before is not None:
        raw = softmax(log_of(probabilities) * found.temperature)
        curves["temperature 1"] = raw.max(axis=1), found.correct
    name = f"temperature {found.temperature:.3g}" if found.models == 1 else "the average of the models"
    curves[name] = probabilities.max(axis=1), found.correct
    return reliability_figure(curves)


def _abstention_rows(found: Evaluation) -> list[tuple]:
    """Return a row for each coverage, then one for each target share of right answers that is reached."""
    kept = [("", it) for it in found.kept]
    kept += [(f"{target:g}", it) for target, it in found.targets.items() if it is not None]
    return [
        (
            target,
            f"{it.coverage:.4f}",
            f"{it.threshold:.{CONFIDENCE_DIGITS}f}",
            it.images,
            *(f"{share:.4f}" for share in (it.right, *it.interval)),
        )
        for target, it in kept
    ]


def _per_class_text(matrix: np.ndarray, checkpoint: Checkpoint) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ("label", "category_id", "name", "training_images", "images", "correct", "accuracy", "low_95", "high_95")
    )
    for image_class, counts in zip(checkpoint.classes, matrix, strict=True):
        correct, total = int(counts[image_class.label]), int(counts.sum())
        low, high = wilson_interval(correct, total)
        figures = (f"{correct / total:.4f}", f"{low:.4f}", f"{high:.4f}") if total else ("", "", "")
        trained = checkpoint.class_counts[image_class.label]
        writer.writerow(
            (image_class.label, image_class.category_id, image_class.name, trained, total, correct, *figures)
        )
    return buffer.getvalue()
