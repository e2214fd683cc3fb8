"""The hardware of this machine: device, precision, and the choice of algorithms."""

import contextlib
import platform
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils import deterministic

from common import distributed
from common.errors import InputError


@dataclass(frozen=True)
class Precision:
    """Mixed precision on a device type: its dtype, or None for plain float32; `note` says why a wish was refused."""

    device_type: str
    dtype: torch.dtype | None
    note: str = ""

    def context(self) -> contextlib.AbstractContextManager:
        """Return the autocast context for a forward pass."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)

    def __str__(self) -> str:
        return "float32" if self.dtype is None else f"mixed {str(self.dtype).removeprefix('torch.')}"


def choose_device(name: str) -> torch.device:
    """Return the device of config key `device`; `auto` is cuda, else mps, else cpu. Raises InputError if absent."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise InputError(f"device={name}: this torch ({torch.__version__}) finds no such device. Use device=auto.")
    return torch.device(name, distributed.local_rank()) if name == "cuda" else torch.device(name)


def choose_precision(device: torch.device, use_amp: bool, amp_dtype: str) -> Precision:
    """Return the precision of forward passes.

    `auto` is bfloat16 on a CUDA device that computes it natively, else float16; on other devices it is float32. A CPU
    uses bfloat16 only if it is asked for, because few models gain from it. The result is float32 where the device would
    only emulate the dtype.
    """
    if not use_amp:
        return Precision(device.type, None)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        if amp_dtype == "auto":
            amp_dtype = "bfloat16" if native else "float16"
        return Precision("cuda", getattr(torch, amp_dtype))
    if amp_dtype == "auto":
        return Precision(device.type, None)
    if device.type == "cpu" and amp_dtype == "bfloat16" and _cpu_computes_bfloat16():
        return Precision("cpu", torch.bfloat16)
    return Precision(device.type, None, note=f"{amp_dtype} is not fast on this {device.type} device: float32 is used")


def describe_device(device: torch.device) -> str:
    """Return a line that names the hardware, for example `cpu (AMD EPYC 9B14, 2 thread(s))`."""
    if device.type == "cuda":
        gigabytes = torch.cuda.get_device_properties(device).total_memory / 1e9
        return f"cuda ({torch.cuda.get_device_name(device)}, {gigabytes:.0f} GB)"
    if device.type == "cpu":
        return f"cpu ({cpu_name()}, {torch.get_num_threads()} thread(s))"
    return device.type


def cpu_name() -> str:
    """Return the processor's name as the system gives it, or its architecture."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def configure_algorithms(device: torch.device, search_kernels: bool = False, allow_tf32: bool = True) -> None:
    """Choose deterministic algorithms on a CPU, where they cost nothing; elsewhere they are off.

    On CUDA `search_kernels` lets cuDNN try several convolutions for each new shape: fast for training, but two
    processes may then choose different ones. `allow_tf32` computes float32 products in TF32 (10 bits of mantissa), for
    cards from Ampere on.
    """
    torch.backends.cudnn.benchmark = search_kernels and device.type == "cuda"
    torch.backends.cudnn.allow_tf32 = allow_tf32
    torch.set_float32_matmul_precision("high" if allow_tf32 else "highest")
    torch.use_deterministic_algorithms(device.type == "cpu")
    # a property of the module, which its types do not show
    setattr(deterministic, "fill_uninitialized_memory", False)  # noqa: B010


def _cpu_computes_bfloat16() -> bool:
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
