"""Images/s of the training loader alone (read, decode, augment, collate), by augmentation and input size.

python benchmarks/loader.py
python benchmarks/loader.py --data data/flowers102_dev
python benchmarks/loader.py --against ../older --rounds 5

Without --data it draws 200 JPEG files of 600x600 px. --against runs the loader of another checkout in turn with this
one, each in a process of its own; the ratios of such pairs hold on a busy machine, too. CPU ms are those of the main
process and its workers for one image.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
CASES = [("light", 224), ("strong", 224), ("strong", 384), ("strong", 600), ("ultra_strong", 600)]
SECONDS = 4.0


def main() -> None:
    """Measure each case, in turn with the other checkout if one is given, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a prepared data set: train.csv and train/")
    parser.add_argument("--against", type=Path, help="another checkout of this repository")
    parser.add_argument("--rounds", type=int, default=1, help="times that each case is run (default: %(default)s)")
    parser.add_argument("--workers", type=int, help="worker processes (default: what training takes)")
    parser.add_argument("--only", nargs=2, metavar=("AUGMENTATION", "PX"), help="one case of the table, or another")
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.case:
        checkout, augmentation, size = flags.case
        print(json.dumps(measure(checkout, augmentation, int(size), flags.data, flags.workers)))
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data = flags.data or drawn(Path(folder))
        checkouts = [HERE, *([flags.against.resolve()] if flags.against else [])]
        print(f"{'augmentation':<14}{'px':>5}{'workers':>9}{'images/s':>10}{'CPU ms':>8}", flush=True)
        for augmentation, size in [(flags.only[0], int(flags.only[1]))] if flags.only else CASES:
            found = [
                [in_a_process(checkout, augmentation, size, data, flags.workers) for checkout in checkouts]
                for _ in range(flags.rounds)
            ]
            print_case(augmentation, size, found)


def drawn(folder: Path) -> Path:
    """Draw a data set of flowers into `folder`."""
    sys.path.insert(0, str(HERE))
    from data.demo import draw_demo

    draw_demo(folder, classes=10, images_per_class=20, image_size=600, seed=0)
    return folder


def in_a_process(checkout: Path, augmentation: str, size: int, data: Path, workers: int | None) -> dict[str, float]:
    """Return what `measure` returns, of the code in `checkout`."""
    command = [sys.executable, __file__, "--data", str(data), "--case", str(checkout), augmentation, str(size)]
    command += [] if workers is None else ["--workers", str(workers)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8", errors="replace")
    return json.loads(done.stdout.splitlines()[-1])


def measure(checkout: str, augmentation: str, size: int, data: Path, workers: int | None) -> dict[str, float]:
    """Read epochs with the loader of `checkout` for `SECONDS`, after one to warm up."""
    sys.path.insert(0, checkout)
    import numpy as np
    import torch

    from configs.compose import compose
    from data.dataloader import train_loader
    from data.sampler import EpochBatches
    from data.table import read_table

    words = [f"augmentation={augmentation}", f"model.input_size={size}", "training.final_epochs=0"]
    words += [] if workers is None else [f"dataset.num_workers={workers}"]
    config = compose("config", words)
    table = read_table(data / "train.csv", data / "train")
    # long epochs, so that their starts do not count
    rows = np.tile(np.arange(len(table.image_ids)), -(-3200 // len(table.image_ids)))
    batches = EpochBatches(rows, table.labels, config.dataset.batch_size, "shuffle", config.seed)
    loader = train_loader(config, table, batches, torch.device("cpu"))
    images, started, used = 0, 0.0, 0.0
    for number, batch in enumerate(loader):
        if number == 4 * (1 + loader.num_workers):
            images, started, used = 0, time.perf_counter(), cpu_seconds()
        images += len(batch.labels)
        if started and time.perf_counter() - started > SECONDS:
            break
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - used
    return {"workers": loader.num_workers, "rate": images / seconds, "cpu_ms": 1000 * cpu / images}


def cpu_seconds() -> float:
    """Return the CPU time of this process and its living children (Linux), or of this process alone."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if not children.exists():
        return time.process_time()
    total = 0
    for process in ["self", *children.read_text(encoding="utf-8").split()]:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def print_case(augmentation: str, size: int, found: list[list[dict[str, float]]]) -> None:
    """Print the medians of this checkout, and by how much it is faster than the other in each round."""
    own = [pair[0] for pair in found]
    rate, cpu = (statistics.median(figures[key] for figures in own) for key in ("rate", "cpu_ms"))
    line = f"{augmentation:<14}{size:>5}{own[0]['workers']:>9}{rate:>10.0f}{cpu:>8.2f}"
    if len(found[0]) > 1:
        for name, ratios in {
            "images/s": sorted(ours["rate"] / other["rate"] for ours, other in found),
            "CPU": sorted(other["cpu_ms"] / ours["cpu_ms"] for ours, other in found),
        }.items():
            line += f"  {name} x{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    print(line, flush=True)


if __name__ == "__main__":
    main()
