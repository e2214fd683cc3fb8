"""Time and memory of everything between a command and its first batch, for tables of many rows.

python benchmarks/scale.py --rows 20000,100000,1000000

The tables are synthetic: 100 rows a class, random hashes of which one in a hundred is a near-copy, empty image files in
a temporary folder. Each part runs in a process of its own. MB are 10^6 bytes: the peak of the process, and how much of
it came after the imports. `a worker` is the memory that a forked worker process shares with no other, after 100,000
rows. The exponent compares the processor time, of all threads, with that of the row count before: 1 is linear, 2
quadratic. Needs Linux.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS_PER_CLASS, ROWS_PER_FOLDER, BATCH, WORKER_BATCHES = 100, 1000, 32, 3125


def main() -> None:
    """Print a line for each row count and part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="20000,100000", help="row counts, rising (default: %(default)s)")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.part:
        print(json.dumps(measure(PARTS[flags.part], flags.data)))
        return
    print(f"{'part':<28}{'rows':>10}{'s':>9}{'CPU s':>9}{'peak MB':>10}{'added MB':>10}{'exponent':>10}")
    before: dict[str, tuple[int, float]] = {}
    for rows in map(int, flags.rows.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            write_data(Path(folder), rows)
            for part in PARTS:
                found = run_part(part, Path(folder))
                line = f"{part:<28}{rows:>10}{found['seconds']:>9.2f}{found['cpu']:>9.2f}"
                line += f"{found['peak']:>10.0f}{found['added']:>10.0f}"
                if part in before:
                    rows_before, cpu = before[part]
                    line += f"{math.log(found['cpu'] / cpu) / math.log(rows / rows_before):>10.2f}"
                print(line, flush=True)
                before[part] = rows, found["cpu"]


def write_data(folder: Path, rows: int) -> None:
    """Write train.csv, classes.csv, image_hashes.csv and empty image files."""
    import numpy as np

    generator = np.random.default_rng(0)
    ids = [f"{row // ROWS_PER_FOLDER:05d}/photograph_{row:09d}.jpg" for row in range(rows)]
    classes = rows // ROWS_PER_CLASS
    hashes = np.packbits(random_bits(generator, rows), axis=1)
    copies = max(rows // 100, 1)
    hashes[-copies:] = hashes[:copies]
    hashes[-copies:, 0] ^= generator.integers(0, 256, copies, dtype=np.uint8)
    for start in range(0, rows, ROWS_PER_FOLDER):
        (folder / "train" / ids[start]).parent.mkdir(parents=True)
        for name in ids[start : start + ROWS_PER_FOLDER]:
            (folder / "train" / name).touch()
    lines = [f"{name},{row % classes}\n" for row, name in enumerate(ids)]
    write(folder / "train.csv", "image_id,label\n", lines)
    write(folder / "classes.csv", "label,name\n", [f"{label},flower {label}\n" for label in range(classes)])
    lines = [f"{name},0,{found.tobytes().hex()}\n" for name, found in zip(ids, hashes, strict=True)]
    write(folder / "image_hashes.csv", "image_id,bytes,hash\n", lines)


def random_bits(generator, rows: int):
    """Return bits, uint8 (rows, 256), of which each row has as many as a photograph's hash: 128."""
    import numpy as np

    bits = np.zeros((rows, 256), dtype=np.uint8)
    bits[:, :128] = 1
    for start in range(0, rows, 10_000):
        bits[start : start + 10_000] = generator.permuted(bits[start : start + 10_000], axis=1)
    return bits


def write(path: Path, header: str, lines: list[str]) -> None:
    """Write a header and lines as UTF-8."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(header)
        file.writelines(lines)


def run_part(part: str, folder: Path) -> dict[str, float]:
    """Run one part in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--data", str(folder)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(prepare: Callable[[Path], Callable[[], Any]], folder: Path) -> dict[str, float]:
    """Return seconds, processor seconds and peak megabytes of what `prepare` returns, and the megabytes it added."""
    sys.path.insert(0, str(REPOSITORY))
    work = prepare(folder)
    # from here on the peak counts anew
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    imported = memory("status", "VmHWM")
    started, cpu = time.perf_counter(), time.process_time()
    found = work()
    spent = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    peak = memory("status", "VmHWM")
    if isinstance(found, float):
        return {**spent, "peak": found, "added": found}
    return {**spent, "peak": peak, "added": peak - imported}


def memory(file: str, *names: str, process: int | str = "self") -> float:
    """Return the sum of lines of a file in /proc, in megabytes."""
    lines = Path(f"/proc/{process}/{file}").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.split(":")[0] in names) / 1e6


def load(folder: Path) -> Callable[[], Any]:
    """Read the table."""
    from data.table import read_table

    return lambda: read_table(folder / "train.csv", folder / "train", folder / "classes.csv")


def hashes(folder: Path) -> Callable[[], Any]:
    """Read the cached hashes, and compare the sizes of all files."""
    from data.duplicates import image_hashes

    table = load(folder)()
    return lambda: image_hashes(table, folder)


def pairs(folder: Path) -> Callable[[], Any]:
    """Find all pairs, as the audit does."""
    from data.duplicates import image_hashes, near_duplicates

    found = image_hashes(load(folder)(), folder)
    return lambda: near_duplicates(found)


def groups(folder: Path) -> Callable[[], Any]:
    """Read the hashes and group the table; the second time, the groups are cached."""
    from data.duplicates import duplicate_groups

    table = load(folder)()
    return lambda: duplicate_groups(table, folder)


def split(folder: Path) -> Callable[[], Any]:
    """Hold back a test part and a validation part."""
    import dataclasses

    from configs.compose import compose
    from data.duplicates import duplicate_groups
    from data.split import split_table

    table = load(folder)()
    config = dataclasses.replace(compose().dataset, test_split=0.1, val_split=0.1)
    found = duplicate_groups(table, folder)
    return lambda: split_table(table, config, 0, found)


def first_batch(sampler: str) -> Callable[[Path], Callable[[], Any]]:
    """Draw the order of an epoch."""

    def prepare(folder: Path) -> Callable[[], Any]:
        import numpy as np

        from data.sampler import EpochBatches

        labels = load(folder)().labels
        return lambda: next(iter(EpochBatches(np.arange(len(labels)), labels, BATCH, sampler, 0)))

    return prepare


def worker(folder: Path) -> Callable[[], Any]:
    """Read batches in one forked worker; the images are empty, so that the table's own cost is seen."""
    import itertools

    import numpy as np

    from data.dataloader import BatchReader
    from data.dataset import ImageDataset
    from data.sampler import EpochBatches

    table = load(folder)()
    images = ImageDataset(table.image_dir, table.image_ids, table.labels, lambda pixels, epoch, index: pixels)
    reader = BatchReader(images, EpochBatches(np.arange(len(table.labels)), table.labels, BATCH, "shuffle", 0), 1)

    def read() -> float:
        for _ in itertools.islice(reader, WORKER_BATCHES):
            pass
        process = int(images.in_flight[0, 0])
        return memory("smaps_rollup", "Private_Clean", "Private_Dirty", process=process)

    return read


PARTS: dict[str, Callable[[Path], Callable[[], Any]]] = {
    "load the table": load,
    "read the hashes": hashes,
    "find the pairs": pairs,
    "group the table": groups,
    "group it again": groups,
    "split": split,
    "first batch, shuffle": first_batch("shuffle"),
    "first batch, balanced": first_batch("balanced"),
    "a worker": worker,
}


if __name__ == "__main__":
    main()
