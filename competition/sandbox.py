"""Runs a submitted script as the judges' machine would: python -E -s sandbox.py <report.json> <script> [arguments ...]

The network is closed and model hubs are offline. The report holds the process's peak memory, the network addresses that
it called, and the versions of the packages that it imported. Standard library and Python 3.8 only; nothing of the kit
is imported, so that a submission that needs the kit fails here as it would there.
"""

import json
import os
import platform
import runpy
import socket
import sys
from collections.abc import Callable

# module: the name under which its version is reported; they decide what a model answers
REPORTED_MODULES = {"torch": "torch", "timm": "timm", "numpy": "numpy", "cv2": "opencv", "PIL": "pillow"}


def main() -> None:
    """Close the network, run the script as `__main__`, and write the report however it ends."""
    report, script = sys.argv[1], sys.argv[2]
    attempts: list = []

    def refuse(address: object) -> None:
        attempts.append(str(address))
        raise OSError(f"network access to {address} is blocked: judges' machines have none")

    def guarded(connect: Callable) -> Callable:
        def attempt(self: socket.socket, address: object) -> object:
            # worker processes talk to each other through local sockets
            if self.family not in (socket.AF_INET, socket.AF_INET6) or is_this_machine(address):
                return connect(self, address)
            return refuse(address)

        return attempt

    socket.socket.connect = guarded(socket.socket.connect)  # type: ignore[method-assign]
    socket.socket.connect_ex = guarded(socket.socket.connect_ex)  # type: ignore[method-assign]
    socket.getaddrinfo = lambda host, *rest, **options: refuse(host)  # type: ignore[assignment]
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.argv = sys.argv[2:]
    sys.path[0] = os.path.dirname(os.path.abspath(script))  # noqa: PTH100, PTH120
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123
            facts = {"peak_memory_mb": peak_memory_mb(), "network_attempts": attempts, "versions": versions()}
            json.dump(facts, file)


def is_this_machine(address: object) -> bool:
    """Say whether an address (host, port, ...) is the machine itself, as Windows' socket pairs use it."""
    return isinstance(address, tuple) and address[0] in ("127.0.0.1", "::1")


def versions() -> "dict[str, str]":
    """Return the versions of Python and of the `REPORTED_MODULES` that this process has imported."""
    found = {"python": platform.python_version()}
    for module, name in REPORTED_MODULES.items():
        if hasattr(sys.modules.get(module), "__version__"):
            found[name] = str(sys.modules[module].__version__)
    return found


def peak_memory_mb() -> "float | None":
    """Return the peak resident memory of this process in 10^6 bytes, or None where it cannot be had (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    # the unit is bytes on macOS and KiB elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    main()
