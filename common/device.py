"""The hardware of this machine: device, precision, and the choice of algorithms."""

import contextlib
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils import deterministic

from common import distributed
from common.errors import InputError


@dataclass(frozen=True)
class Precision:
    """Mixed precision on a device type: its dtype, or None for float32; `note` says why a wish was refused.

    `tf32`: products of float32 values are computed in TF32, which has 10 bits of mantissa instead of 23.
    """

    device_type: str
    dtype: torch.dtype | None
    note: str = ""
    tf32: bool = False

    def context(self) -> contextlib.AbstractContextManager:
        """Return the autocast context for a forward pass."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)

    def __str__(self) -> str:
        if self.dtype is None:
            return "float32 (TF32 in products and convolutions)" if self.tf32 else "float32"
        return f"mixed {str(self.dtype).removeprefix('torch.')}"


def choose_device(name: str) -> torch.device:
    """Return the device of config key `device`; `auto` is cuda, else mps, else cpu.

    Raises InputError if it is absent, or a card that this torch was not built for.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if not available[name]:
        raise InputError(f"device={name}: this torch ({torch.__version__}) finds no such device. Use device=auto.")
    if name != "cuda":
        return torch.device(name)
    device = torch.device(name, distributed.local_rank())
    _check_built_for(device)
    return device


def _check_built_for(device: torch.device) -> None:
    """Raise InputError if torch has no code for a card, as newer versions for Pascal and Volta (P100, V100)."""
    built = torch.cuda.get_arch_list()
    if torch.version.hip is not None or not built:
        return
    capability = torch.cuda.get_device_capability(device)
    if not any(_runs_on(architecture, capability) for architecture in built):
        raise InputError(
            f"device=cuda: this torch ({torch.__version__}) has no code for cards of compute capability "
            f"{capability[0]}.{capability[1]}, only for {', '.join(built)}. For an older card install torch's build "
            "for CUDA 12.6, for a newer one a newer torch; or give device=cpu."
        )


def _runs_on(architecture: str, capability: tuple[int, int]) -> bool:
    """Say whether code for an architecture such as `sm_86`, or `compute_90` for it and all newer, runs on a card."""
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", architecture)
    if found is None:
        # not known: torch itself may know better
        return True
    version = int(found[2]), int(found[3])
    return version <= capability and (found[1] == "compute" or version[0] == capability[0])


def choose_precision(device: torch.device, use_amp: bool, amp_dtype: str, allow_tf32: bool = False) -> Precision:
    """Return the precision of training: of its forward passes, and whether float32 products are computed in TF32.

    `auto` is bfloat16 on a CUDA device that computes it natively, else float16; on other devices it is float32. A CPU
    uses bfloat16 only if it is asked for, because few models gain from it. Where the device would only emulate the
    dtype, the result is float16 on CUDA and float32 elsewhere, and `note` says so.
    """
    if not use_amp:
        return Precision(device.type, None, tf32=allow_tf32 and device.type == "cuda" and _is_from_ampere_on(device))
    if device.type == "cuda":
        return _choose_on_cuda(device, amp_dtype)
    if amp_dtype == "auto":
        return Precision(device.type, None)
    if device.type == "cpu" and amp_dtype == "bfloat16" and _cpu_computes_bfloat16():
        return Precision("cpu", torch.bfloat16)
    return Precision(device.type, None, note=f"{amp_dtype} is not fast on this {device.type} device: float32 is used")


def choose_inference_precision(device: torch.device, use_amp: bool, amp_dtype: str) -> Precision:
    """Return the precision of validation and prediction: float16 on CUDA, whichever 16-bit dtype trains the model.

    Its steps are an eighth of bfloat16's, so two kernels seldom disagree on a label, and every card computes it. What
    is too large for it is computed again in float32.
    """
    dtype = "float16" if device.type == "cuda" else amp_dtype
    return choose_precision(device, use_amp, dtype)


def _choose_on_cuda(device: torch.device, amp_dtype: str) -> Precision:
    native = torch.version.hip is not None or _is_from_ampere_on(device)
    if amp_dtype == "auto":
        amp_dtype = "bfloat16" if native else "float16"
    if amp_dtype == "bfloat16" and not native:
        version = ".".join(map(str, torch.cuda.get_device_capability(device)))
        note = f"cards of compute capability {version} only emulate bfloat16: float16 is used"
        return Precision("cuda", torch.float16, note)
    return Precision("cuda", getattr(torch, amp_dtype))


def _is_from_ampere_on(device: torch.device) -> bool:
    """Say whether a CUDA device computes bfloat16 and TF32 itself."""
    return torch.cuda.get_device_capability(device)[0] >= 8


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor of the host on `device`; the host does not wait for CUDA.

    On MPS it must, because torch may copy wrong values there once the tensor of the host is gone.
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


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
    cards from Ampere on; it has no effect elsewhere.
    """
    on_cuda = device.type == "cuda"
    torch.backends.cudnn.benchmark = search_kernels and on_cuda
    torch.backends.cudnn.allow_tf32 = allow_tf32 and on_cuda
    # "high" would let oneDNN round on some CPUs too
    torch.set_float32_matmul_precision("high" if allow_tf32 and on_cuda else "highest")
    torch.use_deterministic_algorithms(device.type == "cpu")
    # a property of the module, which its types do not show
    setattr(deterministic, "fill_uninitialized_memory", False)  # noqa: B010


@contextlib.contextmanager
def algorithms_kept() -> Iterator[None]:
    """Put back, at the end, the choice of algorithms of before: work on another device must not change a run's."""
    searched, tf32 = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    products = torch.get_float32_matmul_precision()
    deterministic_before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = getattr(deterministic, "fill_uninitialized_memory")  # noqa: B009
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = searched, tf32
        torch.set_float32_matmul_precision(products)
        torch.use_deterministic_algorithms(deterministic_before, warn_only=warns)
        setattr(deterministic, "fill_uninitialized_memory", filled)  # noqa: B010


def _cpu_computes_bfloat16() -> bool:
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
