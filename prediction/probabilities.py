"""Saved probabilities: an .npz of image ids, classes and probabilities, written and read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.classes import ImageClass, reordering
from common.errors import InputError
from common.files import as_path, replacing
from data.inputs import Inputs
from prediction.pipeline import Pipeline, PredictedProbabilities
from prediction.provenance import describe_pipeline
from prediction.recorded import check_probabilities

_PROVENANCE = ("checkpoints", "fallback", "views", "average", "runtime", "precision")


@dataclass(frozen=True)
class SavedProbabilities:
    """Probabilities float64 (N, C) of images, with the classes of their columns; zeros for an unreadable image.

    `provenance` is what `prediction.provenance.describe_pipeline` said of their models, for the keys of `_PROVENANCE`.
    """

    image_ids: list[str]
    classes: list[ImageClass]
    values: np.ndarray
    provenance: dict[str, Any]

    def in_order_of(self, classes: Sequence[ImageClass]) -> np.ndarray | None:
        """Return the values with columns in another order of the same classes, or None if the classes differ."""
        columns = reordering(self.classes, classes)
        return None if columns is None else self.values[:, columns]


def read_probabilities(path: str | Path) -> SavedProbabilities:
    """Read an .npz of probabilities. Raises InputError if it is missing, damaged, or holds something else."""
    path = as_path(path)
    check_probabilities(path)
    try:
        with np.load(path, allow_pickle=False) as saved:
            ids, categories, names = (saved[key].astype(str).tolist() for key in ("image_ids", "category_ids", "names"))
            values = saved["probabilities"].astype(np.float64)
            facts = json.loads(str(saved["recipe"]))
        provenance = {name: facts[name] for name in _PROVENANCE}
    except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError) as error:
        raise InputError(f"{path}: not a probabilities.npz of this version's inference.py.") from error
    classes = [ImageClass(place, *entry) for place, entry in enumerate(zip(categories, names, strict=False))]
    if values.shape != (len(ids), len(classes)) or len(set(categories)) < len(classes) or len(set(ids)) < len(ids):
        raise InputError(f"{path}: its probabilities do not fit its images and classes.")
    if provenance["fallback"] not in categories:
        raise InputError(f"{path}: an unreadable image would get a class that it does not have.")
    if not np.isfinite(values).all() or (values < 0).any():
        raise InputError(f"{path}: its probabilities are not all numbers from 0 on.")
    return SavedProbabilities(ids, classes, values, provenance)


def save_probabilities(path: Path, pipeline: Pipeline, inputs: Inputs, predicted: PredictedProbabilities) -> None:
    """Write an .npz of image_ids (N,), category_ids (C,), names (C,), probabilities float32 (N, C) and `recipe`, their
    provenance.

    It holds no Python objects, so it loads without pickle. Rows of unreadable images are zeros.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            image_ids=np.array(inputs.image_ids),
            category_ids=np.array([image_class.category_id for image_class in pipeline.classes]),
            names=np.array([image_class.name for image_class in pipeline.classes]),
            probabilities=predicted.probabilities.astype(np.float32),
            recipe=np.array(json.dumps(describe_pipeline(pipeline), ensure_ascii=False)),
        )
