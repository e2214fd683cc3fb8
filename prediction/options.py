"""How checkpoints predict: views, their averaging, weights, runtime, precision. Imports nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass

# the image itself, without other views
PLAIN = ("identity",)
# what is averaged over views; the first is the default
AVERAGES = ("probabilities", "logits")
# what computes; the first is the default
RUNTIMES = ("torch", "onnx", "openvino")
AUTO_RUNTIME = "auto"
# short name: torch's dtype
PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class PredictionOptions:
    """How the checkpoints predict.

    `weights` are one number per checkpoint, 0 or more, of any sum; None counts all equally. `precision` is a key of
    `PRECISIONS`, or None for what the first checkpoint was trained with, where the device is CUDA. `runtime` is one of
    `RUNTIMES`, or `auto` for the fastest that is installed; exported files have theirs.
    """

    views: tuple[str, ...] = PLAIN
    average: str = AVERAGES[0]
    weights: Sequence[float] | None = None
    precision: str | None = None
    runtime: str = RUNTIMES[0]


DEFAULTS = PredictionOptions()
