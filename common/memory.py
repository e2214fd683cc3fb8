"""Memory: settings of the C library, the share of a card that may be used, and errors that mean that it is full."""

import ctypes
import platform

import torch

# what torch and NVIDIA's libraries say where they do not raise torch.OutOfMemoryError
_FULL = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether `error` means that the memory of the device, or of the machine, is full (CUDA, MPS, CPU)."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)
    )


def release_device_memory() -> None:
    """Return unused blocks of the cache to the device. Call it outside `except`: an exception keeps its tensors."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def cap_device_memory(device: torch.device) -> bool:
    """Limit this process to the card's free memory on Windows and WSL; return whether that was needed.

    There the driver moves what does not fit to the machine's memory: no error comes, and a run is ten times slower.
    With the cap torch raises the error that training answers by smaller parts.
    """
    if device.type != "cuda" or not _driver_spills():
        return False
    free, total = torch.cuda.mem_get_info(device)
    torch.cuda.set_per_process_memory_fraction(min((free + torch.cuda.memory_reserved(device)) / total, 1.0), device)
    return True


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
