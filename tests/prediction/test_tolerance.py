"""Tests of the tolerance between two runs."""

import pytest

from prediction.tolerance import confidence_tolerance


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [
        ("fp32", 1e-3),
        ("float32", 1e-3),
        ("float32 (TF32 in convolutions)", 1e-3),
        ("fp16", 3e-3),
        ("torch.float16", 3e-3),
        ("mixed float16", 3e-3),
        ("bf16", 2e-2),
        ("mixed bfloat16", 2e-2),
        ("float32+mixed bfloat16", 2e-2),
    ],
)
def test_every_name_of_a_dtype_has_its_tolerance(precision: str, tolerance: float) -> None:
    assert confidence_tolerance(precision) == tolerance


def test_a_name_of_no_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="int8"):
        confidence_tolerance("int8")
