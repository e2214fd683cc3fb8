"""One checkpoint on labelled images: figures with intervals, tables and pictures."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from configs.compose import from_plain
from configs.errors import InputError
from configs.schema import Config
from data.dataset import ImageDataset
from data.files import write_text
from data.labelled import read_labelled
from data.loader import eval_loader
from data.progress import progress
from data.source import load_table
from data.table import ImageTable, write_table
from data.transforms import EvalTransform
from engine import metrics
from engine.checkpoint import Checkpoint, load_checkpoint, sha256, versions
from engine.hardware import choose_device, choose_precision, configure_algorithms, tune_cpu_memory
from engine.pictures import confusion_figure, save_figure, worst_pairs_figure
from engine.predictor import Predictions, predict
from engine.setup import num_workers

OVERRIDABLE_KEYS = (
    "device",
    "dataset.root",
    "dataset.train_csv",
    "dataset.train_dir",
    "dataset.batch_size",
    "dataset.num_workers",
    "training.use_amp",
    "training.amp_dtype",
)
WORST_PAIRS = 20


@dataclass(frozen=True)
class Evaluation:
    """Figures of one checkpoint on one set of images; `results` is what metrics.json holds."""

    results: dict[str, Any]
    lines: list[str]


def evaluate(
    checkpoint_path: Path, output_dir: Path, split: str | None, data: Path | None, overrides: Sequence[str]
) -> Evaluation:
    """Evaluate a checkpoint and write metrics.json, per_class.csv, predictions.csv and two pictures to `output_dir`.

    `split` chooses images of the checkpoint's own data set (default val); `data` is a prepared folder or a table of
    other images instead. Raises InputError if they cannot be had, or have classes that the checkpoint does not know.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    config = from_plain(checkpoint.config, overrides, OVERRIDABLE_KEYS, str(checkpoint_path))
    if data is not None and split is not None:
        raise InputError("--split chooses among the checkpoint's own images; --data names others. Give one of them.")
    split_name = split or "val"
    table, rows = _choose_images(checkpoint, config, split_name, data)
    predictions = _predict(checkpoint, config, table, rows)
    seen = len(set(checkpoint.split["train"]) & {table.image_ids[row] for row in rows})
    results = {
        "checkpoint": str(checkpoint_path),
        "sha256": sha256(checkpoint_path),
        "images_from": str(data) if data is not None else f"{split_name} split of {table.image_dir}",
        "seen_in_training": seen,
        "unreadable": len(predictions.skipped),
        "recovered": len(predictions.recovered),
        **compute_metrics(predictions, len(checkpoint.classes)),
    }
    _write(output_dir, checkpoint, table, rows, predictions, results)
    return Evaluation(results, _describe(results, checkpoint, seen))


def compute_metrics(predictions: Predictions, num_classes: int) -> dict[str, Any]:
    """Return top-1, top-5, macro F1, balanced accuracy, calibration error, and 95 % intervals where they make sense.

    Proportions have Wilson intervals, macro F1 and the calibration error bootstrap intervals over images.
    """
    logits, labels = predictions.logits, predictions.labels
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


def worst_pairs(matrix: np.ndarray, count: int = WORST_PAIRS) -> list[tuple[int, int, int]]:
    """Return the most frequent confusions as (true label, predicted label, images), most frequent first."""
    errors = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-errors, axis=None, kind="stable")[:count]
    pairs = [
        (int(true), int(predicted)) for true, predicted in zip(*np.unravel_index(order, errors.shape), strict=True)
    ]
    return [(true, predicted, int(errors[true, predicted])) for true, predicted in pairs if errors[true, predicted]]


def _choose_images(
    checkpoint: Checkpoint, config: Config, split: str, data: Path | None
) -> tuple[ImageTable, np.ndarray]:
    if data is not None:
        table = _with_classes_of(checkpoint, read_labelled(data), data)
        return table, np.arange(len(table.image_ids))
    table = _with_classes_of(checkpoint, load_table(config.dataset), Path(config.dataset.root))
    wanted = {
        "val": checkpoint.split["val"],
        "train": checkpoint.split["train"],
        "all": [*checkpoint.split["train"], *checkpoint.split["val"]],
    }[split]
    if not wanted:
        raise InputError(f"--split {split}: the checkpoint's run held no images back. Use --split train, or --data.")
    row_of = {image_id: row for row, image_id in enumerate(table.image_ids)}
    missing = [image_id for image_id in wanted if image_id not in row_of]
    if missing:
        raise InputError(
            f"{table.image_dir}: {len(missing)} of the checkpoint's {len(wanted)} {split} images are not in its table, "
            f"first {missing[0]}. Give dataset.root=<the folder it was trained on>, or --data."
        )
    return table, np.array(sorted(row_of[image_id] for image_id in wanted), dtype=np.int64)


