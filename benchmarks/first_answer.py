"""Seconds until a wrong command line is answered: python benchmarks/first_answer.py [--repeats N] [--only TEXT]"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# {empty} is a folder without images; everything else that a line names is not there, or mistyped
COMMANDS = [
    "train.py dataset.root=nowhere",
    "train.py training.epoch=3",
    "evaluate.py --checkpoint none.pt",
    "inference.py --checkpoint README.md --input {empty}",
    "ensemble.py --checkpoint none.pt other.pt",
    "check_competition.py --checkpoint none.pt",
    "prepare_submission.py --predictions none.csv",
    "compete.py --source nowhere --hours 1",
    "cli/flower_cli.py audit dataset.root=nowhere",
    "cli/flower_cli.py export --checkpoint none.pt --runtime onnx --output a.onnx",
    "cli/flower_cli.py report --run nowhere",
    "cli/flower_cli.py ablate --drop mixpu",
    "cli/flower_cli.py tune dataset.root=nowhere training.learning_rate=0.001..0.1",
    "cli/flower_cli.py augment-preview dataset.root=nowhere",
    "cli/flower_cli.py prepare-data --source nowhere --output {empty}/out",
]


def main() -> None:
    """Print the medians for each command, and the last line of its answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", metavar="TEXT", help="commands with this text")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:
        for command in COMMANDS:
            if flags.only in command:
                waited, computed, answer = measure(command.format(empty=empty).split(), flags.repeats)
                print(f"{waited:5.1f} s, {computed:5.1f} s of a processor  {command}\n    {answer}", flush=True)


def measure(words: list[str], repeats: int) -> tuple[float, float, str]:
    """Return the median seconds, those of the processor among them, and the end of the answer with its exit code."""
    waited, computed, answer = [], [], ""
    for _ in range(repeats):
        start, before = time.perf_counter(), _of_children()
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        waited.append(time.perf_counter() - start)
        computed.append(_of_children() - before)
        answer = f"exit code {done.returncode}: {(done.stderr.strip().splitlines() or ['no error'])[-1]}"
    return statistics.median(waited), statistics.median(computed), answer


def _of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
