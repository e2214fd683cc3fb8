"""Running an unpacked ZIP like the judges: its command, in a separate process, without the kit."""

import json
import locale
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from competition.checks import Check
from competition.zip_layout import CODE_DIR, model_names, provenance_name
from configs.schema import CompetitionConfig
from data.listing import list_images
from prediction.options import AVERAGES, PLAIN, PRECISIONS
from prediction.recorded import provenance_path
from prediction.view_names import NAMES

OWN_PYTHON = Path(sys.executable)
SANDBOX = Path(__file__).resolve().parent / "sandbox.py"
_START_SECONDS, _SECONDS_AN_IMAGE = 600, 5
# what Python needs, and what decides which card and which of NVIDIA's libraries a process finds
_KEPT_ENVIRONMENT = (
    "PATH",
    "HOME",
    "SYSTEMROOT",
    "USERPROFILE",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_PATH",
    "LD_LIBRARY_PATH",
)
# the template's line for the device and the dtype of the model
_DEVICE_LINE = re.compile(r"^device: \w+, (float32|float16|bfloat16)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Execution:
    """One run of the ZIP's command: from which folder, under which versions, and how it ended.

    `under` names the interpreter if it is not the kit's own; `versions` are those of the packages that it imported;
    `precision` is a name of torch's dtype, float32 where the code does not tell.
    """

    place: str
    under: str
    images: int
    exit_code: int
    message: str
    seconds: float
    peak_memory_mb: float | None
    network_attempts: list[str]
    versions: dict[str, str]
    precision: str
    output: Path

    @property
    def where(self) -> str:
        """The folder that the command ran in and, if it is not the kit's own, the interpreter."""
        return self.place + self.under


def find_interpreter(word: str) -> Path:
    """Return the Python at a path or with a name on PATH. Raises InputError if no Python starts there."""
    found = shutil.which(word)
    if found is None:
        raise InputError(f"{word}: no such program. Give the path of a Python interpreter.")
    try:
        answer = subprocess.run([found, "--version"], capture_output=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        answer = b""
    if not answer.startswith(b"Python 3."):
        raise InputError(f"{word}: not an interpreter of Python 3.")
    # the link is not resolved: the python of a virtual environment finds its packages by the place of its link
    return Path(found).absolute()


def run_command(
    python: Path, root: Path, folder: Path, profile: CompetitionConfig, images: Path, output: Path
) -> tuple[Execution, Check]:
    """Run the command of the profile in `folder` under an interpreter, and return how it ended."""
    count, report = len(list_images(images)), output.parent.with_suffix(".json")
    words = _words(root, folder, profile, images, output)
    command = [str(python), "-E", "-s", str(SANDBOX), str(report), *words]
    printed = ""
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
        printed = _text(done.stdout)
        exit_code, message = done.returncode, _last_line(done.stderr) or _last_line(done.stdout)
    except subprocess.TimeoutExpired:
        exit_code, message = -1, "did not end in time"
    seconds = time.perf_counter() - started
    facts = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    versions = facts.get("versions", {})
    execution = Execution(
        place="from code/" if folder.name == CODE_DIR else "from the ZIP's root",
        under="" if python == OWN_PYTHON else f" under Python {versions.get('python', python)}",
        images=count,
        exit_code=exit_code,
        message=message,
        seconds=seconds,
        peak_memory_mb=facts.get("peak_memory_mb"),
        network_attempts=facts.get("network_attempts", []),
        versions=versions,
        precision=_precision_of(printed, output),
        output=output,
    )
    return execution, _check_end(execution)


def _check_end(execution: Execution) -> Check:
    rule, memory = f"runs {execution.where}", execution.peak_memory_mb
    if execution.exit_code != 0:
        return Check(rule, False, f"exit code {execution.exit_code}: {execution.message[:200]}", "exit code 0")
    if not execution.output.is_file():
        return Check(rule, False, "success reported, but no CSV written", "one row per image")
    figure = f"{execution.images} images in {execution.seconds:.1f} s with start-up"
    return Check(rule, True, figure + (f", {memory:.0f} MB of memory" if memory else ""), "exit code 0")


def _words(root: Path, folder: Path, profile: CompetitionConfig, images: Path, output: Path) -> list[str]:
    """Return the command of the profile for a run in `folder`, without `python`; paths become relative."""
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
    """Return flags for the views, averaging and weights named in the ZIP, if they are valid."""
    provenance = provenance_name(profile.zip_layout)
    try:
        facts = json.loads((root / provenance).read_text(encoding="utf-8")) if provenance else {}
        views, weights = list(facts.get("views", PLAIN)), [float(weight) for weight in facts.get("weights", [])]
        average = facts.get("average", AVERAGES[0])
    except (OSError, ValueError, TypeError, AttributeError):
        views, weights, average = list(PLAIN), [], AVERAGES[0]
    known = views and all(isinstance(name, str) and name in NAMES for name in views)
    words = ["--tta", ",".join(views if known else PLAIN)]
    words += ["--average", average] if average in AVERAGES else []
    return [*words, "--weights", *map(str, weights)] if len(weights) > 1 else words


def _precision_of(printed: str, output: Path) -> str:
    """Return the dtype that a run tells: the template prints it, the kit writes it beside its CSV."""
    line = _DEVICE_LINE.search(printed)
    return line.group(1) if line else read_precision(provenance_path(output), "precision")


def read_precision(path: Path, key: str, default: str = PRECISIONS["fp32"]) -> str:
    """Return the dtype that a JSON file names under `key`, `default` where it names none: rules are strict in float32.

    The kit writes `mixed float16`.
    """
    try:
        told = str(json.loads(path.read_text(encoding="utf-8"))[key]).removeprefix("mixed ")
    except (OSError, ValueError, TypeError, KeyError):
        return default
    return told if told in PRECISIONS.values() else default


def _text(output: bytes) -> str:
    """Decode what a run printed: UTF-8, or the encoding of this machine, which Python takes for a pipe on Windows."""
    try:
        return output.decode("utf-8")
    except UnicodeDecodeError:
        return output.decode(locale.getpreferredencoding(False), errors="replace")


def _last_line(output: bytes) -> str:
    lines = _text(output).strip().splitlines()
    return lines[-1].strip() if lines else ""
