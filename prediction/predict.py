"""Checkpoints and images to predictions.csv with its recipe; and the benchmark of the same pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import distributed
from common.csv_files import write_rows
from common.errors import InputError
from data.inputs import Inputs, find_inputs
from prediction.pipeline import Pipeline, PredictedProbabilities, predict_images
from prediction.predictions_csv import FORMATS, Prediction, write_predictions
from prediction.probabilities import save_probabilities
from prediction.provenance import describe_pipeline, provenance_path, write_provenance

_NAMED = 5


@dataclass(frozen=True)
class Output:
    """Where the predictions go and in which form; `probabilities` and `top_k` are further files, on request."""

    predictions: Path
    format: str = "seed"
    probabilities: Path | None = None
    top_k: int | None = None


def infer(pipeline: Pipeline, paths: Sequence[Path], output: Output) -> list[str]:
    """Predict the images of `paths` (see `find_inputs`), or else of the checkpoint's test folder, and write the files.

    Returns lines that say what was done. Every image has its row: an unreadable one the most frequent class of the
    training images, with confidence 0. Raises InputError if there are no images.
    """
    paths = paths or [default_input(pipeline)]
    if output.predictions.suffix.lower() != ".csv":
        raise InputError(f"--output {output.predictions}: must end in .csv; its recipe stands beside it as .json.")
    if output.top_k is not None and not 1 <= output.top_k <= len(pipeline.classes):
        raise InputError(f"--top-k {output.top_k}: expected 1 to {len(pipeline.classes)}, the number of classes.")
    inputs = find_inputs(paths)
    answers = predict_images(pipeline, inputs)
    if not distributed.is_main():
        return []
    predictions = write_prediction_files(
        output.predictions, output.format, pipeline, inputs, answers, paths[0] if len(paths) == 1 else None
    )
    files = [output.predictions, provenance_path(output.predictions)]
    if output.probabilities:
        save_probabilities(output.probabilities, pipeline, inputs, answers)
        files.append(output.probabilities)
    if output.top_k:
        files.append(_write_top_k(output, pipeline, inputs, answers))
    return [*_describe(pipeline, inputs, answers, predictions), f"Wrote {', '.join(map(str, files))}"]


def default_input(pipeline: Pipeline) -> Path:
    """Return the test folder of the checkpoint's data set. Raises InputError if it names none."""
    test_dir = pipeline.config.dataset.test_dir
    folder = Path(test_dir) if test_dir else Path(pipeline.config.dataset.root) / "test"
    if not folder.is_dir():
        raise InputError(
            f"{folder}: not found, so there is nothing to predict. Give --input <folder, CSV or images>, "
            "or dataset.test_dir=<folder>."
        )
    return folder


def write_prediction_files(
    path: Path, form: str, pipeline: Pipeline, inputs: Inputs, answers: PredictedProbabilities, source: Path | None
) -> list[Prediction]:
    """Write the predictions in a form of `FORMATS`, and their recipe; `source` is where the images came from."""
    predictions = to_predictions(pipeline, inputs, answers)
    write_predictions(path, FORMATS[form], predictions, pipeline.classes)
    facts = {
        "input": source.resolve().as_posix() if source else None,
        "images": len(predictions),
        "format": form,
        **describe_pipeline(pipeline),
        "unreadable": {inputs.image_ids[row]: reason for row, reason in answers.unreadable.items()},
        "recovered": [inputs.image_ids[row] for row in answers.recovered],
    }
    write_provenance(path, facts)
    return predictions


def to_predictions(pipeline: Pipeline, inputs: Inputs, answers: PredictedProbabilities) -> list[Prediction]:
    """Return one prediction an image: the most probable class, or the most frequent one with confidence 0."""
    predictions = []
    for row, (image_id, probabilities) in enumerate(zip(inputs.image_ids, answers.probabilities, strict=True)):
        if row in answers.unreadable:
            predictions.append(Prediction(image_id, pipeline.fallback_label, 0.0))
        else:
            label = int(probabilities.argmax())
            predictions.append(Prediction(image_id, label, min(float(probabilities[label]), 1.0)))
    return predictions


def _write_top_k(output: Output, pipeline: Pipeline, inputs: Inputs, answers: PredictedProbabilities) -> Path:
    path = output.predictions.with_name(f"{output.predictions.stem}_top{output.top_k}.csv")
    rows = []
    for row, image_id in enumerate(inputs.image_ids):
        if row in answers.unreadable:
            continue
        ranked = np.argsort(-answers.probabilities[row], kind="stable")[: output.top_k]
        for rank, label in enumerate(ranked, start=1):
            image_class = pipeline.classes[label]
            confidence = f"{answers.probabilities[row, label]:.6f}"
            rows.append((image_id, rank, label, image_class.category_id, image_class.name, confidence))
    write_rows(path, ("image_id", "rank", "label", "category_id", "name", "confidence"), rows)
    return path


def _describe(
    pipeline: Pipeline, inputs: Inputs, answers: PredictedProbabilities, predictions: Sequence[Prediction]
) -> list[str]:
    count = len(predictions)
    lines = [
        f"{count} images, views {'+'.join(pipeline.views)}, {len(pipeline.members)} model(s), {pipeline.computed_in}"
    ]
    if count <= _NAMED:
        for prediction in predictions:
            image_class = pipeline.classes[prediction.label]
            lines.append(
                f"  {prediction.image_id}: {image_class.name} (category {image_class.category_id}, "
                f"{100 * prediction.confidence:.1f} %)"
            )
    if answers.unreadable:
        fallback = pipeline.classes[pipeline.fallback_label]
        lines.append(
            f"warning: {len(answers.unreadable)} of {count} images could not be read; they have the most frequent "
            f"class ({fallback.name}, category {fallback.category_id}) with confidence 0:"
        )
        shown = list(answers.unreadable.items())[:_NAMED]
        lines += [f"  {inputs.image_ids[row]}: {reason}" for row, reason in shown]
        if len(answers.unreadable) > len(shown):
            lines.append(f"  and {len(answers.unreadable) - len(shown)} more, all named in the recipe")
    if answers.recovered:
        lines.append(f"note: {len(answers.recovered)} damaged images were read as far as they go.")
    return lines
