"""flower_cli.py info: libraries and hardware of this machine; with keys, what a training takes and what limits it."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata

HELP = (
    "show Python, libraries and hardware; with model=... and other keys, the memory that this training takes, or with "
    "--throughput its speed"
)

_LIBRARIES = ("torch", "torchvision", "timm", "albumentations", "opencv-python-headless", "numpy", "hydra-core")

_CUDA_WHEELS = "https://download.pytorch.org/whl/cu128"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    parser.add_argument(
        "--throughput",
        action="store_true",
        help="measure images/s of the loader and of training steps on this device (a minute), and say which limits",
    )
    parser.add_argument("--config-name", default="config", help="the config to start from (default: %(default)s)")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the facts; the exit code is 0 even with a warning."""
    if overrides or arguments.throughput or arguments.config_name != "config":
        from cli.info_training import memory_facts, throughput_facts
        from configs.compose import compose

        config = compose(arguments.config_name, overrides)
        print_facts(throughput_facts(config) if arguments.throughput else memory_facts(config), arguments.json)
        return 0

    import torch

    from common.device import choose_device, choose_precision, cpu_name, describe_device

    device = choose_device("auto")
    facts = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": f"{cpu_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "memory": memory(),
        **{name: version(name) for name in _LIBRARIES},
        "device": f"{describe_device(device)}, {choose_precision(device, use_amp=True, amp_dtype='auto')}",
    }
    warning = gpu_warning(torch.version.cuda, torch.cuda.is_available(), torch.backends.mps.is_available())
    print_facts({**facts, "warning": warning} if warning or arguments.json else facts, arguments.json)
    return 0


def print_facts(facts: Mapping[str, str | None], as_json: bool) -> None:
    """Print facts as aligned lines, or as JSON."""
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    width = max(len(name) for name in facts if name != "warning")
    for name, value in facts.items():
        print(f"warning: {value}" if name == "warning" else f"{name:<{width}}  {value}")


def version(package: str) -> str:
    """Return the installed version of a package, or a word that says that there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def memory() -> str:
    """Return the machine's memory where the system tells it without another package."""
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB"
    except (AttributeError, ValueError, OSError):
        return "unknown"


def gpu_warning(built_for_cuda: str | None, cuda_works: bool, mps_works: bool) -> str | None:
    """Return why a GPU of this machine is not used and what to do, or None.

    `built_for_cuda` is torch.version.cuda; it is None in a wheel for CPUs only, which is what PyPI has for Windows.
    """
    names = nvidia_gpus()
    if names and not cuda_works:
        if built_for_cuda is None:
            return (
                f"{names[0]} is there, but this torch is built for CPUs only. Install the other one: {sys.executable} "
                f"-m pip install --force-reinstall torch torchvision --index-url {_CUDA_WHEELS} "
                "(https://pytorch.org/get-started/locally shows the line for your CUDA version)."
            )
        return f"{names[0]} is there, but torch, built for CUDA {built_for_cuda}, cannot use it. Update its driver."
    if sys.platform == "darwin" and platform.machine() == "arm64" and not mps_works:
        return "Apple's GPU is there, but torch cannot use it. Update macOS (12.3 or later) and torch."
    return None


def nvidia_gpus() -> list[str]:
    """Return the GPUs that NVIDIA's driver lists; none where there is no driver, or it does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = listed.stdout.splitlines() if listed.returncode == 0 else []
    return [line.partition(":")[2].partition("(")[0].strip() for line in lines if line.startswith("GPU ")]
