"""A checkpoint, or several averaged, on labelled images: figures with intervals, tables and pictures."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import distributed
from common.csv_files import write_rows
from common.errors import InputError
from common.files import write_text
from evaluation import metrics
from evaluation.labelled_images import LabelledImages, choose_images, readable_rows
from evaluation.plots import confusion_figure, save_figure, worst_pairs_figure
from models.checkpoint import Checkpoint
from prediction.logits import softmax
from prediction.pipeline import Pipeline, PredictedProbabilities, predict_images
from prediction.predict import write_prediction_files
from prediction.provenance import describe_pipeline

WORST_PAIRS = 20

ANSWER_COLUMNS = ("image_id", "label", "predicted", "confidence")


@dataclass(frozen=True)
class Evaluation:
    """Figures of one checkpoint on one set of images; `results` is what metrics.json holds.

    `correct` bool (N,) says of which of the readable `image_ids` the first answer is right.
    """

    results: dict[str, Any]
    lines: list[str]
    image_ids: list[str]
    correct: np.ndarray


def evaluate(pipeline: Pipeline, output_dir: Path, split: str | None, data: Path | None) -> Evaluation:
    """Evaluate and write metrics.json, per_class.csv, answers.csv, predictions.csv and two pictures to `output_dir`.

    `split` chooses images of the (first) checkpoint's own data set (default val); `data` is a prepared folder or a
    table of other images instead. Raises InputError if they cannot be had, or have classes unknown to the model.
    """
    if data is not None and split is not None:
        raise InputError("--split chooses among the checkpoint's own images; --data names others. Give one of them.")
    images = choose_images(pipeline, split or "val", data)
    answers = predict_images(pipeline, images.inputs, "evaluation")
    readable = readable_rows(answers, images)
    with np.errstate(divide="ignore"):
        logits = np.log(answers.probabilities[readable])
    labels = images.labels[readable]
    trained_on = set().union(*(member.checkpoint.split["train"] for member in pipeline.members))
    results = {
        "checkpoints": describe_pipeline(pipeline)["checkpoints"],
        "views": list(pipeline.views),
        "precision": pipeline.computed_in,
        "images_from": images.source,
        "image_dir": images.table.image_dir.resolve().as_posix(),
        "seen_in_training": len(trained_on & set(images.inputs.image_ids)),
        "unreadable": len(answers.unreadable),
        "recovered": len(answers.recovered),
        **compute_metrics(logits, labels, len(pipeline.classes)),
        "groups": group_accuracies(logits.argmax(axis=1), labels, pipeline.members[0].checkpoint.class_counts),
    }
    if distributed.is_main():
        matrix = metrics.confusion_matrix(logits.argmax(axis=1), labels, len(pipeline.classes))
        _write(output_dir, pipeline, images, answers, matrix, results)
    image_ids = [images.inputs.image_ids[row] for row in readable]
    return Evaluation(results, _describe(results, pipeline), image_ids, logits.argmax(axis=1) == labels)


def compute_metrics(logits: np.ndarray, labels: np.ndarray, num_classes: int) -> dict[str, Any]:
    """Return top-1, top-5, macro F1, balanced accuracy, calibration error, and 95 % intervals where they make sense.

    `logits` (N, C), `labels` int (N,). Proportions have Wilson intervals, macro F1 and the calibration error bootstrap
    intervals over images.
    """
    probabilities = softmax(logits) if len(labels) else np.empty((0, num_classes))
    predicted = logits.argmax(axis=1)
    matrix = metrics.confusion_matrix(predicted, labels, num_classes)
    top1, top5 = metrics.top_k_accuracy(logits, labels, 1), metrics.top_k_accuracy(logits, labels, 5)
    rows = np.arange(len(labels))

    def f1_of(chosen: np.ndarray) -> float:
        return metrics.macro_f1(metrics.confusion_matrix(predicted[chosen], labels[chosen], num_classes))

    def error_of(chosen: np.ndarray) -> float:
        return metrics.expected_calibration_error(probabilities[chosen], labels[chosen])

    return {
        "images": len(labels),
        "top1": top1,
        "top1_interval": metrics.wilson_interval(top1 * len(labels), len(labels)),
        "top5": top5,
        "top5_interval": metrics.wilson_interval(top5 * len(labels), len(labels)),
        "macro_f1": f1_of(rows),
        "macro_f1_interval": metrics.bootstrap_interval(rows, f1_of),
        "balanced_accuracy": float(np.nanmean(metrics.per_class_accuracy(matrix))),
        "loss": metrics.cross_entropy(logits, labels),
        "calibration_error": error_of(rows),
        "calibration_error_interval": metrics.bootstrap_interval(rows, error_of),
    }


def group_accuracies(predicted: np.ndarray, labels: np.ndarray, class_counts: Sequence[int]) -> dict[str, Any]:
    """Return the balanced accuracy of the classes with many, medium and few training images; {} if all have many.

    Many is at least half of what the largest class has, few at most an eighth. Liu et al. 2019 (arXiv:1904.05160) cut
    at 100 and 20 images, which says nothing about a data set of another size.
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
            found[name] = {
                "classes": int(measured.sum()),
                "training_images": [images[0], images[-1]],
                "balanced_accuracy": float(accuracies[measured].mean()),
            }
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
    answers: PredictedProbabilities,
    matrix: np.ndarray,
    results: dict[str, Any],
) -> None:
    classes = pipeline.classes
    write_text(folder / "metrics.json", json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / "per_class.csv", _per_class_text(matrix, pipeline.members[0].checkpoint))
    confidences, predicted = answers.probabilities.max(axis=1), answers.probabilities.argmax(axis=1)
    rows = [
        (images.inputs.image_ids[row], images.labels[row], predicted[row], f"{confidences[row]:.6f}")
        for row in range(len(images.rows))
        if row not in answers.unreadable
    ]
    write_rows(folder / "answers.csv", ANSWER_COLUMNS, rows)
    save_figure(confusion_figure(matrix, classes), folder / "confusion_matrix.png")
    save_figure(worst_pairs_figure(worst_pairs(matrix), classes), folder / "worst_pairs.png")
    write_prediction_files(folder / "predictions.csv", "seed", pipeline, images.inputs, answers, None)


