"""How many processors this process may use."""

import os


def default_workers() -> int:
    """Return min(8, cores that this process may use)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)
