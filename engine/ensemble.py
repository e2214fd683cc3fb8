"""The mean of several models' saved probabilities as one predictions file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from configs.errors import InputError
from data.predictions import FORMATS, Prediction, write_predictions
from engine.checkpoint import sha256, versions
from engine.recipe import write_recipe
from engine.saved import read_probabilities


def average_saved(paths: Sequence[Path], output: Path, form: str) -> list[str]:
    """Write the predictions of the mean of saved probabilities, in a form of `FORMATS`, and their recipe.

    Classes are matched by category id, images by id. An image that none could read gets the class that is most frequent
    among the answers, with confidence 0. Returns lines. Raises InputError if images or classes differ.
    """
    if output.suffix.lower() != ".csv":
        raise InputError(f"--output {output}: must end in .csv; its recipe stands beside it as .json.")
    parts = [read_probabilities(path) for path in paths]
    first = parts[0]
    total = np.zeros_like(first.values)
    for path, part in zip(paths, parts, strict=True):
        values = part.in_order_of([entry.category_id for entry in first.classes])
        if values is None:
            raise InputError(f"{path}: its classes are not those of {paths[0]}.")
        row_of = {image_id: row for row, image_id in enumerate(part.image_ids)}
        if set(row_of) != set(first.image_ids):
            raise InputError(f"{path}: its images are not those of {paths[0]}.")
        total += values[[row_of[image_id] for image_id in first.image_ids]] / len(parts)
    readable = total.sum(axis=1) > 0
    answers = total.argmax(axis=1)
    fallback = int(np.bincount(answers[readable], minlength=len(first.classes)).argmax())
    predictions = [
        Prediction(image_id, int(answer), float(row.max())) if fine else Prediction(image_id, fallback, 0.0)
        for image_id, answer, row, fine in zip(first.image_ids, answers, total, readable, strict=True)
    ]
    predictions.sort(key=lambda prediction: prediction.image_id)
    write_predictions(output, FORMATS[form], predictions, first.classes)
    sources = [{"path": path.resolve().as_posix(), "sha256": sha256(path), "weight": 1 / len(paths)} for path in paths]
    facts = {"images": len(predictions), "format": form, "probabilities": sources, "versions": versions()}
    write_recipe(output, facts)
    unread = f", {int((~readable).sum())} unreadable" if not readable.all() else ""
    return [f"images      {len(predictions)}{unread}, mean of {len(paths)} files", f"Wrote {output}"]