def _with_classes_of(checkpoint: Checkpoint, table: ImageTable, source: Path) -> ImageTable:
    """Return the table with the checkpoint's labels, matched by category id."""
    label_of = {image_class.category_id: image_class.label for image_class in checkpoint.classes}
    used = [table.classes[label] for label in np.unique(table.labels)]
    unknown = [image_class.category_id for image_class in used if image_class.category_id not in label_of]
    if unknown:
        raise InputError(
            f"{source}: {len(unknown)} of its classes are unknown to the checkpoint, first category id {unknown[0]}."
        )
    new_label = np.array([label_of.get(image_class.category_id, -1) for image_class in table.classes], dtype=np.int64)
    return ImageTable(table.image_ids, new_label[table.labels], checkpoint.classes, table.image_dir)


def _predict(checkpoint: Checkpoint, config: Config, table: ImageTable, rows: np.ndarray) -> Predictions:
    device = choose_device(config.device)
    if device.type == "cpu":
        tune_cpu_memory()
    configure_algorithms(device)
    precision = choose_precision(device, config.training.use_amp, config.training.amp_dtype)
    view = EvalTransform(checkpoint.input_size, checkpoint.crop_pct)
    images = ImageDataset(table.image_dir, table.image_ids, table.labels, view)
    loader = eval_loader(images, rows, config.dataset.batch_size, num_workers(config.dataset), device.type == "cuda")
    model = checkpoint.build_model().to(device=device, memory_format=torch.channels_last)
    with progress("evaluation", len(rows)) as advance:
        predictions = predict(model, loader, len(checkpoint.classes), device, precision, advance)
    if len(predictions.labels) == 0:
        raise InputError(f"{table.image_dir}: none of the {len(rows)} images could be read.")
    return predictions


def _write(
    folder: Path,
    checkpoint: Checkpoint,
    table: ImageTable,
    rows: np.ndarray,
    predictions: Predictions,
    results: dict[str, Any],
) -> None:
    classes = checkpoint.classes
    predicted = predictions.logits.argmax(axis=1)
    matrix = metrics.confusion_matrix(predicted, predictions.labels, len(classes))
    write_text(folder / "metrics.json", json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / "per_class.csv", _per_class_text(matrix, checkpoint))
    save_figure(confusion_figure(matrix, classes), folder / "confusion_matrix.png")
    save_figure(worst_pairs_figure(worst_pairs(matrix), classes), folder / "worst_pairs.png")
    # every image gets a row: an unreadable one the most frequent class
    fallback = int(np.argmax(checkpoint.class_counts))
    label_of = dict(zip(predictions.indices.tolist(), predicted.tolist(), strict=True))
    by_name = sorted((table.image_ids[row], label_of.get(int(row), fallback)) for row in rows)
    write_table(folder / "predictions.csv", [name for name, _ in by_name], [label for _, label in by_name])
    recipe = {
        "images": str(table.image_dir),
        "checkpoints": [{"path": results["checkpoint"], "sha256": results["sha256"]}],
        "views": ["identity"],
        "unreadable": [table.image_ids[index] for index, _ in predictions.skipped],
        "versions": versions(),
    }
    write_text(folder / "predictions.json", json.dumps(recipe, indent=2, ensure_ascii=False) + "\n")


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


def _describe(results: dict[str, Any], checkpoint: Checkpoint, seen: int) -> list[str]:
    def per_cent(name: str) -> str:
        low, high = results[f"{name}_interval"]
        return f"{100 * results[name]:.2f} %  (95 %: {100 * low:.2f} to {100 * high:.2f})"

    lines = [
        f"images             {results['images']} ({results['images_from']})",
        f"top-1              {per_cent('top1')}",
        f"top-5              {per_cent('top5')}",
        f"macro F1           {per_cent('macro_f1')}",
        f"balanced accuracy  {100 * results['balanced_accuracy']:.2f} %",
        f"calibration error  {per_cent('calibration_error')}",
        f"loss               {results['loss']:.4f}",
    ]
    if seen:
        lines.append(f"warning: {seen} of these images were seen in training; the figures flatter the model.")
    elif "val_top1" in checkpoint.metrics and results["images_from"].startswith("val "):
        lines.append("note: the best epoch was chosen on these images, so expect a little less on new ones.")
    if results["unreadable"]:
        lines.append(
            f"warning: {results['unreadable']} images could not be read: left out of the figures, "
            "and given the most frequent class in predictions.csv."
        )
    if results["recovered"]:
        lines.append(f"note: {results['recovered']} damaged images were read as far as they go.")
    return lines
