"""Checks and times the kit on this machine's NVIDIA GPU: python benchmarks/gpu_check.py

No arguments, no network, random weights. At most 8 minutes on a data-centre card, 20 on others. It prints a JSON line
for each check and a table at the end, and writes both to results/gpu_check/gpu.json; logs/ beside it has the output of
every check. A check that fails does not end the others. Without a GPU it runs a reduced form with tiny models, which
shows only that the checks themselves work.

Exit code: 0 no check failed, 1 one failed (a goal that is missed is no failure), 130 interrupted; what was found until
then is written.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.gpu import goals, latency, memory, pictures, prediction, throughput, training
from benchmarks.gpu.machine import PRECISIONS, machine_facts
from benchmarks.gpu.runner import Runner, Task
from benchmarks.gpu.site import REPOSITORY, Facts, Site, line_path
from common.errors import RunError

OUTPUT = "results/gpu_check"
MACHINE = "machine"
# from this memory on, a card is one of a data centre
LARGE_CARD_GB = 40
SECONDS_LARGE_CARD, SECONDS_CARD, SECONDS_CPU = 480, 1200, 900


@dataclass(frozen=True)
class Check:
    """A check: its function gets the `Site` and these arguments; `seconds` is the time limit of its process."""

    name: str
    function: Callable[..., Facts]
    arguments: tuple = ()
    seconds: float = 240


@dataclass(frozen=True)
class Stage:
    """Checks that may run at once, or one after the other because they are timed."""

    checks: list[Check]
    timed: bool = False


def stages(reduced: bool) -> list[Stage]:
    """Return all checks, in order; `reduced` leaves out what a CPU cannot do within minutes."""
    loads = throughput.REDUCED_LOADS if reduced else throughput.LOADS
    models = latency.REDUCED_MODELS if reduced else latency.MODELS
    return [
        Stage([Check("pictures", pictures.draw_pictures)]),
        Stage(
            [
                *(Check(f"train_{name}", training.precision_trains, (name,)) for name in PRECISIONS),
                Check("resume", training.resumes),
                Check("fp16_one_step_epochs", training.one_step_epochs),
                *(Check(f"full_memory_{start}", memory.full_memory, (start,)) for start in ("random", "probe")),
            ]
        ),
        # these need a model that is trained by now
        Stage(
            [
                Check("compile", training.compiles, seconds=400),
                *(Check(f"judges_copy_{name}", prediction.judges_copy, (name,)) for name in PRECISIONS),
                Check("evaluate_is_the_log", prediction.evaluation_is_the_log),
                Check("views_under_autocast", prediction.views_under_autocast),
            ]
        ),
        Stage(
            [
                check
                for load in loads
                for check in (
                    Check(f"synthetic_{load}", throughput.synthetic, (load,)),
                    Check(f"real_{load}", throughput.real, (load,)),
                )
            ],
            timed=True,
        ),
        Stage([Check(f"latency_{model}", latency.latency, (model,)) for model in models], timed=True),
    ]


def main(arguments: Sequence[str]) -> int:
    """Run all checks, or the one whose process this is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=REPOSITORY / OUTPUT, help=f"default: {OUTPUT}")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--check", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.check:
        run_check(flags.check, flags.folder)
        return 0
    with tempfile.TemporaryDirectory(prefix="gpu_check_", ignore_cleanup_errors=True) as folder:
        return run_all(Path(folder), flags.output.resolve())


def run_all(folder: Path, output: Path) -> int:
    """Run every check, print the tables, and return the exit code."""
    line_path(folder, MACHINE).parent.mkdir()
    command = [sys.executable, str(Path(__file__).resolve()), "--folder", str(folder), "--check"]
    os.environ.update(HF_HUB_OFFLINE="1", PYTHONIOENCODING="utf-8", PYTHONUNBUFFERED="1")
    runner = Runner(command, folder, output / "gpu.json")
    interrupted = False
    try:
        run_stages(runner)
    except KeyboardInterrupt:
        interrupted = True
    print(f"\n{goals.tables(runner.lines)}\n\n{goals.verdict(runner.lines)}; {runner.seconds:.0f} s")
    try:
        runner.write()
        print(f"Wrote {runner.results}{' (interrupted)' if interrupted else ''}. Please add this file to your report.")
    except RunError as error:
        print(f"error: {error}")
    if runner.machine.get("warning"):
        print(f"warning: {runner.machine['warning']}")
    failed = any(line["ok"] is False for line in runner.lines)
    return 130 if interrupted else int(failed)


def run_stages(runner: Runner) -> None:
    """Ask for the machine, then run its stages within its time."""
    facts = runner.run(Task(MACHINE, 120))
    if facts.get("ok") is not True:
        return
    runner.machine = facts["machine"]
    reduced = runner.machine["device"] == "cpu"
    if reduced:
        print("torch finds no CUDA GPU: a reduced form runs on the CPU. It measures nothing of a GPU.", flush=True)
        if runner.machine["warning"]:
            print(f"warning: {runner.machine['warning']}", flush=True)
    runner.deadline = total_seconds(runner.machine)
    for stage in stages(reduced):
        tasks = [Task(check.name, check.seconds) for check in stage.checks]
        runner.run_stage(tasks, 1 if stage.timed else at_once(runner.machine))


def total_seconds(machine: Facts) -> float:
    """Return the seconds after which no check goes on."""
    if machine["device"] == "cpu":
        return SECONDS_CPU
    return SECONDS_LARGE_CARD if machine["card_gb"] >= LARGE_CARD_GB else SECONDS_CARD


def at_once(machine: Facts) -> int:
    """Return how many checks that are not timed share the machine: each takes two cores and 4 GB of the card."""
    if machine["device"] == "cpu":
        return min(2, machine["cores"])
    # on Windows each of a check's six processes sets memory aside for all of torch, in the paging file too
    most = 2 if sys.platform == "win32" else 6
    return max(1, min(most, machine["cores"] // 2, int(machine["card_gb"] // 4)))


def run_check(name: str, folder: Path) -> None:
    """Run one check in this process, and write its facts. What it raises ends the process; its runner reads the log."""
    if name == MACHINE:
        machine = machine_facts()
        told = f"{machine['card'] or platform.processor() or 'CPU'}, torch {machine['torch']}"
        facts: Facts = {"ok": True, "summary": told, "machine": machine}
    else:
        machine = json.loads(line_path(folder, MACHINE).read_text(encoding="utf-8"))["machine"]
        site = Site(folder, machine)
        checks = {check.name: check for stage in stages(site.reduced) for check in stage.checks}
        facts = checks[name].function(site, *checks[name].arguments)
    line_path(folder, name).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            # a console of Windows may lack a sign
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(main(sys.argv[1:]))
