"""What a checkpoint can be exported to. Imports nothing heavy."""

from pathlib import Path

from common.errors import InputError
from prediction.runtime_packages import CONVERTERS, require

SUFFIX_OF = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt"}

COMBINATIONS = (
    ("onnx", "fp32"),
    ("openvino", "fp32"),
    ("openvino", "fp16"),
    ("openvino", "int8"),
    ("torch", "fp16"),
)


def packages_for(runtime: str, precision: str) -> tuple[str, ...]:
    """Return the optional packages that an export needs."""
    return CONVERTERS[runtime] + (("nncf",) if precision == "int8" else ())


def check_export(runtime: str, precision: str, output: Path) -> None:
    """Raise InputError for a combination that is not offered, a wrong suffix, or a missing package."""
    if (runtime, precision) not in COMBINATIONS:
        offered = ", ".join(" ".join(pair) for pair in COMBINATIONS)
        raise InputError(f"Export to {runtime} {precision}: not offered. Choose from: {offered}.")
    if output.suffix.lower() != SUFFIX_OF[runtime]:
        raise InputError(f"{output}: a model for {runtime} must end in {SUFFIX_OF[runtime]}.")
    require(packages_for(runtime, precision), f"export to {runtime} {precision}")
