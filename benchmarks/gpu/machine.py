"""What is known of the machine: card, driver, versions, and the precisions that the kit refuses here."""

import platform
import re
import shutil
import subprocess
from importlib import metadata
from typing import Any

from benchmarks.gpu.site import REPOSITORY
from common.processors import usable_cores

# short name as `inference.py --precision` has it: the value of training.amp_dtype
PRECISIONS = {"bf16": "bfloat16", "fp16": "float16", "fp32": None}


def machine_facts() -> dict[str, Any]:
    """Return the facts; `refused` has a reason for each precision that cannot be tried here, and `warning` says why a
    GPU is not used.
    """
    import torch

    from cli.info import gpu_warning

    cuda = torch.cuda.is_available()
    return {
        "device": "cuda" if cuda else "cpu",
        **(_card_facts() if cuda else {"card": "", "card_gb": 0.0}),
        "driver": _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "torch": torch.__version__,
        "timm": metadata.version("timm"),
        "kit": _kit_version(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": usable_cores(),
        "refused": {name: _refusal(name) for name in PRECISIONS},
        "no_compiler": _missing_compiler(cuda),
        "warning": gpu_warning(torch.version.cuda, cuda, torch.backends.mps.is_available()) or "",
    }


def _card_facts() -> dict[str, Any]:
    import torch

    free, total = torch.cuda.mem_get_info()
    major, minor = torch.cuda.get_device_capability()
    return {
        "card": torch.cuda.get_device_name(),
        "card_gb": total / 1e9,
        "free_gb": free / 1e9,
        "capability": f"{major}.{minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _refusal(precision: str) -> str:
    """Return why the kit does not compute in this precision on this device, or an empty text."""
    import torch

    from common.device import choose_device, choose_precision

    wanted = PRECISIONS[precision]
    if wanted is None:
        return ""
    chosen = choose_precision(choose_device("auto"), True, wanted)
    if chosen.dtype == getattr(torch, wanted):
        return ""
    return chosen.note or f"the kit computes {chosen} in place of {wanted} here"


def _missing_compiler(cuda: bool) -> str:
    """Return what torch.compile lacks here, or an empty text."""
    if cuda:
        # triton is the name of the package on Linux; on Windows it is installed as triton-windows
        return "" if _has_module("triton") else "triton is not installed"
    return "" if any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")) else "there is no C++ compiler"


def _has_module(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def _kit_version() -> str:
    found = re.search(
        r'^version = "([^"]+)"', (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    commit = _first_line("git", "rev-parse", "--short", "HEAD")
    return f"{found[1] if found else 'unknown'} {commit}".strip()


def _first_line(program: str, *words: str) -> str:
    """Return the first line that a program prints, an empty text if it is missing or fails."""
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *words], cwd=REPOSITORY, capture_output=True, text=True, errors="replace", timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""
