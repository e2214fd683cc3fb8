"""What the tab Try shows: the answer to a photograph with its reasons, and the answers to many."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common.classes import ImageClass
from common.csv_files import write_rows
from common.errors import InputError
from common.files import as_path
from data.images import attempt, read_image
from data.inputs import Inputs
from data.transforms import eval_image
from evaluation.grad_cam import attention_map
from models.classifier import Classifier
from prediction.latency import measure_latency
from prediction.pipeline import Pipeline, predict_batches, predict_images, to_batches, with_views
from prediction.predict import to_predictions
from prediction.view_names import SETS

BEST = 5

# share of the heat map's colour over the picture
_HEAT = 0.45


@dataclass(frozen=True)
class Answer:
    """The answer to one photograph: its best classes with calibrated probabilities, the best one first.

    `views` holds (view, its best class, probability). `milliseconds` is the whole pipeline for this file, from decoding
    on. `picture` is the square that the model sees, uint8 RGB (S, S, 3); `heat` is the same under a heat map of the
    best class, None where the model gives none. `recovered` says that the file is damaged.
    """

    best: list[tuple[ImageClass, float]]
    views: list[tuple[str, ImageClass, float]]
    milliseconds: float
    limit_ms: float
    on_cpu: bool
    picture: np.ndarray
    heat: np.ndarray | None
    recovered: bool


@dataclass(frozen=True)
class FileAnswer:
    """The answer to one of many files; `problem` says why there is none, and is empty otherwise."""

    name: str
    image_class: ImageClass | None
    confidence: float
    problem: str


def explainer(pipeline: Pipeline) -> Classifier | None:
    """Return the first member's classifier on the CPU, for heat maps; None if another runtime computes."""
    return pipeline.members[0].checkpoint.build_model().eval() if pipeline.runtime == "torch" else None


def answer_photograph(pipeline: Pipeline, model: Classifier | None, path: str | Path) -> Answer:
    """Answer one image file; `model` is what `explainer` gave.

    Raises InputError with the reason if the file cannot be read.
    """
    path = as_path(path)
    decoded, problem = attempt(lambda: read_image(path))
    if decoded is None:
        raise InputError(problem)
    probabilities = predict_batches(pipeline, to_batches(pipeline, decoded.pixels), [path.name])[0]
    order = np.argsort(-probabilities, kind="stable")[:BEST]
    checkpoint = pipeline.members[0].checkpoint
    picture = eval_image(decoded.pixels, checkpoint.input_size, checkpoint.crop_pct, checkpoint.fit)
    latency = measure_latency(pipeline, [path])
    return Answer(
        best=[(pipeline.classes[label], float(probabilities[label])) for label in order],
        views=_answers_of_views(pipeline, decoded.pixels),
        milliseconds=latency.median_ms,
        limit_ms=pipeline.config.competition.max_latency_ms,
        on_cpu=latency.on_cpu,
        picture=picture,
        heat=None if model is None else heat_picture(pipeline, model, picture, int(order[0])),
        recovered=decoded.recovered,
    )


def answer_files(pipeline: Pipeline, paths: Sequence[str | Path]) -> list[FileAnswer]:
    """Answer image files in the given order; of each path the last part is shown."""
    files = [as_path(path) for path in paths]
    if not files:
        return []
    inputs = Inputs([file.name for file in files], files)
    predicted = predict_images(without_workers(pipeline), inputs)
    answers = []
    for row, prediction in enumerate(to_predictions(pipeline, inputs, predicted)):
        problem = predicted.unreadable.get(row, "")
        image_class = None if problem else pipeline.classes[prediction.label]
        answers.append(FileAnswer(prediction.image_id, image_class, prediction.confidence or 0.0, problem))
    return answers


def write_answers(path: str | Path, answers: Sequence[FileAnswer]) -> None:
    """Write `image_id,category_id,name,confidence,problem`."""
    rows = [
        (
            answer.name,
            "" if answer.image_class is None else answer.image_class.category_id,
            "" if answer.image_class is None else answer.image_class.name,
            f"{answer.confidence:.6f}",
            answer.problem,
        )
        for answer in answers
    ]
    write_rows(as_path(path), ("image_id", "category_id", "name", "confidence", "problem"), rows)


def _answers_of_views(pipeline: Pipeline, pixels: np.ndarray) -> list[tuple[str, ImageClass, float]]:
    found = []
    for view in dict.fromkeys((*pipeline.views, *SETS["full"])):
        alone = with_views(pipeline, (view,))
        probabilities = predict_batches(alone, to_batches(alone, pixels))[0]
        label = int(probabilities.argmax())
        found.append((view, pipeline.classes[label], float(probabilities[label])))
    return found


def heat_picture(pipeline: Pipeline, model: Classifier, picture: np.ndarray, label: int) -> np.ndarray | None:
    """Return `picture`, the square that the model sees, under a heat map of class `label`; None if there is none."""
    output = int(pipeline.members[0].output_of_class[label])
    heat = attention_map(model, picture, output)
    if heat is None:
        return None
    colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
    return ((1 - _HEAT) * picture + _HEAT * colours).astype(np.uint8)


def without_workers(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline so that it starts no worker processes, whose start takes longer than a few images."""
    dataset = dataclasses.replace(pipeline.config.dataset, num_workers=0)
    return dataclasses.replace(pipeline, config=dataclasses.replace(pipeline.config, dataset=dataset))
