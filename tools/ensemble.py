"""Several models as one: the weighted mean of saved probabilities, and weights fitted on labelled images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.classes import ImageClass
from common.errors import InputError
from common.torch_files import sha256
from data.table import read_labelled
from evaluation import metrics
from evaluation.labelled_images import choose_images, images_new_to, with_classes_of
from models.checkpoint import versions
from prediction.logits import log_of
from prediction.pipeline import Pipeline, only_member, predict_images, weight_shares
from prediction.predictions_csv import FORMATS, Prediction, write_predictions
from prediction.probabilities import read_probabilities
from prediction.provenance import write_provenance

FOLDS = 5

_STEPS = 1000

_FLOOR = 1e-12


@dataclass(frozen=True)
class Members:
    """Probabilities float64 (M, N, C) of M members for the same images and classes; zeros where unreadable.

    `recipes` say what each member's file was made with.
    """

    values: np.ndarray
    recipes: list[dict[str, Any]]
    image_ids: list[str]
    classes: list[ImageClass]


def read_members(paths: Sequence[Path]) -> Members:
    """Read saved probabilities; classes are matched by category id, images by id. Raises InputError if they differ."""
    parts = [read_probabilities(path) for path in paths]
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
    return Members(np.stack(values), [part.recipe for part in parts], first.image_ids, first.classes)


def average_saved(
    members: Members, paths: Sequence[Path], weights: Sequence[float] | None, output: Path, form: str
) -> list[str]:
    """Write the predictions of the mean of saved probabilities, in a form of `FORMATS`, and their recipe.

    An image that could not be read gets the class that the first member's models give it, with confidence 0. Returns
    lines. Raises InputError if there is not one weight for each member.
    """
    if output.suffix.lower() != ".csv":
        raise InputError(f"--output {output}: must end in .csv; its recipe stands beside it as .json.")
    shares = weight_shares(weights, len(paths))
    total = np.tensordot(shares, members.values, axes=1)
    readable = total.sum(axis=1) > 0
    answers = total.argmax(axis=1)
    fallback = next(entry.label for entry in members.classes if entry.category_id == members.recipes[0]["fallback"])
    predictions = [
        Prediction(image_id, int(answer), min(float(row.max()), 1.0)) if fine else Prediction(image_id, fallback, 0.0)
        for image_id, answer, row, fine in zip(members.image_ids, answers, total, readable, strict=True)
    ]
    predictions.sort(key=lambda prediction: prediction.image_id)
    write_predictions(output, FORMATS[form], predictions, members.classes)
    sources = [
        {"path": path.resolve().as_posix(), "sha256": sha256(path), "weight": share}
        for path, share in zip(paths, shares, strict=True)
    ]
    joint = _joint_recipe(members.recipes, shares)
    facts = {"images": len(predictions), "format": form, **joint, "probabilities": sources, "versions": versions()}
    write_provenance(output, facts)
    unread = f", {int((~readable).sum())} unreadable" if not readable.all() else ""
    lines = [f"images      {len(predictions)}{unread}, mean of {len(paths)} files"]
    if not joint["checkpoints"]:
        lines.append(
            "note: the files were made with different views or averages, so no ZIP can repeat their mean; "
            "ensemble.py --checkpoint predicts with one set of views."
        )
    return [*lines, f"Wrote {output}"]


def _joint_recipe(recipes: Sequence[dict[str, Any]], shares: Sequence[float]) -> dict[str, Any]:
    """Return the recipe of one pipeline that answers like the mean; it has no checkpoints if there is none."""
    if any(recipe[name] != recipes[0][name] for recipe in recipes for name in ("views", "average")):
        return {"checkpoints": []}
    checkpoints = [
        {**entry, "weight": entry["weight"] * share}
        for recipe, share in zip(recipes, shares, strict=True)
        for entry in recipe["checkpoints"]
    ]
    joined = {name: "+".join(dict.fromkeys(recipe[name] for recipe in recipes)) for name in ("runtime", "precision")}
    return {"checkpoints": checkpoints, "views": recipes[0]["views"], "average": recipes[0]["average"], **joined}


def fit_saved(members: Members, data: Path) -> tuple[list[float] | None, list[str]]:
    """Fit weights on those images of saved probabilities that the table `data` labels; see `fit_members`."""
    table = with_classes_of(members.classes, read_labelled(data), data)
    label_of = dict(zip(table.image_ids, table.labels.tolist(), strict=True))
    rows = [row for row, image_id in enumerate(members.image_ids) if image_id in label_of]
    labels = np.array([label_of[members.image_ids[row]] for row in rows], dtype=np.int64)
    return fit_members(members.values[:, rows], labels, f"labelled by {data}")


def fit_checkpoints(pipeline: Pipeline, data: Path | None) -> tuple[list[float] | None, list[str]]:
    """Fit the members' weights on validation images, or those of `data`, that none was trained on; see `fit_members`.

    Raises InputError if there are none.
    """
    images = images_new_to(pipeline, choose_images(pipeline, "val", data))
    values = []
    for number, member in enumerate(pipeline.members, start=1):
        values.append(predict_images(only_member(pipeline, member), images.inputs, f"model {number}").probabilities)
    return fit_members(np.stack(values), images.labels, images.source)


def fit_members(values: np.ndarray, labels: np.ndarray, source: str) -> tuple[list[float] | None, list[str]]:
    """Fit weights of members by log loss, and say what they gain on images that the fit did not see.

    `values` (M, N, C), `labels` int (N,). Each fifth of the images is answered with weights fitted on the others.
    Returns the weights fitted on all images, or None, for equal ones, if the fitted ones do not lower the log loss
    there; and lines. Raises InputError if there are fewer than two readable images a fold.
    """
    readable = (values.sum(axis=2) > 0).all(axis=0)
    values, labels = values[:, readable], labels[readable]
    if len(labels) < 2 * FOLDS:
        raise InputError(
            f"--fit: {len(labels)} labelled images ({source}) are too few; at least {2 * FOLDS} are needed."
        )
    fold_of = np.random.default_rng(0).permutation(len(labels)) % FOLDS
    equal, fitted = values.mean(axis=0), np.empty_like(values[0])
    for fold in range(FOLDS):
        others, own = fold_of != fold, fold_of == fold
        fitted[own] = np.tensordot(mixture_weights(values[:, others], labels[others]), values[:, own], axes=1)
    weights = mixture_weights(values, labels)
    losses = [metrics.cross_entropy(log_of(table), labels) for table in (equal, fitted)]
    hits = [table.argmax(axis=1) == labels for table in (equal, fitted)]
    low, high = metrics.gain_interval(hits[1], hits[0])
    lines = [
        f"fit         on {len(labels)} images ({source}); figures on the fifth that each fit did not see",
        f"log loss    equal {losses[0]:.4f}, fitted {losses[1]:.4f}",
        f"top-1       equal {100 * hits[0].mean():.2f} %, fitted {100 * hits[1].mean():.2f} % "
        f"(difference 95 %: {low:+.2f} to {high:+.2f})",
    ]
    if losses[1] >= losses[0]:
        return None, [*lines, "weights     equal: the fitted ones gain nothing on images that they have not seen"]
    return weights.tolist(), [*lines, f"weights     {' '.join(f'{weight:.3f}' for weight in weights)}"]


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
