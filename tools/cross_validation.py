"""Cross-validation: what each fold's model says of the images it was not trained on, joined to one estimate."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from common.errors import InputError
from common.files import write_text
from data.inputs import Inputs
from evaluation import metrics
from evaluation.evaluate import compute_metrics, metric_lines
from evaluation.labelled_images import KEYS, LabelledImages, choose_images
from prediction.logits import log_of, softmax
from prediction.pipeline import (
    Pipeline,
    PredictedProbabilities,
    PredictionOptions,
    load_pipeline,
    only_member,
    predict_images,
)
from prediction.predict import write_prediction_files
from prediction.probabilities import save_probabilities
from training.run_folder import ARCHIVE


@dataclass(frozen=True)
class OutOfFold:
    """All images in order, each with the answer of the model that held it back; labels and folds int64 (N,)."""

    inputs: Inputs
    answers: PredictedProbabilities
    labels: np.ndarray
    folds: np.ndarray


def join_folds(folder: Path, views: Sequence[str], output: Path, overrides: Sequence[str]) -> list[str]:
    """Evaluate every best_model.pt below `folder` on its own validation images and join the answers.

    Writes metrics.json, predictions.csv and probabilities.npz to `output`; returns lines. Raises InputError if there
    are fewer than two models, their classes differ, or two held back the same image.
    """
    # an older run of the same folder lies in its archive
    found = [path for path in folder.glob("**/best_model.pt") if ARCHIVE not in path.relative_to(folder).parts]
    paths = sorted(found, key=_natural)
    if len(paths) < 2:
        raise InputError(
            f"{folder}: {len(paths)} best_model.pt below it; the folds of a cross-validation are needed: "
            "python train.py -m dataset.fold=0,1,2,3,4 dataset.num_folds=5"
        )
    pipeline = load_pipeline(paths, PredictionOptions(views=tuple(views)), overrides, KEYS)
    found = _answer_folds(pipeline)
    readable = found.answers.readable
    logits = log_of(found.answers.probabilities[readable])
    labels, folds = found.labels[readable], found.folds[readable]
    hits = logits.argmax(axis=1) == labels
    of_fold = [float(hits[folds == fold].mean()) for fold in range(len(paths)) if (folds == fold).any()]
    results = {
        "checkpoints": [path.as_posix() for path in paths],
        "views": list(views),
        "unreadable": len(found.answers.unreadable),
        **compute_metrics(logits, labels, len(pipeline.classes)),
        "top1_of_folds": of_fold,
        **_calibrate(logits, labels, folds),
    }
    write_text(output / "metrics.json", json.dumps(results, indent=2) + "\n")
    write_prediction_files(output / "predictions.csv", "seed", pipeline, found.inputs, found.answers, None)
    save_probabilities(output / "probabilities.npz", pipeline, found.inputs, found.answers)
    return [*_describe(results), *_missing(pipeline, found)]


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the divisor of `logits` (N, C) that gives the least log loss (Guo et al. 2017, arXiv:1706.04599)."""
    found = minimize_scalar(
        lambda log_t: metrics.cross_entropy(logits / np.exp(log_t), labels), bounds=(-3, 3), method="bounded"
    )
    return float(np.exp(found.x))


def _answer_folds(pipeline: Pipeline) -> OutOfFold:
    held_by: dict[str, Path] = {}
    parts: list[tuple[LabelledImages, PredictedProbabilities]] = []
    for number, member in enumerate(pipeline.members, start=1):
        single = only_member(pipeline, member)
        images = choose_images(single, "val", None)
        for image_id in images.inputs.image_ids:
            other = held_by.setdefault(image_id, member.path)
            if other != member.path:
                raise InputError(
                    f"{member.path} and {other} both held back {image_id}; folds of one cross-validation share no "
                    "image. Train with one seed and dataset.num_folds, and another dataset.fold for each run."
                )
        # answers in the class order of the first member, as `answer_all` gives them
        parts.append((images, predict_images(single, images.inputs, f"fold {number}")))
    sizes = [len(images.rows) for images, _ in parts]
    starts = np.cumsum([0, *sizes])
    return OutOfFold(
        inputs=Inputs(
            [image_id for images, _ in parts for image_id in images.inputs.image_ids],
            [path for images, _ in parts for path in images.inputs.paths],
        ),
        answers=PredictedProbabilities(
            np.concatenate([answers.probabilities for _, answers in parts]),
            {starts[k] + row: why for k, (_, answers) in enumerate(parts) for row, why in answers.unreadable.items()},
            [starts[k] + row for k, (_, answers) in enumerate(parts) for row in answers.recovered],
        ),
        labels=np.concatenate([images.labels for images, _ in parts]),
        folds=np.repeat(np.arange(len(parts)), sizes),
    )


def _calibrate(logits: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> dict[str, float]:
    """Return the temperature of all folds, and what the temperature of the others gives on each fold."""
    scaled = np.empty_like(logits)
    for fold in np.unique(folds):
        own = folds == fold
        scaled[own] = logits[own] / fit_temperature(logits[~own], labels[~own])
    return {
        "temperature": fit_temperature(logits, labels),
        "calibrated_loss": metrics.cross_entropy(scaled, labels),
        "calibrated_error": metrics.expected_calibration_error(softmax(scaled), labels),
    }


def _describe(results: dict[str, Any]) -> list[str]:
    folds = 100 * np.array(results["top1_of_folds"])
    return [
        f"images             {results['images']}, each answered by the one of {len(folds)} models that never saw it",
        *metric_lines(results),
        f"top-1 of the folds {', '.join(f'{top1:.2f}' for top1 in folds)} %, spread {folds.std(ddof=1):.2f}",
        f"temperature        {results['temperature']:.3f}: fitted on the other folds, the calibration error is "
        f"{100 * results['calibrated_error']:.2f} %, the loss {results['calibrated_loss']:.4f}",
        "note: each model's best epoch was chosen on its own fold, so expect a little less on new images.",
    ]


def _missing(pipeline: Pipeline, found: OutOfFold) -> list[str]:
    checkpoint = pipeline.members[0].checkpoint
    everything = {*checkpoint.split["train"], *checkpoint.split["val"]}
    missing, problems = len(everything - set(found.inputs.image_ids)), found.answers.unreadable
    lines = (
        [f"warning: {missing} of {len(everything)} images were held back by none of these models."] if missing else []
    )
    return [*lines, f"warning: {len(problems)} images could not be read."] if problems else lines


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort job 2 before job 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.parts]
