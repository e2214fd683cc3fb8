"""Running an unpacked ZIP as the judges do: its command, in a separate process without the kit."""

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from competition.checks import Check
from competition.zip_layout import CODE_DIR, model_names, recipe_name
from configs.schema import CompetitionConfig
from prediction.options import AVERAGES, PLAIN
from prediction.views import VIEWS

SANDBOX = Path(__file__).resolve().parent / "sandbox.py"
_START_SECONDS, _SECONDS_AN_IMAGE = 600, 5
_KEPT_ENVIRONMENT = ("PATH", "HOME", "SYSTEMROOT", "USERPROFILE")


@dataclass(frozen=True)
class Execution:
    """One run of the ZIP's command."""

    where: str
    images: int
    exit_code: int
    message: str
    seconds: float
    peak_memory_mb: float | None
    network_attempts: list[str]
    output: Path


def run_command(
    root: Path, folder: Path, profile: CompetitionConfig, images: Path, output: Path, count: int
) -> tuple[Execution, Check]:
    """Run the profile's command in `folder` and say how it ended."""
    report = output.parent.with_suffix(".json")
    command = [
        sys.executable,
        "-E",
        "-s",
        str(SANDBOX),
        str(report),
        *_words(root, folder, profile, images, output),
    ]
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_START_SECONDS + _SECONDS_AN_IMAGE * count,
            check=False,
        )
        exit_code, message = done.returncode, _last_line(done.stderr) or _last_line(done.stdout)
    except subprocess.TimeoutExpired:
        exit_code, message = -1, "did not end in time"
    seconds = time.perf_counter() - started
    facts = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    where = "from code/" if folder.name == CODE_DIR else "from the ZIP's root"
    memory, attempts = facts.get("peak_memory_mb"), facts.get("network_attempts", [])
    execution = Execution(where, count, exit_code, message, seconds, memory, attempts, output)
    if exit_code != 0:
        return execution, Check(f"runs {where}", False, f"exit code {exit_code}: {message[:200]}", "exit code 0")
    if not output.is_file():
        return execution, Check(f"runs {where}", False, "success reported, but no CSV written", "one row an image")
    figure = f"{count} images in {seconds:.1f} s with start-up" + (f", {memory:.0f} MB of memory" if memory else "")
    return execution, Check(f"runs {where}", True, figure, "exit code 0")


def _words(root: Path, folder: Path, profile: CompetitionConfig, images: Path, output: Path) -> list[str]:
    """Return the profile's command for a run in `folder`, without its `python`; paths in the ZIP become relative."""
    further = len(list((root / profile.zip_layout.model).parent.glob("model_*")))
    models = [os.path.relpath(root / name, folder) for name in model_names(profile.zip_layout, 1 + further)]
    filled = {"{test_dir}": [str(images.resolve())], "{output}": [str(output)], "{models}": models}
    filled["{views}"] = packed_flags(root, profile)
    words = []
    for word in shlex.split(profile.command)[1:]:
        if word in filled:
            words += filled[word]
        else:
            words.append(os.path.relpath(root / word, folder) if word.startswith(f"{CODE_DIR}/") else word)
    return words


def packed_flags(root: Path, profile: CompetitionConfig) -> list[str]:
    """Return the flags for the views, averaging and weights that the ZIP's recipe names, where they make sense."""
    recipe = recipe_name(profile.zip_layout)
    try:
        facts = json.loads((root / recipe).read_text(encoding="utf-8")) if recipe else {}
        views, weights = list(facts.get("views", PLAIN)), [float(weight) for weight in facts.get("weights", [])]
        average = facts.get("average", AVERAGES[0])
    except (OSError, ValueError, TypeError, AttributeError):
        views, weights, average = list(PLAIN), [], AVERAGES[0]
    known = views and all(isinstance(name, str) and name in VIEWS for name in views)
    words = ["--tta", ",".join(views if known else PLAIN)]
    words += ["--average", average] if average in AVERAGES else []
    return [*words, "--weights", *map(str, weights)] if len(weights) > 1 else words


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
