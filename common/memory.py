"""Memory: settings of the C library, the share of a card that may be used, and errors that mean that it is full."""

import contextlib
import ctypes
import os
import platform
from pathlib import Path

import torch

# what torch and NVIDIA's libraries say where they do not raise torch.OutOfMemoryError
_FULL = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # cuDNN 9, for the memory of the machine and of the card
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    # torch, after each of cuDNN's convolutions has failed, which lack of memory for their workspaces brings about
    "unable to find an engine to execute this computation",
)

# what cuDNN, cuBLAS and loaded kernels take of a card beside torch's tensors
_FOR_LIBRARIES = 512 * 2**20

_PROC_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether `error` means that the memory of the device, or of the machine, is full (CUDA, MPS, CPU)."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)
    )


def release_device_memory() -> None:
    """Return unused blocks of the cache to the device. Call it outside `except`: an exception keeps its tensors."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def cap_device_memory(device: torch.device) -> int | None:
    """Limit the tensors of this process to the card's free memory on Windows and WSL; return the limit in bytes.

    There the driver moves what does not fit to the machine's memory: no error comes, and a run is ten times slower.
    With the limit torch raises the error that training answers by smaller parts. It is fixed at the start: a program
    that takes more of the card later makes the driver move memory all the same. None where nothing is limited.
    """
    if device.type != "cuda" or not _driver_spills():
        return None
    total = torch.cuda.mem_get_info(device)[1]
    # at least a tenth, so that a start on a card that others fill fails with torch's own words
    limit = max(free_device_memory(device) - _FOR_LIBRARIES, total // 10)
    torch.cuda.set_per_process_memory_fraction(min(limit / total, 1.0), device)
    return limit


def free_device_memory(device: torch.device) -> int:
    """Return the bytes of a CUDA device that this process has reserved for tensors, or could reserve."""
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)


def free_memory() -> int:
    """Return the bytes of the machine's memory that can still be taken, also within the limit of a container.

    Where the system does not say (macOS), all that there is.
    """
    if platform.system() == "Windows":
        return _free_memory_of_windows()
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError):
        lines = _PROC_MEMINFO.read_text(encoding="ascii").splitlines()
        free = next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), free)
    with contextlib.suppress(OSError, ValueError):
        # `max` where there is no limit; cached files count as used, but give way
        limit, used = (int((_CGROUP / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
        facts = dict(line.split() for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        free = min(free, max(limit - used + int(facts.get("file", 0)), 0))
    return free


def _free_memory_of_windows() -> int:
    names = ("total", "free", "total_page", "free_page", "virtual", "free_virtual", "extended")

    class Status(ctypes.Structure):
        # MEMORYSTATUSEX of sysinfoapi.h
        _fields_ = (
            ("size", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *((name, ctypes.c_uint64) for name in names),
        )

    status = Status(size=ctypes.sizeof(Status))
    # the name exists on Windows alone
    getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # noqa: B009
    # what is not backed by the paging file cannot be taken, even where chips are free
    return int(min(status.free, status.free_page))


def _driver_spills() -> bool:
    return platform.system() == "Windows" or "microsoft" in platform.release().lower()


def tune_cpu_memory() -> bool:
    """Keep freed memory in the process instead of returning it to the system; return whether that worked.

    Page faults (memory that is returned, then fetched again) cost more than anything else in CPU training. This needs
    glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    kept = bool(libc.mallopt(mmap_max, 0) and libc.mallopt(trim_threshold, 2**31 - 1))
    if kept:
        _ask_for_huge_pages(libc)
    return kept


def return_freed_memory() -> None:
    """Give memory that was freed, but kept in the process, back to the system (glibc).

    A process that is forked shares it until this process writes to it anew; from then on both have a copy.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    # what was given back has lost them
    _ask_for_huge_pages(libc)


def _ask_for_huge_pages(libc: ctypes.CDLL) -> None:
    """Ask for pages of 2 MB in the part of the heap that tensors will fill; no effect where there are none.

    The block is allocated and freed again, untouched. The heap is never trimmed, so later allocations come from it.
    """
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    huge_page, size, madv_hugepage = 2**21, 3 * 2**29, 14  # MADV_HUGEPAGE of mman.h
    block = libc.malloc(size)
    if block:
        start = -(-block // huge_page) * huge_page
        libc.madvise(start, size - huge_page, madv_hugepage)
        libc.free(block)
