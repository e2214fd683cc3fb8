"""Prediction: checkpoints and images to probabilities, and to predictions.csv with its provenance beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from common import distributed
from common.classes import ImageClass
from common.csv_files import write_rows
from common.errors import InputError, RunError
from common.files import as_paths, kept_name, run_all
from data.inputs import Inputs, find_inputs
from prediction.output_files import OutputFiles
from prediction.pipeline import Pipeline, PredictedProbabilities, predict_images
from prediction.predictions_csv import FORMATS, Prediction, form_name, write_predictions
from prediction.probabilities import save_probabilities
from prediction.provenance import describe_pipeline, write_provenance
from prediction.recorded import provenance_path


@dataclass(frozen=True)
class PredictionResult:
    """One prediction per image, sorted by image id, and the probabilities float64 (N, C) behind them.

    Every image has its row: an unreadable one has the most frequent class of the training images, confidence 0 and
    probabilities of 0; `unreadable` says why. `recovered` are damaged images, read as far as they go. `files` are the
    files written.
    """

    predictions: list[Prediction]
    probabilities: np.ndarray
    classes: list[ImageClass]
    fallback: ImageClass
    unreadable: dict[str, str]
    recovered: list[str]
    files: list[Path] = field(default_factory=list)

    @property
    def image_ids(self) -> list[str]:
        """The ids of the images, in order."""
        return [prediction.image_id for prediction in self.predictions]

    @property
    def names(self) -> list[str]:
        """The name of the predicted class of each image."""
        return [self.classes[prediction.label].name for prediction in self.predictions]


def predict(pipeline: Pipeline, images: str | Path | Sequence[str | Path] | None = None) -> PredictionResult:
    """Predict a folder, a CSV of names, or image files (see `find_inputs`); None is the checkpoint's test folder.

    Raises InputError if there are no images, or none can be read.
    """
    inputs = find_inputs(_paths_of(images, pipeline))
    return _result(pipeline, inputs, _predict_readable(pipeline, inputs))


def predict_to_files(
    pipeline: Pipeline, images: str | Path | Sequence[str | Path] | None, output: OutputFiles
) -> PredictionResult:
    """Predict like `predict` and write the files of `output`, with their provenance.

    Raises InputError as `predict` does, and for an output that is not possible before anything is predicted.
    """
    paths = _paths_of(images, pipeline)
    output.check([*(member.path for member in pipeline.members), *paths])
    top_k = output.top_k
    if top_k is not None and not (isinstance(top_k, int) and 1 <= top_k <= len(pipeline.classes)):
        raise InputError(f"top-k {top_k}: expected 1 to {len(pipeline.classes)}, the number of classes.")
    inputs = find_inputs(paths)
    predicted = _predict_readable(pipeline, inputs)
    result = _result(pipeline, inputs, predicted)
    if not distributed.is_main():
        return result
    source = paths[0] if len(paths) == 1 else None
    writers: dict[Path, Callable[[], object]] = {
        output.predictions: lambda: write_predictions_and_provenance(
            output.predictions, output.format, pipeline, inputs, predicted, source
        )
    }
    if output.probabilities:
        saved = output.probabilities
        writers[saved] = lambda: save_probabilities(saved, pipeline, inputs, predicted)
    if output.top_k:
        writers[output.top_k_file] = lambda: _write_top_k(output, pipeline, inputs, predicted)
    run_all(writers.values())
    predictions, *others = writers
    return replace(result, files=[predictions, provenance_path(predictions), *others])


def _paths_of(images: str | Path | Sequence[str | Path] | None, pipeline: Pipeline) -> list[Path]:
    return [default_input(pipeline)] if images is None else as_paths(images, "images")


def _predict_readable(pipeline: Pipeline, inputs: Inputs) -> PredictedProbabilities:
    predicted = predict_images(pipeline, inputs)
    if len(predicted.readable) == 0:
        raise InputError(
            f"None of the {len(inputs.paths)} images could be read, the first ({inputs.image_ids[0]}) because: "
            f"{predicted.first_problem}."
        )
    return predicted


def _result(pipeline: Pipeline, inputs: Inputs, predicted: PredictedProbabilities) -> PredictionResult:
    return PredictionResult(
        predictions=to_predictions(pipeline, inputs, predicted),
        probabilities=predicted.probabilities,
        classes=pipeline.classes,
        fallback=pipeline.classes[pipeline.fallback_label],
        unreadable={inputs.image_ids[row]: reason for row, reason in predicted.unreadable.items()},
        recovered=[inputs.image_ids[row] for row in predicted.recovered],
    )


def default_input(pipeline: Pipeline) -> Path:
    """Return the test folder of the checkpoint's data set. Raises InputError if it names none."""
    test_dir = pipeline.config.dataset.test_dir
    folder = Path(test_dir) if test_dir else Path(pipeline.config.dataset.root) / "test"
    if not folder.is_dir():
        raise InputError(
            f"{folder}: not found, so there is nothing to predict. Name a folder, a CSV or images as the input, "
            "or give dataset.test_dir=<folder>."
        )
    return folder


def write_predictions_and_provenance(
    path: Path, form: str, pipeline: Pipeline, inputs: Inputs, predicted: PredictedProbabilities, source: Path | None
) -> None:
    """Write predictions in a form of `FORMATS`, and how they were made; `source` is where the images came from."""
    predictions = to_predictions(pipeline, inputs, predicted)
    form = form_name(form)
    facts = {
        "input": source.resolve().as_posix() if source else None,
        "images": len(predictions),
        "format": form,
        **describe_pipeline(pipeline),
        "unreadable": {inputs.image_ids[row]: reason for row, reason in predicted.unreadable.items()},
        "recovered": [inputs.image_ids[row] for row in predicted.recovered],
    }
    try:
        write_predictions(path, FORMATS[form], predictions, pipeline.classes)
    except RunError:
        # an older file keeps its own provenance
        write_provenance(kept_name(path), facts)
        raise
    write_provenance(path, facts)


def to_predictions(pipeline: Pipeline, inputs: Inputs, predicted: PredictedProbabilities) -> list[Prediction]:
    """Return one prediction per image: the most probable class, or the most frequent one with confidence 0."""
    predictions = []
    for row, (image_id, probabilities) in enumerate(zip(inputs.image_ids, predicted.probabilities, strict=True)):
        if row in predicted.unreadable:
            predictions.append(Prediction(image_id, pipeline.fallback_label, 0.0))
        else:
            label = int(probabilities.argmax())
            predictions.append(Prediction(image_id, label, min(float(probabilities[label]), 1.0)))
    return predictions


def _write_top_k(output: OutputFiles, pipeline: Pipeline, inputs: Inputs, predicted: PredictedProbabilities) -> None:
    rows = []
    for row, image_id in enumerate(inputs.image_ids):
        if row in predicted.unreadable:
            continue
        ranked = np.argsort(-predicted.probabilities[row], kind="stable")[: output.top_k]
        for rank, label in enumerate(ranked, start=1):
            image_class = pipeline.classes[label]
            confidence = f"{predicted.probabilities[row, label]:.6f}"
            rows.append((image_id, rank, label, image_class.category_id, image_class.name, confidence))
    write_rows(output.top_k_file, ("image_id", "rank", "label", "category_id", "name", "confidence"), rows)
