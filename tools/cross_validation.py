"""Cross-validation: the out-of-fold predictions of all models, joined to one estimate and one temperature."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from common.classes import ImageClass, reordering
from common.errors import InputError
from common.files import as_path, check_writable_folder, run_all, to_json, write_text
from data.inputs import Inputs
from evaluation.calibration import FEWEST_IMAGES, calibrate_folds, calibration_error
from evaluation.evaluate import Metrics, compute_metrics
from evaluation.labelled_images import LabelledImages, choose_images
from evaluation.metrics import cross_entropy
from prediction.logits import calibrated, log_of
from prediction.options import LABELLED_KEYS, PLAIN, PredictionOptions
from prediction.pipeline import (
    Pipeline,
    PredictedProbabilities,
    load_pipeline,
    only_member,
    predict_images,
    uncalibrated,
    with_temperatures,
)
from prediction.predict import write_predictions_and_provenance
from prediction.probabilities import save_probabilities
from tools.folds import fold_checkpoints


@dataclass(frozen=True)
class OutOfFold:
    """All images in order, each predicted by the model that held it back; labels and folds int64 (N,)."""

    inputs: Inputs
    predicted: PredictedProbabilities
    labels: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True)
class CrossValidation:
    """The models of a cross-validation together: each image is predicted by the model that did not train on it.

    `top1_of_folds` are shares, `spread` their standard deviation (NaN for one fold). `temperature` divides logits;
    `calibrated_loss` (nats) and `calibrated_error` (a share) are those of each fold with the temperature of the others.
    `not_held_back` counts images of the runs, of `images_of_runs`, that none of the models held back.
    """

    models: int
    architectures: list[str]
    metrics: Metrics
    top1_of_folds: list[float]
    spread: float
    temperature: float
    calibrated_loss: float
    calibrated_error: float
    unreadable: int
    not_held_back: int
    images_of_runs: int


def join_folds(
    folder: str | Path, views: str | Sequence[str], output: str | Path, overrides: Sequence[str] = ()
) -> CrossValidation:
    """Evaluate every best_model.pt below `folder` on its own validation images and join the predictions.

    Writes metrics.json, predictions.csv and probabilities.npz to `output`. The answers are calibrated: each image's
    logits are divided by the temperature of the other folds; the metrics are those at temperature 1. Raises InputError
    if there are fewer than two models, their classes differ, or two held back the same image.
    """
    output = as_path(output)
    check_writable_folder(output)
    pipeline, joined, result = _measure_folds(as_path(folder), views, overrides)
    _write(output, pipeline, joined, result)
    return result


def temperature_of_folds(folder: Path, classes: Sequence[ImageClass], overrides: Sequence[str]) -> CrossValidation:
    """Measure the folds below `folder` for their temperature.

    Raises InputError as `join_folds`, and if the classes of the folds are not `classes`.
    """
    pipeline, _, result = _measure_folds(folder, PLAIN, overrides)
    if reordering(pipeline.classes, classes) is None:
        raise InputError(f"{folder}: its models have other classes than the checkpoint.")
    return result


def _measure_folds(
    folder: Path, views: str | Sequence[str], overrides: Sequence[str]
) -> tuple[Pipeline, OutOfFold, CrossValidation]:
    paths = fold_checkpoints(folder)
    # the temperature is fitted anew, on all folds
    pipeline = uncalibrated(load_pipeline(paths, PredictionOptions(views=views), overrides, LABELLED_KEYS))
    joined = _predict_folds(pipeline)
    readable = joined.predicted.readable
    logits = log_of(joined.predicted.probabilities[readable])
    labels, folds = joined.labels[readable], joined.folds[readable]
    hits = logits.argmax(axis=1) == labels
    everything = {*pipeline.members[0].checkpoint.split["train"], *pipeline.members[0].checkpoint.split["val"]}
    if len(labels) < FEWEST_IMAGES:
        raise InputError(f"{folder}: the folds hold {len(labels)} images; a temperature needs {FEWEST_IMAGES}.")
    top1_of_folds = [float(hits[folds == fold].mean()) for fold in range(len(paths)) if (folds == fold).any()]
    temperature, of_others = calibrate_folds(logits, labels, folds)
    answers = calibrated(logits, of_others[:, None])
    joined.predicted.probabilities[readable] = answers
    # of a fold without readable images no temperature is used
    used = [float(of_others[folds == fold][0]) if (folds == fold).any() else 1.0 for fold in range(len(paths))]
    result = CrossValidation(
        models=len(paths),
        architectures=[member.checkpoint.architecture for member in pipeline.members],
        metrics=compute_metrics(logits, labels, len(pipeline.classes)),
        top1_of_folds=top1_of_folds,
        spread=float(np.std(top1_of_folds, ddof=1)) if len(top1_of_folds) > 1 else float("nan"),
        temperature=temperature,
        calibrated_loss=cross_entropy(log_of(answers), labels),
        calibrated_error=calibration_error(answers, labels).value,
        unreadable=len(joined.predicted.unreadable),
        not_held_back=len(everything - set(joined.inputs.image_ids)),
        images_of_runs=len(everything),
    )
    return with_temperatures(pipeline, used, "the other folds"), joined, result


def _write(output: Path, pipeline: Pipeline, joined: OutOfFold, result: CrossValidation) -> None:
    facts = {
        "checkpoints": [member.path.as_posix() for member in pipeline.members],
        "views": list(pipeline.views),
        "unreadable": result.unreadable,
        **asdict(result.metrics),
        "top1_of_folds": result.top1_of_folds,
        "temperature": result.temperature,
        "calibrated_loss": result.calibrated_loss,
        "calibrated_error": result.calibrated_error,
    }
    inputs, predicted = joined.inputs, joined.predicted
    run_all(
        [
            lambda: write_text(output / "metrics.json", to_json(facts)),
            lambda: write_predictions_and_provenance(
                output / "predictions.csv", "kit", pipeline, inputs, predicted, None
            ),
            lambda: save_probabilities(output / "probabilities.npz", pipeline, inputs, predicted),
        ]
    )


def _predict_folds(pipeline: Pipeline) -> OutOfFold:
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
        # `predict_images` gives probabilities in the class order of the first member
        parts.append((images, predict_images(single, images.inputs, f"fold {number}")))
    sizes = [len(images.rows) for images, _ in parts]
    starts = np.cumsum([0, *sizes])
    return OutOfFold(
        inputs=Inputs(
            [image_id for images, _ in parts for image_id in images.inputs.image_ids],
            [path for images, _ in parts for path in images.inputs.paths],
        ),
        predicted=PredictedProbabilities(
            np.concatenate([found.probabilities for _, found in parts]),
            {starts[k] + row: why for k, (_, found) in enumerate(parts) for row, why in found.unreadable.items()},
            [starts[k] + row for k, (_, found) in enumerate(parts) for row in found.recovered],
        ),
        labels=np.concatenate([images.labels for images, _ in parts]),
        folds=np.repeat(np.arange(len(parts)), sizes),
    )
