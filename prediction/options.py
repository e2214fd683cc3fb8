"""Options of prediction: views, their averaging, weights, runtime, precision. Imports nothing heavy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real

from common.errors import InputError

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
# keys of the limits on time
LIMIT_KEYS = ("competition.max_latency_ms", "competition.input_size")
# keys that may be changed beside a checkpoint: of a prediction, and where labelled images are measured
OVERRIDABLE_KEYS = ("device", "dataset.test_dir", "dataset.batch_size", "dataset.num_workers", *LIMIT_KEYS)
LABELLED_KEYS = (
    "device",
    "dataset.root",
    "dataset.train_csv",
    "dataset.val_csv",
    "dataset.train_dir",
    "dataset.batch_size",
    "dataset.num_workers",
)


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


def weight_shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Return the weights of `count` members divided by their sum; equal shares for None.

    Raises InputError if their number is wrong, one is negative or not a number, or all are 0.
    """
    if weights is None:
        return [1 / count] * count
    if not isinstance(weights, Iterable) or not all(isinstance(weight, Real) for weight in weights):
        raise InputError(f"Weights of members: expected a list of one number for each, not {weights!r:.80}.")
    if len(weights) != count:
        raise InputError(f"{len(weights)} weights for {count} members; give one for each, in their order.")
    if not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise InputError("Weights of members: expected numbers from 0 on, not all of them 0.")
    return [float(weight) / float(sum(weights)) for weight in weights]
