"""A checkpoint, or several averaged, on labelled images: figures with intervals, tables and pictures."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from data.dataset import ImageDataset
from data.files import write_text
from data.inputs import Inputs
from data.labelled import read_labelled
from data.reader import BatchReader
from data.source import load_table
from data.table import ImageClass, ImageTable, write_rows
from data.transforms import EvalTransform
from engine import distributed, metrics
from engine.checkpoint import Checkpoint
from engine.inference import write_answers
from engine.pictures import confusion_figure, save_figure, worst_pairs_figure
from engine.pipeline import Answers, Pipeline, answer_all
from engine.recipe import describe_pipeline
from engine.setup import eval_reader

KEYS = (
    "device",
    "dataset.root",
    "dataset.train_csv",
    "dataset.train_dir",
    "dataset.batch_size",
    "dataset.num_workers",
)
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


@dataclass(frozen=True)
class LabelledImages:
    """The images of an evaluation: rows of a table whose labels are the pipeline's."""

    table: ImageTable
    rows: np.ndarray
    source: str

    @property
    def inputs(self) -> Inputs:
        image_ids = [self.table.image_ids[row] for row in self.rows]
        return Inputs(image_ids, [self.table.image_dir / image_id for image_id in image_ids])

    @property
    def labels(self) -> np.ndarray:
        return self.table.labels[self.rows]


def evaluate(pipeline: Pipeline, output_dir: Path, split: str | None, data: Path | None) -> Evaluation:
    """Evaluate and write metrics.json, per_class.csv, answers.csv, predictions.csv and two pictures to `output_dir`.

    `split` chooses images of the (first) checkpoint's own data set (default val); `data` is a prepared folder or a
    table of other images instead. Raises InputError if they cannot be had, or have classes unknown to the model.
    """
    if data is not None and split is not None:
        raise InputError("--split chooses among the checkpoint's own images; --data names others. Give one of them.")
    images = choose_images(pipeline, split or "val", data)
    answers = answer_all(pipeline, images.inputs, "evaluation")
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


def readable_rows(answers: Answers, images: LabelledImages) -> np.ndarray:
    """Return the rows int64 (M,) of `answers` whose images could be read. Raises InputError if there are none."""
    if len(answers.readable) == 0:
        raise InputError(f"{images.table.image_dir}: none of the {len(images.rows)} images could be read.")
    return answers.readable


def correct_answers(pipeline: Pipeline, images: LabelledImages, description: str) -> np.ndarray:
    """Return bool (M,) for the M readable images: whether the first answer is right.

    The images may have been chosen with another pipeline: classes are matched by category id. Raises InputError if
    none can be read.
    """
    labels = with_classes_of(pipeline.classes, images.table, images.table.image_dir).labels[images.rows]
    answers = answer_all(pipeline, images.inputs, description)
    rows = readable_rows(answers, images)
    return answers.probabilities[rows].argmax(axis=1) == labels[rows]


def compute_metrics(logits: np.ndarray, labels: np.ndarray, num_classes: int) -> dict[str, Any]:
    """Return top-1, top-5, macro F1, balanced accuracy, calibration error, and 95 % intervals where they make sense.

    `logits` (N, C), `labels` int (N,). Proportions have Wilson intervals, macro F1 and the calibration error bootstrap
    intervals over images.
    """
    probabilities = metrics.softmax(logits) if len(labels) else np.empty((0, num_classes))
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


def choose_images(pipeline: Pipeline, split: str, data: Path | None) -> LabelledImages:
    """Return the images of a split of the (first) checkpoint, or of `data`. Raises InputError if they cannot be had."""
    config, checkpoint = pipeline.config.dataset, pipeline.members[0].checkpoint
    if data is not None:
        table = with_classes_of(pipeline.classes, read_labelled(data), data)
        return LabelledImages(table, _sorted_rows(table, range(len(table.image_ids))), str(data))
    table = with_classes_of(pipeline.classes, load_table(config), Path(config.root))
    wanted = {
        "val": checkpoint.split["val"],
        "train": checkpoint.split["train"],
        "test": checkpoint.split.get("test", []),
        "all": [image_id for part in checkpoint.split.values() for image_id in part],
    }[split]
    if not wanted:
        raise InputError(
            f"--split {split}: the checkpoint's run held no images back for it. Give another --split, or --data."
        )
    row_of = {image_id: row for row, image_id in enumerate(table.image_ids)}
    missing = [image_id for image_id in wanted if image_id not in row_of]
    if missing:
        raise InputError(
            f"{table.image_dir}: {len(missing)} of the checkpoint's {len(wanted)} {split} images are not in its table, "
            f"first {missing[0]}. Give dataset.root=<the folder it was trained on>, or --data."
        )
    rows = _sorted_rows(table, [row_of[image_id] for image_id in wanted])
    return LabelledImages(table, rows, f"{split} split of {table.image_dir}")


def images_new_to(pipeline: Pipeline, images: LabelledImages) -> LabelledImages:
    """Return those of the images that no member was trained on. Raises InputError if there are none."""
    trained_on = set().union(*(member.checkpoint.split["train"] for member in pipeline.members))
    rows = np.array([row for row in images.rows if images.table.image_ids[row] not in trained_on], dtype=np.int64)
    if len(rows) == 0:
        raise InputError(
            f"Each of the {len(images.rows)} images ({images.source}) was seen in training by a model. Train with the "
            "same seed, or with dataset.test_split and --data, or give --data with images that none has seen."
        )
    return LabelledImages(images.table, rows, images.source)


def training_batches(pipeline: Pipeline, count: int) -> BatchReader:
    """Return batches of `count` random training images of the first member, as evaluation shows them to it."""
    train, checkpoint = choose_images(pipeline, "train", None), pipeline.members[0].checkpoint
    chosen = np.random.default_rng(0).permutation(train.rows)[:count]
    view = EvalTransform(checkpoint.input_size, checkpoint.crop_pct)
    images = ImageDataset(train.table.image_dir, train.table.image_ids, train.table.labels, view)
    return eval_reader(images, chosen.tolist(), pipeline.config.dataset, pipeline.device)


def _sorted_rows(table: ImageTable, rows: Iterable[int]) -> np.ndarray:
    return np.array(sorted(rows, key=lambda row: table.image_ids[row]), dtype=np.int64)


def with_classes_of(classes: list[ImageClass], table: ImageTable, source: Path) -> ImageTable:
    """Return the table with the labels of `classes`, matched by category id. Raises InputError for others."""
    label_of = {image_class.category_id: image_class.label for image_class in classes}
    used = [table.classes[label] for label in np.unique(table.labels)]
    unknown = [image_class.category_id for image_class in used if image_class.category_id not in label_of]
    if unknown:
        raise InputError(
            f"{source}: {len(unknown)} of its classes are unknown to the model, first category id {unknown[0]}."
        )
    new_label = np.array([label_of.get(image_class.category_id, -1) for image_class in table.classes], dtype=np.int64)
    return ImageTable(table.image_ids, new_label[table.labels], classes, table.image_dir)


def _write(
    folder: Path,
    pipeline: Pipeline,
    images: LabelledImages,
    answers: Answers,
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
    write_answers(folder / "predictions.csv", "seed", pipeline, images.inputs, answers, None)


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
