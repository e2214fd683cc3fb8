"""Export: a checkpoint for another runtime or precision, compared with the original before it is saved."""

import contextlib
import dataclasses
import importlib
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from common.device import algorithms_kept
from common.errors import RunError
from common.files import as_path, check_writable, check_writable_folder, move_into_place, run_all
from configs.compose import listed
from evaluation.intervals import Gain, paired_gain
from evaluation.labelled_images import choose_images, readable_rows, training_batches
from evaluation.recorded import recorded_metrics
from models.checkpoint import half_weights, load_checkpoint, save_checkpoint
from prediction.options import LABELLED_KEYS
from prediction.pipeline import Pipeline, load_pipeline, predict_images, require_torch
from prediction.runtime_packages import files_of
from prediction.runtimes import mark_openvino, to_onnx, to_openvino
from tools.export_options import check_export
from tools.export_timm import FILES, check_expressible, write_folder

# the largest difference in probability; of int8 the largest loss of top-1
TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.003}

CALIBRATION_IMAGES = 300

# an image whose two best classes are closer than this may tip over by rounding
NARROW_MARGIN = 1e-3

# norms and activations that NNCF quantises well only if it is told of them
_TRANSFORMER_LAYERS = ("LayerNorm", "LayerNorm2d", "GELU")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two models on the same images: of how many the label is equal, and top-1 (shares) before and after.

    `narrow` images have two best classes closer than `NARROW_MARGIN`; `equal_but_narrow` counts images that are equal
    or narrow. `largest_difference` is in probability.
    """

    images: int
    equal: int
    equal_but_narrow: int
    narrow: int
    largest_difference: float
    top1_before: float
    top1_after: float
    gain: Gain


@dataclasses.dataclass(frozen=True)
class Export:
    """A conversion compared with its checkpoint; `files` were written only if the tolerance was kept.

    `tolerance` is the largest difference in probability, of int8 the largest loss of top-1 (a share).
    """

    comparison: Comparison
    precision: str
    tolerance: float
    files: list[Path] = dataclasses.field(default_factory=list)

    @property
    def within_tolerance(self) -> bool:
        """Whether the models are close enough: in probabilities, or for int8 in top-1."""
        found = self.comparison
        change = found.top1_before - found.top1_after if self.precision == "int8" else found.largest_difference
        return bool(change <= self.tolerance)


# it runs on the CPU, for whose algorithms a GPU that the caller uses would be slower
@algorithms_kept()
def export(
    path: str | Path,
    runtime: str,
    precision: str,
    output: str | Path,
    data: str | Path | None = None,
    tolerance: float | None = None,
    overrides: Sequence[str] = (),
) -> Export:
    """Convert a checkpoint, compare on validation images (or `data`), and only then give the files their names.

    Raises InputError for a combination that is not offered, a wrong suffix or a missing package, and RunError, with
    nothing written, if answers are no finite numbers or, with the comparison, if they differ by more than `tolerance`
    (see `TOLERANCES`).
    """
    path, output, overrides = as_path(path), as_path(output), ["device=cpu", *listed(overrides)]
    check_export(runtime, precision, output)
    for file in files_of(output):
        check_writable(file, [path])
    pipeline = load_pipeline([path], overrides=overrides, keys=LABELLED_KEYS)
    require_torch(pipeline, "export")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export_", dir=output.parent) as folder:
        target = Path(folder) / output.name
        _convert(pipeline, runtime, precision, target)
        exported = load_pipeline([target], overrides=overrides, keys=LABELLED_KEYS)
        limit = TOLERANCES[precision] if tolerance is None else tolerance
        try:
            found = Export(compare(pipeline, exported, data), precision, limit)
        except RunError as error:
            # as of weights that are too large for 16 bits
            raise RunError(f"{output}: not written: {error}") from error
        if not found.within_tolerance:
            raise RunError(f"{output}: not written: it answers otherwise than {path}.", found)
        run_all(partial(move_into_place, file, output.with_suffix(file.suffix)) for file in files_of(target))
    return dataclasses.replace(found, files=files_of(output))


def compare(before: Pipeline, after: Pipeline, data: str | Path | None) -> Comparison:
    """Predict the same images with both. Raises InputError if there are none."""
    images = choose_images(before, None, data)
    predicted = [
        predict_images(pipeline, images.inputs, name) for pipeline, name in ((before, "torch"), (after, "exported"))
    ]
    rows = readable_rows(predicted[0], images)
    labels, tables = images.labels[rows], [found.probabilities[rows] for found in predicted]
    best = np.sort(tables[0], axis=1)
    narrow = best[:, -1] - best[:, -2] < NARROW_MARGIN
    label_before, label_after = (table.argmax(axis=1) for table in tables)
    equal = label_before == label_after
    return Comparison(
        images=len(labels),
        equal=int(equal.sum()),
        equal_but_narrow=int((equal | narrow).sum()),
        narrow=int(narrow.sum()),
        largest_difference=float(np.abs(tables[0] - tables[1]).max()),
        top1_before=float((label_before == labels).mean()),
        top1_after=float((label_after == labels).mean()),
        gain=paired_gain(label_after == labels, label_before == labels),
    )


def export_timm(path: str | Path, output: str | Path) -> list[Path]:
    """Write a checkpoint as a folder that plain timm reads (`tools.export_timm`) and return its files.

    The card has the figures of the run's evaluation if these are of this checkpoint. Raises InputError for a head that
    timm lacks, and RunError, with nothing written, if timm would give other logits.
    """
    path, output = as_path(path), as_path(output)
    check_writable_folder(output)
    checkpoint = load_checkpoint(path)
    check_expressible(checkpoint)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export_", dir=output.parent) as name:
        folder = Path(name)
        write_folder(checkpoint, recorded_metrics(path), folder)
        output.mkdir(exist_ok=True)
        run_all(partial(move_into_place, folder / file, output / file) for file in FILES)
    return [output / file for file in FILES]


def _convert(pipeline: Pipeline, runtime: str, precision: str, target: Path) -> None:
    member = pipeline.members[0]
    classifier, checkpoint = member.model.classifier, member.checkpoint
    if runtime == "torch":
        save_checkpoint(dataclasses.replace(checkpoint, state_dict=half_weights(checkpoint)), target)
    elif runtime == "onnx":
        target.write_bytes(to_onnx(classifier, checkpoint).SerializeToString())
    else:
        model = to_openvino(classifier, checkpoint)
        if precision == "int8":
            model = _quantised(model, pipeline)
        mark_openvino(model, checkpoint, precision)
        importlib.import_module("openvino").save_model(model, target, compress_to_fp16=precision == "fp16")


def _quantised(model: object, pipeline: Pipeline) -> object:
    """Return the model with int8 weights and activations, calibrated on training images as evaluation sees them."""
    nncf = importlib.import_module("nncf")
    classifier = pipeline.members[0].model.classifier
    batches = training_batches(pipeline, CALIBRATION_IMAGES)
    samples = [pixels[None] for batch in batches for pixels in batch.images.contiguous().numpy()]
    transformer = any(type(module).__name__ in _TRANSFORMER_LAYERS for module in classifier.modules())
    # its progress bars go to standard output, which may hold JSON
    with contextlib.redirect_stdout(sys.stderr):
        return nncf.quantize(
            model,
            nncf.Dataset(samples),
            subset_size=len(samples),
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        )
