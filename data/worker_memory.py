"""The memory through which worker processes hand batches over, and that which they keep for their own images."""

import ctypes
import shutil
import sys
from contextlib import suppress
from pathlib import Path

# batches that torch's DataLoader has each worker prepare ahead
BATCHES_AHEAD = 2

SHARED_MEMORY = Path("/dev/shm")

# numbers of glibc's mallopt, and bytes
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 << 20
_LARGEST_KEPT = 32 << 20


def shared_memory_warning(batch_bytes: int) -> str:
    """Return one line if Linux's shared memory has no room for what workers read ahead, else an empty string.

    `batch_bytes` are those of one batch for each worker. A worker that finds no room is killed. Docker gives 64 MB
    unless told otherwise.
    """
    if not batch_bytes or not sys.platform.startswith("linux") or not SHARED_MEMORY.is_dir():
        return ""
    needed, free = BATCHES_AHEAD * batch_bytes, shutil.disk_usage(SHARED_MEMORY).free
    if needed <= free:
        return ""
    return (
        f"warning: worker processes may need {needed / 1e6:,.0f} MB in {SHARED_MEMORY}, where {free / 1e6:,.0f} MB are "
        f"free; start docker with shm-size={needed // 10**9 + 1}g, or set dataset.num_workers=0"
    )


def keep_freed_memory() -> None:
    """Let this process use the memory of one image for the next (glibc alone).

    It would be handed back to the system and asked for again with each image of more than 128 kB, page by page; that
    can take a large part of the time in which an image is decoded.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
            mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
