"""How far two runs of one prediction may lie apart, by the dtype of their computation. Imports nothing heavy."""

from prediction.options import PRECISIONS

# half a unit of the last place, after all layers: what another kernel or batch shape changes a probability by
_BY_DTYPE = {"float32": 1e-3, "float16": 3e-3, "bfloat16": 2e-2}


def confidence_tolerance(precision: str) -> float:
    """Return by how much a probability may differ between two runs of the same model in `precision`.

    `precision` is a key of `PRECISIONS` (fp32, fp16, bf16), a name of torch's dtype (float16, torch.float16), or a
    text that names one (`mixed float16`, `float32 (TF32)`); several joined by `+` give the largest tolerance. Raises
    ValueError if it names none.
    """
    return max(_tolerance_of(part) for part in precision.split("+"))


def _tolerance_of(precision: str) -> float:
    words = precision.strip().removeprefix("mixed ").split(" ")[0].removeprefix("torch.")
    name = PRECISIONS.get(words, words)
    if name not in _BY_DTYPE:
        raise ValueError(f"{precision}: names no dtype of {', '.join(_BY_DTYPE)}")
    return _BY_DTYPE[name]