def _per_class_text(matrix: np.ndarray, checkpoint: Checkpoint) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ("label", "category_id", "name", "training_images", "images", "correct", "accuracy", "low_95", "high_95")
    )
    for image_class, counts in zip(checkpoint.classes, matrix, strict=True):
        correct, total = int(counts[image_class.label]), int(counts.sum())
        low, high = metrics.wilson_interval(correct, total)
        figures = (f"{correct / total:.4f}", f"{low:.4f}", f"{high:.4f}") if total else ("", "", "")
        trained = checkpoint.class_counts[image_class.label]
        writer.writerow(
            (image_class.label, image_class.category_id, image_class.name, trained, total, correct, *figures)
        )
    return buffer.getvalue()


def metric_lines(results: dict[str, Any]) -> list[str]:
    """Return the lines of what `compute_metrics` returns."""

    def per_cent(name: str) -> str:
        low, high = results[f"{name}_interval"]
        return f"{100 * results[name]:.2f} %  (95 %: {100 * low:.2f} to {100 * high:.2f})"

    return [
        f"top-1              {per_cent('top1')}",
        f"top-5              {per_cent('top5')}",
        f"macro F1           {per_cent('macro_f1')}",
        f"balanced accuracy  {100 * results['balanced_accuracy']:.2f} %",
        f"calibration error  {per_cent('calibration_error')}",
        f"loss               {results['loss']:.4f}",
    ]


def _describe(results: dict[str, Any], pipeline: Pipeline) -> list[str]:
    lines = [
        f"images             {results['images']} ({results['images_from']})",
        f"answered by        {len(pipeline.members)} model(s), {'+'.join(pipeline.views)}, {pipeline.computed_in}",
        *metric_lines(results),
    ]
    for name, group in results["groups"].items():
        low, high = group["training_images"]
        lines.append(
            f"{name + '-shot classes':<18} {100 * group['balanced_accuracy']:.2f} % balanced "
            f"({group['classes']} classes of {low} to {high} training images)"
        )
    if results["seen_in_training"]:
        lines.append(
            f"warning: {results['seen_in_training']} of these images were seen in training; "
            "the figures flatter the model."
        )
    elif "val_top1" in pipeline.members[0].checkpoint.metrics and results["images_from"].startswith("val "):
        lines.append("note: the best epoch was chosen on these images, so expect a little less on new ones.")
    if results["images_from"].startswith("test "):
        lines.append("note: this figure is honest as long as nothing is chosen by it; choose by --split val.")
    if results["unreadable"]:
        lines.append(
            f"warning: {results['unreadable']} images could not be read: left out of the figures, "
            "and given the most frequent class in predictions.csv."
        )
    if results["recovered"]:
        lines.append(f"note: {results['recovered']} damaged images were read as far as they go.")
    return lines
