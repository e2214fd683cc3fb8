"""Runtimes besides torch: a checkpoint as an ONNX or OpenVINO model that contains its own description.

The model takes uint8 (N, 3, H, W) with any N, and returns probabilities float32 (N, C), calibrated by the checkpoint's
temperature. The optional packages are in
requirements-export.txt.
"""

import functools
import importlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from common.errors import InputError
from models.checkpoint import Checkpoint, checkpoint_of, plain_fields
from prediction.runtime_packages import CONVERTERS, check_exported, missing_packages, require_runtime

_KEY = "flower_kit"

_SMALLEST = 1e-30


class ProbabilityHead(nn.Module):
    """A classifier that returns probabilities instead of logits, as exported models do."""

    def __init__(self, classifier: nn.Module, temperature: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature = temperature

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return probabilities float32 (N, C) of images uint8 (N, 3, H, W)."""
        return (self.classifier(images).float() / self.temperature).softmax(dim=-1)


class RuntimeModel(nn.Module):
    """A model of another runtime that takes the place of a classifier; `answer` maps (N, 3, H, W) to (N, C).

    `temperature` is the one that its probabilities were calibrated by.
    """

    def __init__(self, runtime: str, answer: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__()
        self.runtime = runtime
        self.precision = "fp32"
        self.temperature = 1.0
        self.answer = answer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits float32 (N, C) as the classifier gives them, but for a number added to all of an image."""
        probabilities = self.answer(np.ascontiguousarray(images.cpu().numpy()))
        return torch.from_numpy(np.log(np.maximum(probabilities, _SMALLEST))) * self.temperature


def choose_runtime(name: str, device: torch.device) -> str:
    """Return the runtime; `auto` is the fastest one installed for the device (CPU: OpenVINO, ONNX, torch).

    Raises InputError if its packages are missing, or it does not support the device.
    """
    if name == "auto":
        ranked = ("openvino", "onnx") if device.type == "cpu" else ()
        return next((runtime for runtime in ranked if not missing_packages(CONVERTERS[runtime])), "torch")
    if name != "torch" and device.type != "cpu":
        raise InputError(f"runtime {name}: runs on the CPU here. Give device=cpu, or the runtime torch.")
    require_runtime(name)
    return name


def converted(classifier: nn.Module, checkpoint: Checkpoint, runtime: str) -> RuntimeModel:
    """Return a classifier (on the CPU, in evaluation mode) as a model of `runtime`."""
    if runtime == "onnx":
        model = _run_onnx(_onnx_session(to_onnx(classifier, checkpoint).SerializeToString()))
    else:
        model = _run_openvino(to_openvino(classifier, checkpoint))
    model.temperature = checkpoint.temperature
    return model


def load_exported(path: Path) -> tuple[Checkpoint, RuntimeModel]:
    """Read an exported model; its checkpoint has no weights. Raises InputError if damaged or of another kit."""
    runtime = check_exported(path)
    try:
        model, facts = _read_onnx(path) if runtime == "onnx" else _read_openvino(path)
        payload = json.loads(facts)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged, or not a model that 'python cli/flower_cli.py export' wrote.") from error
    if not isinstance(payload, dict):
        raise InputError(f"{path}: damaged: it says nothing of its classes.")
    model.precision = str(payload.get("precision"))
    checkpoint = checkpoint_of({**payload, "state_dict": {}}, path)
    model.temperature = checkpoint.temperature
    return checkpoint, model


def to_onnx(classifier: nn.Module, checkpoint: Checkpoint) -> Any:
    """Return an onnx.ModelProto."""
    example = _example(checkpoint)
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        program = torch.onnx.export(
            ProbabilityHead(classifier, checkpoint.temperature).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=({0: batch},),
        )
    model = cast(torch.onnx.ONNXProgram, program).model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = _KEY, describe(checkpoint)
    return model


def to_openvino(classifier: nn.Module, checkpoint: Checkpoint) -> Any:
    """Return an openvino.Model."""
    openvino = importlib.import_module("openvino")
    with torch.no_grad(), warnings.catch_warnings():
        # it uses tracing, which torch deprecates with a warning
        warnings.simplefilter("ignore", FutureWarning)
        model = openvino.convert_model(
            ProbabilityHead(classifier, checkpoint.temperature).eval(), example_input=_example(checkpoint)
        )
    size = checkpoint.input_size
    model.reshape({model.input(0): openvino.PartialShape([-1, 3, size, size])})
    model.input(0).get_tensor().set_names({"images"})
    model.output(0).get_tensor().set_names({"probabilities"})
    mark_openvino(model, checkpoint, "fp32")
    return model


def describe(checkpoint: Checkpoint, precision: str = "fp32") -> str:
    """Return a checkpoint without its weights as JSON, for the metadata of an exported model."""
    fields = {name: value for name, value in plain_fields(checkpoint).items() if name != "state_dict"}
    return json.dumps({"precision": precision, **fields}, ensure_ascii=True)


def mark_openvino(model: Any, checkpoint: Checkpoint, precision: str) -> None:
    """Write the description into an openvino.Model."""
    model.set_rt_info(describe(checkpoint, precision), [_KEY])


def _example(checkpoint: Checkpoint) -> torch.Tensor:
    # two images, because a batch size of one would become a constant
    return torch.zeros(2, 3, checkpoint.input_size, checkpoint.input_size, dtype=torch.uint8)


def _run_onnx(session: Any) -> RuntimeModel:
    return RuntimeModel("onnx", lambda images: session.run(None, {"images": images})[0])


def _onnx_session(source: bytes | str) -> Any:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    # its errors have no common base class
    except Exception as error:
        raise RuntimeError(str(error)) from error


def _read_onnx(path: Path) -> tuple[RuntimeModel, str]:
    session = _onnx_session(str(path))
    facts = session.get_modelmeta().custom_metadata_map[_KEY]
    return _run_onnx(session), facts


@functools.cache
def _openvino_core() -> Any:
    """Return the one core of this process.

    Its CPU plugin gives the thread another stack for signals, and frees that when the last core is gone: the next
    Ctrl-C would end the process with a segmentation fault.
    """
    return importlib.import_module("openvino").Core()


def _run_openvino(model: Any) -> RuntimeModel:
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        # the default on some processors is bfloat16
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = _openvino_core().compile_model(model, "CPU", settings)
    return RuntimeModel("openvino", lambda images: compiled(images)[0])


def _read_openvino(path: Path) -> tuple[RuntimeModel, str]:
    model = _openvino_core().read_model(path)
    return _run_openvino(model), model.get_rt_info(_KEY).value
