"""A checkpoint for another runtime or precision, compared with the original on real images before it gets its name."""

import contextlib
import dataclasses
import importlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import InputError, RunError
from evaluation.labelled_images import KEYS, choose_images, readable_rows, training_batches
from evaluation.metrics import gain_interval
from models.checkpoint import half_weights, save_checkpoint
from prediction.pipeline import Pipeline, load_pipeline, predict_images, require_torch
from prediction.runtimes import CONVERTERS, files_of, mark_openvino, require, to_onnx, to_openvino

SUFFIX_OF = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt"}

COMBINATIONS = (
    ("onnx", "fp32"),
    ("openvino", "fp32"),
    ("openvino", "fp16"),
    ("openvino", "int8"),
    ("torch", "fp16"),
)

# the largest difference in probability; of int8 the largest loss of top-1
TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.003}

CALIBRATION_IMAGES = 300

# an image whose two best classes are closer than this may tip over by rounding
NARROW_MARGIN = 1e-3

# norms and activations that NNCF quantises well only if it is told of them
_TRANSFORMER_LAYERS = ("LayerNorm", "LayerNorm2d", "GELU")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two models on the same images; `narrow` of them have two best classes closer than `NARROW_MARGIN`."""

    images: int
    equal: int
    equal_but_narrow: int
    narrow: int
    largest_difference: float
    top1_before: float
    top1_after: float
    gain_interval: tuple[float, float]  # 95 % interval of the paired difference in top-1, points


def export(
    path: Path,
    runtime: str,
    precision: str,
    output: Path,
    data: Path | None = None,
    tolerance: float | None = None,
    overrides: Sequence[str] = (),
) -> list[str]:
    """Convert a checkpoint, compare on validation images (or `data`), and only then give the files their names.

    Returns lines. Raises InputError for a combination that is not offered, a wrong suffix or a missing package, and
    RunError, with nothing written, if the answers differ by more than `tolerance` (see `TOLERANCES`).
    """
    _check(runtime, precision, output)
    pipeline = load_pipeline([path], overrides=["device=cpu", *overrides], keys=KEYS)
    require_torch(pipeline, "export")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export_", dir=output.parent) as folder:
        target = Path(folder) / output.name
        _convert(pipeline, runtime, precision, target)
        exported = load_pipeline([target], overrides=["device=cpu", *overrides], keys=KEYS)
        found = compare(pipeline, exported, data)
        limit = TOLERANCES[precision] if tolerance is None else tolerance
        lines = [*describe_comparison(found), _verdict(found, precision, limit)]
        if _is_worse(found, precision, limit):
            raise RunError("\n".join([f"{output}: not written: it answers otherwise than {path}.", *lines]))
        for file in files_of(target):
            file.replace(output.with_suffix(file.suffix))
    written = files_of(output)
    size = sum(file.stat().st_size for file in written) / 1e6
    return [*lines, f"Wrote {', '.join(map(str, written))} ({size:.1f} MB)"]


def compare(before: Pipeline, after: Pipeline, data: Path | None) -> Comparison:
    """Answer the same images with both. Raises InputError if there are none."""
    images = choose_images(before, "val", data)
    answers = [
        predict_images(pipeline, images.inputs, name) for pipeline, name in ((before, "torch"), (after, "exported"))
    ]
    rows = readable_rows(answers[0], images)
    labels, tables = images.labels[rows], [found.probabilities[rows] for found in answers]
    best = np.sort(tables[0], axis=1)
    narrow = best[:, -1] - best[:, -2] < NARROW_MARGIN
    said = [table.argmax(axis=1) for table in tables]
    equal = said[0] == said[1]
    return Comparison(
        images=len(labels),
        equal=int(equal.sum()),
        equal_but_narrow=int((equal | narrow).sum()),
        narrow=int(narrow.sum()),
        largest_difference=float(np.abs(tables[0] - tables[1]).max()),
        top1_before=float((said[0] == labels).mean()),
        top1_after=float((said[1] == labels).mean()),
        gain_interval=gain_interval(said[1] == labels, said[0] == labels),
    )


def describe_comparison(found: Comparison) -> list[str]:
    """Return lines."""
    low, high = found.gain_interval
    gain = 100 * (found.top1_after - found.top1_before)
    return [
        f"labels      {found.equal} of {found.images} equal; without the {found.narrow} whose two best classes are "
        f"within {NARROW_MARGIN:g}, {found.equal_but_narrow - found.narrow} of {found.images - found.narrow}",
        f"difference  at most {found.largest_difference:.1e} in probability",
        f"top-1       {100 * found.top1_before:.2f} % before, {100 * found.top1_after:.2f} % after: "
        f"{gain:+.2f} points (95 %: {low:+.2f} to {high:+.2f})",
    ]


def _verdict(found: Comparison, precision: str, limit: float) -> str:
    word = "more than" if _is_worse(found, precision, limit) else "within"
    unit = f"{100 * limit:g} points of top-1" if precision == "int8" else f"{limit:g} in probability"
    return f"tolerance   {word} {unit} (--tolerance)"


def _is_worse(found: Comparison, precision: str, limit: float) -> bool:
    change = found.top1_before - found.top1_after if precision == "int8" else found.largest_difference
    # not a number is worse, too
    return not (np.isfinite(found.largest_difference) and change <= limit)


def packages_for(runtime: str, precision: str) -> tuple[str, ...]:
    """Return the optional packages that an export needs."""
    return CONVERTERS[runtime] + (("nncf",) if precision == "int8" else ())


def _check(runtime: str, precision: str, output: Path) -> None:
    if (runtime, precision) not in COMBINATIONS:
        offered = ", ".join(" ".join(pair) for pair in COMBINATIONS)
        raise InputError(f"--runtime {runtime} --precision {precision}: not offered. Choose from: {offered}.")
    if output.suffix.lower() != SUFFIX_OF[runtime]:
        raise InputError(f"--output {output}: a model for {runtime} must end in {SUFFIX_OF[runtime]}.")
    require(packages_for(runtime, precision), f"--runtime {runtime} --precision {precision}")


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
