"""Ensembles: the weighted mean of saved probabilities, and weights fitted on labelled images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.classes import ImageClass
from common.errors import InputError
from common.files import as_path, as_paths
from common.torch_files import sha256
from data.labelled import read_labelled
from evaluation.intervals import Gain, paired_gain
from evaluation.labelled_images import choose_images, images_new_to, with_classes_of
from evaluation.metrics import cross_entropy
from models.checkpoint import versions
from prediction.options import weight_shares
from prediction.output_files import OutputFiles
from prediction.pipeline import Pipeline, only_member, predict_images
from prediction.predictions_csv import FORMATS, Prediction, form_name, write_predictions
from prediction.probabilities import read_probabilities
from prediction.provenance import write_provenance

FOLDS = 5

_STEPS = 1000

_FLOOR = 1e-12


@dataclass(frozen=True)
class Members:
    """Probabilities float64 (M, N, C) of M members for the same images and classes; zeros where unreadable.

    `provenance` says what each member's file was made with.
    """

    values: np.ndarray
    provenance: list[dict[str, Any]]
    image_ids: list[str]
    classes: list[ImageClass]


def read_members(paths: Sequence[str | Path]) -> Members:
    """Read saved probabilities; classes are matched by category id, images by id. Raises InputError if they differ."""
    parts = [read_probabilities(path) for path in as_paths(paths, "files of probabilities")]
    first = parts[0]
    values = []
    for path, part in zip(paths, parts, strict=True):
        own = part.in_order_of(first.classes)
        if own is None:
            raise InputError(f"{path}: its classes are not those of {paths[0]}.")
        row_of = {image_id: row for row, image_id in enumerate(part.image_ids)}
        if set(row_of) != set(first.image_ids):
            raise InputError(f"{path}: its images are not those of {paths[0]}.")
        values.append(own[[row_of[image_id] for image_id in first.image_ids]])
    return Members(np.stack(values), [part.provenance for part in parts], first.image_ids, first.classes)


@dataclass(frozen=True)
class AveragedPredictions:
    """The mean of saved probabilities, as written: images, how many of them are unreadable, and the members.

    `repeatable` says whether one pipeline of the members' models gives this mean, so that a ZIP can be built.
    """

    images: int
    unreadable: int
    members: int
    repeatable: bool


@dataclass(frozen=True)
class WeightFit:
    """Weights of members fitted on labelled images: log loss (nats) and top-1 (shares), equal and fitted.

    The figures are those of images that each fit did not see. `weights` is None, for equal ones, where the fitted
    weights do not lower the log loss.
    """

    images: int
    source: str
    equal_loss: float
    fitted_loss: float
    equal_top1: float
    fitted_top1: float
    gain: Gain
    weights: list[float] | None


def average_saved(
    members: Members, paths: Sequence[str | Path], weights: Sequence[float] | None, output: str | Path, form: str
) -> AveragedPredictions:
    """Write the predictions of the mean of saved probabilities, in a form of `FORMATS`, and their provenance.

    An image that could not be read gets the class that the first member's models give it, with confidence 0. Raises
    InputError if there is not one weight for each member, or `output` is no CSV.
    """
    paths, output = as_paths(paths, "files of probabilities"), as_path(output)
    OutputFiles(output, form).check(paths)
    shares = weight_shares(weights, len(paths))
    total = np.tensordot(shares, members.values, axes=1)
    readable = total.sum(axis=1) > 0
    fallback = next(entry.label for entry in members.classes if entry.category_id == members.provenance[0]["fallback"])
    predictions = []
    for image_id, row, fine in zip(members.image_ids, total, readable, strict=True):
        label, confidence = (int(row.argmax()), min(float(row.max()), 1.0)) if fine else (fallback, 0.0)
        predictions.append(Prediction(image_id, label, confidence))
    predictions.sort(key=lambda prediction: prediction.image_id)
    form = form_name(form)
    write_predictions(output, FORMATS[form], predictions, members.classes)
    sources = [
        {"path": path.resolve().as_posix(), "sha256": sha256(path), "weight": share}
        for path, share in zip(paths, shares, strict=True)
    ]
    joint = _joint_provenance(members.provenance, shares)
    facts = {"images": len(predictions), "format": form, **joint, "probabilities": sources, "versions": versions()}
    write_provenance(output, facts)
    return AveragedPredictions(len(predictions), int((~readable).sum()), len(paths), bool(joint["checkpoints"]))


def _joint_provenance(parts: Sequence[dict[str, Any]], shares: Sequence[float]) -> dict[str, Any]:
    """Return the provenance of one pipeline that predicts the mean; without checkpoints if there is none."""
    if any(part[name] != parts[0][name] for part in parts for name in ("views", "average")):
        return {"checkpoints": []}
    checkpoints = [
        {**entry, "weight": entry["weight"] * share}
        for part, share in zip(parts, shares, strict=True)
        for entry in part["checkpoints"]
    ]
    joined = {name: "+".join(dict.fromkeys(part[name] for part in parts)) for name in ("runtime", "precision")}
    return {"checkpoints": checkpoints, "views": parts[0]["views"], "average": parts[0]["average"], **joined}


def fit_saved(members: Members, data: str | Path) -> WeightFit:
    """Fit weights on those images of saved probabilities that the table `data` labels; see `fit_members`."""
    data = as_path(data)
    table = with_classes_of(members.classes, read_labelled(data), data)
    label_of = dict(zip(table.image_ids, table.labels.tolist(), strict=True))
    rows = [row for row, image_id in enumerate(members.image_ids) if image_id in label_of]
    labels = np.array([label_of[members.image_ids[row]] for row in rows], dtype=np.int64)
    return fit_members(members.values[:, rows], labels, f"labelled by {data}")


def fit_checkpoints(pipeline: Pipeline, data: str | Path | None = None) -> WeightFit:
    """Fit the members' weights on validation images, or those of `data`, that none was trained on; see `fit_members`.

    Raises InputError if there are none.
    """
    images = images_new_to(pipeline, choose_images(pipeline, None, data))
    values = []
    for number, member in enumerate(pipeline.members, start=1):
        values.append(predict_images(only_member(pipeline, member), images.inputs, f"model {number}").probabilities)
    return fit_members(np.stack(values), images.labels, images.source)


def fit_members(values: np.ndarray, labels: np.ndarray, source: str) -> WeightFit:
    """Fit weights of members by log loss, and measure what they gain on images that the fit did not see.

    `values` (M, N, C), `labels` int (N,). Each fifth of the images is predicted with weights fitted on the others; the
    weights returned are fitted on all. Raises InputError if there are fewer than two readable images per fold.
    """
    readable = (values.sum(axis=2) > 0).all(axis=0)
    values, labels = values[:, readable], labels[readable]
    if len(labels) < 2 * FOLDS:
        raise InputError(
            f"Fitting weights: {len(labels)} labelled images ({source}) are too few; at least {2 * FOLDS} are needed."
        )
    fold_of = np.random.default_rng(0).permutation(len(labels)) % FOLDS
    equal, fitted = values.mean(axis=0), np.empty_like(values[0])
    for fold in range(FOLDS):
        others, own = fold_of != fold, fold_of == fold
        fitted[own] = np.tensordot(mixture_weights(values[:, others], labels[others]), values[:, own], axes=1)
    losses = [cross_entropy(np.log(np.maximum(table, _FLOOR)), labels) for table in (equal, fitted)]
    hits = [table.argmax(axis=1) == labels for table in (equal, fitted)]
    return WeightFit(
        images=len(labels),
        source=source,
        equal_loss=losses[0],
        fitted_loss=losses[1],
        equal_top1=float(hits[0].mean()),
        fitted_top1=float(hits[1].mean()),
        gain=paired_gain(hits[1], hits[0]),
        weights=mixture_weights(values, labels).tolist() if losses[1] < losses[0] else None,
    )


def mixture_weights(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the weights (M,), of sum 1, that minimise the log loss of the weighted mean of `values` (M, N, C).

    The loss is convex in them, and the EM step for mixture proportions lowers it (Dempster, Laird, Rubin 1977).
    """
    likelihoods = np.maximum(values[:, np.arange(len(labels)), labels], _FLOOR)
    weights = np.full(len(values), 1 / len(values))
    for _ in range(_STEPS):
        shares = weights[:, None] * likelihoods
        updated = (shares / shares.sum(axis=0)).mean(axis=1)
        if np.abs(updated - weights).max() < 1e-7:
            break
        weights = updated
    return weights
