"""How many processors this process may use, and how many processes read its images."""

import math
import os
import sys
from contextlib import suppress
from pathlib import Path

# beside training, validation reads with as many: its batches are few, and each process costs memory and a start
VALIDATION_WORKERS = 2

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def default_workers() -> int:
    """Return min(8, cores that this process may use)."""
    return min(8, usable_cores())


def reading_workers(cuda: bool, beside_training: bool = False) -> int:
    """Return how many processes read images where the config does not say it.

    On CUDA up to 16, and a core is left to the process that drives the GPU. On Windows up to 4, because each is spawned
    and sets memory aside for all of torch. Processes of torchrun on one machine share its cores. `beside_training`:
    for the reader of validation images, while that of training images keeps its processes.
    """
    cores = max(usable_cores() // processes_here(), 1)
    most = 4 if sys.platform == "win32" else 16 if cuda else 8
    count = min(most, max(cores - 1, 1) if cuda else cores)
    return min(count, VALIDATION_WORKERS) if beside_training else count


def usable_cores() -> int:
    """Return the number of cores that this process may use, also within the limit of a container (of docker)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        # microseconds of computing in each period; `max` is no number, and no limit
        quota, period = map(int, _CPU_MAX.read_text(encoding="ascii").split())
        cores = min(cores, math.ceil(quota / period))
    return cores


def processes_here() -> int:
    """Return how many processes torchrun started on this machine; 1 without it."""
    return max(int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)
