"""A temperature for a checkpoint that has none, or one for other images."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from common.files import as_path, check_writable
from evaluation.calibration import FEWEST_IMAGES, Calibration, calibrate, of_validation_images
from evaluation.labelled_images import LabelledImages, choose_images, readable_rows
from models.checkpoint import Checkpoint, save_checkpoint
from prediction.logits import log_of
from prediction.options import LABELLED_KEYS
from prediction.pipeline import Pipeline, load_pipeline, predict_images, require_torch, uncalibrated, with_checkpoint
from tools.cross_validation import temperature_of_folds
from tools.folds import check_source


@dataclass(frozen=True)
class CalibratedCheckpoint:
    """A checkpoint with a new temperature; `seen_in_training` of the images were training images of it.

    `other_architectures` are those of the folds that are not the checkpoint's own.
    """

    calibration: Calibration
    temperature_before: float
    source: str
    other_architectures: list[str]
    seen_in_training: int
    unreadable: int
    path: Path


def calibrate_checkpoint(
    path: str | Path,
    data: str | Path | None = None,
    folds: str | Path | None = None,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> CalibratedCheckpoint:
    """Fit the temperature of a checkpoint and write it to `output`, or into the checkpoint itself.

    It is fitted on the checkpoint's validation images, on the labelled images `data`, or on the out-of-fold answers of
    the cross-validation below the folder `folds`. Raises InputError for an exported model, if both are given, and if
    there are too few images.
    """
    path = as_path(path)
    output = path if output is None else as_path(output)
    check_source(data, folds)
    check_writable(output, [], ".pt")
    pipeline = load_pipeline([path], overrides=overrides, keys=LABELLED_KEYS)
    require_torch(pipeline, "calibrate")
    checkpoint = pipeline.members[0].checkpoint
    if folds is not None:
        found = temperature_of_folds(as_path(folds), pipeline.classes, overrides)
        before = found.metrics.calibration_error
        fitted = Calibration(found.temperature, found.metrics.images, found.models, before, found.calibrated_error)
        others = sorted(set(found.architectures) - {checkpoint.architecture})
        source, seen, unreadable = f"the folds of {folds}", 0, found.unreadable
        told = f"{fitted.images} images: {source}"
    else:
        if data is None and not checkpoint.split["val"]:
            raise InputError(
                f"{path}: its run held back no validation images. Give other labelled images, or the folds of a "
                "cross-validation."
            )
        images = choose_images(pipeline, None, data)
        predicted = predict_images(uncalibrated(pipeline), images.inputs, "calibration")
        rows = readable_rows(predicted, images)
        fitted = calibrate(log_of(predicted.probabilities[rows]), images.labels[rows], pipeline.config.seed)
        if fitted is None:
            raise InputError(f"{images.source}: {len(rows)} images; a temperature needs {FEWEST_IMAGES}.")
        seen = len(set(checkpoint.split["train"]) & set(images.inputs.image_ids))
        source, unreadable, others = images.source, len(predicted.unreadable), []
        told = _told(fitted, images)
    save_checkpoint(dataclasses.replace(checkpoint, temperature=fitted.temperature, temperature_source=told), output)
    return CalibratedCheckpoint(fitted, checkpoint.temperature, source, others, seen, unreadable, output)


def recalibrated(pipeline: Pipeline, images: LabelledImages, checkpoint: Checkpoint, top1: float) -> Checkpoint:
    """Return a changed checkpoint with the temperature that suits it, and with its `top1` (a share) on `images`.

    The temperature and the metrics that it had are those of the model before the change. Too few images give no
    temperature, and other images than those of its validation no metric.
    """
    metrics = {"val_top1": top1} if images.split == "val" else {}
    plain = dataclasses.replace(checkpoint, temperature=1.0, temperature_source="", metrics=metrics)
    predicted = predict_images(with_checkpoint(pipeline, plain), images.inputs, "calibration")
    rows = readable_rows(predicted, images)
    fitted = calibrate(log_of(predicted.probabilities[rows]), images.labels[rows], pipeline.config.seed)
    if fitted is None:
        return plain
    return dataclasses.replace(plain, temperature=fitted.temperature, temperature_source=_told(fitted, images))


def _told(fitted: Calibration, images: LabelledImages) -> str:
    if images.split == "val":
        return of_validation_images(fitted.images)
    return f"{fitted.images} images: {images.source}"
