"""Seconds that training stands still for a save, and that its thread writes, for EfficientNet-Lite0 with averages.

python benchmarks/checkpoint_stall.py

The state is that of a run after one step: weights, averages and both moments of AdamW. Training stands still while it
is copied; the thread writes, flushes and renames the file.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from configs.compose import compose
from training.run import Run, set_up_run
from training.saving import Saver
from training.start import start_run
from training.state import TrainingState


def main() -> None:
    """Write the state several times and print the median and the longest times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=20, help="default: %(default)s")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, state = _after_one_step(Path(folder))
        stalls, writes = [], []
        with Saver(run) as saver:
            for _ in range(arguments.writes):
                started = time.perf_counter()
                saver.save(state)
                stalls.append(time.perf_counter() - started)
                saver.finish()
                writes.append(time.perf_counter() - started - stalls[-1])
        megabytes = run.folder.last.stat().st_size / 1e6
    for what, seconds in (("training stands still", stalls), ("the thread writes", writes)):
        print(f"{megabytes:.1f} MB: {what} median {statistics.median(seconds):.3f} s, longest {max(seconds):.3f} s")


def _after_one_step(folder: Path) -> tuple[Run, TrainingState]:
    options = [
        "model=efficientnet_lite0",
        "dataset=demo",
        f"dataset.root={folder / 'demo'}",
        "dataset.demo.images_per_class=2",
        "dataset.demo.image_size=64",
        "model.input_size=64",
        "dataset.num_workers=0",
        "training.ema_decay=0.999",
        f"output_dir={folder / 'run'}",
        "device=cpu",
    ]
    run = set_up_run(compose("config", options))
    state = start_run(run).state
    for parameter in state.model.parameters():
        parameter.grad = parameter.detach().clone()
    state.optimizer.step()
    return run, state


if __name__ == "__main__":
    main()
