"""Runtimes besides torch: the suffixes of their files, and the packages that they need. Imports nothing heavy.

The optional packages are in requirements-export.txt.
"""

import importlib.util
from pathlib import Path

from common.checkpoint_file import check_checkpoint
from common.errors import InputError

SUFFIXES = {".onnx": "onnx", ".xml": "openvino"}

# packages that each runtime needs to run a model, and to convert one
PACKAGES = {"torch": (), "onnx": ("onnxruntime",), "openvino": ("openvino",)}

CONVERTERS = {"torch": (), "onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}


def missing_packages(names: tuple[str, ...]) -> list[str]:
    """Return the packages that are not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def require(names: tuple[str, ...], what: str) -> None:
    """Raise InputError if one of the packages is not installed."""
    missing = missing_packages(names)
    if missing:
        raise InputError(f"{what}: needs {', '.join(missing)}. Type: pip install -r requirements-export.txt")


def require_runtime(name: str) -> None:
    """Raise InputError if a package that converts a checkpoint for the runtime `name` is not installed."""
    require(CONVERTERS[name], f"runtime {name}")


def files_of(path: Path) -> list[Path]:
    """Return the files that a model consists of."""
    return [path, path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [path]


def check_exported(path: Path) -> str:
    """Return the runtime of an exported model. Raises InputError if its package or the file is missing."""
    runtime = SUFFIXES[path.suffix.lower()]
    require(PACKAGES[runtime], f"{path}")
    if not path.is_file():
        raise InputError(f"{path}: no such file. 'python cli/flower_cli.py export' writes it.")
    return runtime


def check_model(path: Path) -> None:
    """Raise InputError if a checkpoint or an exported model is missing, or by its outside is none."""
    if path.suffix.lower() in SUFFIXES:
        check_exported(path)
    else:
        check_checkpoint(path)
