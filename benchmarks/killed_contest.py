"""Kill `compete.py` at random moments, type it again, and say what that cost.

python benchmarks/killed_contest.py --hours 0.15 --source data/demo --models efficientnet_lite0

All processes of the contest get SIGKILL (POSIX only), as in a power cut. Prints the moments in seconds of the contest,
how long all of it took, how many plans there were, and what it delivered. Further words go to compete.py.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

DELIVERED = ("predictions.csv", "submission.zip", "submission_proof.json", "report/report.html", "summary.html")


def main() -> None:
    """Kill by --seed: the same call kills at the same moments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, required=True, help="as of compete.py")
    parser.add_argument("--kills", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("results/killed"), help="default: %(default)s")
    flags, words = parser.parse_known_args()

    generator = random.Random(flags.seed)
    # not before the first files, and not in the last steps, where a second more or less decides whether it has ended
    moments = sorted(generator.uniform(20, 0.9 * 3600 * flags.hours) for _ in range(flags.kills))
    command = [sys.executable, str(REPOSITORY / "compete.py"), "--hours", str(flags.hours)]
    command += ["--output", str(flags.output), *words]
    used, plans = 0.0, set()
    for moment in [*moments, None]:
        seconds, code = run_for(command, None if moment is None else moment - used)
        used += seconds
        plan = flags.output / "plan.json"
        plans.update([plan.read_bytes()] if plan.is_file() else [])
        print(f"{'ended' if code is not None else 'killed'} after {used:.0f} s", flush=True)
        if code is not None:
            break
    print(f"plans: {len(plans)}; lacking: {[name for name in DELIVERED if not (flags.output / name).is_file()]}")


def run_for(command: list[str], limit: float | None) -> tuple[float, int | None]:
    """Run a command and kill it after `limit` seconds; return its seconds, and its exit code, None if it was killed."""
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True)
    try:
        code = process.wait(timeout=limit)
        return time.monotonic() - started, code
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return time.monotonic() - started, None


if __name__ == "__main__":
    main()
