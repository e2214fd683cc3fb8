"""Options of prediction: views, their averaging, weights, runtime, precision. Imports nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass

# parts of a checkpoint's own data set that it can be measured on; the first is the default
SPLITS = ("val", "test", "train", "all")
# the image itself, without further views
PLAIN = ("identity",)
# what is averaged over the views; the first is the default
AVERAGES = ("probabilities", "logits")
# libraries that run the model; the first is the default
RUNTIMES = ("torch", "onnx", "openvino")
AUTO_RUNTIME = "auto"
# short name: torch's dtype
PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class PredictionOptions:
    """How the checkpoints predict.

    `views` are names of views or of sets of them, as a sequence or as a text with commas. `weights` are one number per
    checkpoint, at least 0, of any sum; None weights all equally. `precision` is a key of `PRECISIONS`; None means
    fp16 on CUDA, unless the first checkpoint was trained with training.use_amp=false, and fp32 elsewhere. `runtime` is
    one of `RUNTIMES`, or `auto` for the fastest one installed; exported files have their own. `load_pipeline` checks
    all of them.
    """

    views: str | Sequence[str] = PLAIN
    average: str = AVERAGES[0]
    weights: Sequence[float] | None = None
    precision: str | None = None
    runtime: str = RUNTIMES[0]


DEFAULTS = PredictionOptions()
