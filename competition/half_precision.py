"""Half precision: float16 weights for a ZIP that would be too large in float32, and a check of the effect."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import RunError
from configs.schema import CompetitionConfig
from data.inputs import Inputs
from models.checkpoint import Checkpoint
from prediction.options import PRECISIONS
from prediction.pipeline import Pipeline, in_float32, predict_images, with_weights
from prediction.predict import to_predictions
from prediction.predictions_csv import Prediction

FP16_TOLERANCE = 1e-2
# the share of labels that may change when weights are rounded to float16: images between two classes
FP16_MAX_CHANGED = 0.005


@dataclass(frozen=True)
class HalfPrecision:
    """Predictions with weights rounded to float16, and their distance from those with float32.

    `largest_change` of a probability was measured on `sample` images, `changed` labels on all. All are computed in
    `precision`, float32.
    """

    predictions: list[Prediction]
    precision: str
    largest_change: float
    sample: int
    changed: int


def needs_half(pipeline: Pipeline, profile: CompetitionConfig) -> bool:
    """Say whether the models fit the size limit only as float16. Raises RunError if they do not fit at all."""
    sizes = [packed_megabytes(pipeline, width) for width in (4, 2)]
    # names and shapes of the tensors take a little space too
    full, half = (size * 1.001 + 0.5 * len(pipeline.members) for size in sizes)
    if half > profile.max_model_mb:
        raise RunError(
            f"The models take {half:.0f} MB even as fp16, more than {profile.max_model_mb:g} MB. "
            "'python cli/flower_cli.py models' says which fit."
        )
    return full > profile.max_model_mb


def packed_megabytes(pipeline: Pipeline, bytes_per_value: int) -> float:
    """Return the size of all weights as a ZIP holds them; what predicts on CUDA has others, folded and in 16 bits."""
    tensors = [tensor for member in pipeline.members for tensor in member.checkpoint.state_dict.values()]
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point()) * bytes_per_value / 1e6


def round_to_half(
    pipeline: Pipeline, inputs: Inputs, reference: Sequence[Prediction], precision: str = PRECISIONS["fp32"]
) -> HalfPrecision:
    """Predict with weights rounded to float16. Raises RunError if labels or probabilities change too much.

    All is judged in float32: 16-bit computation would add its own noise, as large as what the rounding changes. So the
    `reference` counts only if its `precision` is float32; else it is predicted again.
    """
    exact = in_float32(pipeline)
    rounded = with_weights(exact, [_rounded(member.checkpoint) for member in exact.members])
    if precision != PRECISIONS["fp32"]:
        reference = to_predictions(exact, inputs, predict_images(exact, inputs, "fp32 predictions"))
    sample = Inputs(inputs.image_ids[:64], inputs.paths[:64])
    before = predict_images(exact, sample, "fp32").probabilities
    largest = float(np.abs(predict_images(rounded, sample, "fp16").probabilities - before).max())
    # this also catches NaN
    if not largest <= FP16_TOLERANCE:
        raise RunError(
            f"As fp16, which the size limit needs, probabilities change by {largest:.3f}, more than {FP16_TOLERANCE}. "
            "Choose a smaller model."
        )
    predictions = to_predictions(rounded, inputs, predict_images(rounded, inputs, "fp16 predictions"))
    old = {prediction.image_id: prediction.label for prediction in reference}
    changed = sum(prediction.label != old[prediction.image_id] for prediction in predictions)
    if changed > FP16_MAX_CHANGED * len(predictions):
        raise RunError(f"As fp16, which the size limit needs, {changed} of {len(predictions)} labels change.")
    return HalfPrecision(predictions, exact.computed_in, largest, len(before), changed)


def _rounded(checkpoint: Checkpoint) -> Checkpoint:
    weights = {
        name: tensor.half().to(tensor.dtype) if tensor.is_floating_point() else tensor
        for name, tensor in checkpoint.state_dict.items()
    }
    return dataclasses.replace(checkpoint, state_dict=weights)
