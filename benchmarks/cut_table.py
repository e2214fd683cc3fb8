"""Cut a prepared data set into a small training table and a test table of the rest, for experiments on few images.

python benchmarks/cut_table.py --data data/flowers102_dev --name 20 --images-per-class 20
python benchmarks/cut_table.py --data data/flowers102_dev --name 5 --images-per-class 5 --draws 2
python benchmarks/cut_table.py --data data/flowers102_dev --name tail --images-per-class 32,16,8,4,2
python benchmarks/cut_table.py --data data/flowers102_dev --name five --images-per-class 2 --classes 5

Writes train_NAME.csv and test_NAME.csv beside train.csv. With --draws 2, writes NAMEa and NAMEb, whose training images
are disjoint; the test images of each are all that it does not train on. With several numbers, a random fifth (here) of
the classes has each. With --classes, a folder DATA_NAME of its own gets that many random classes, with copies of their
images.
"""

import argparse
import shutil
import string
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common.classes import ImageClass
from data.table import read_table, write_classes, write_table


def main() -> None:
    """Cut by --seed: the same call writes the same tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the prepared folder")
    parser.add_argument("--name", required=True, help="of the tables")
    parser.add_argument("--images-per-class", required=True, help="for training: a number, or several with commas")
    parser.add_argument("--classes", type=int, help="how many classes to keep (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--draws", type=int, default=1, help="disjoint training tables (default: %(default)s)")
    flags = parser.parse_args()

    table = read_table(flags.data / "train.csv", flags.data / "train", flags.data / "classes.csv")
    generator = np.random.default_rng(flags.seed)
    counts = [int(text) for text in flags.images_per_class.split(",")]
    chosen = np.sort(generator.permutation(len(table.classes))[: flags.classes])
    count_of = dict(zip(generator.permutation(chosen).tolist(), counts * len(chosen), strict=False))
    drawn: list[tuple[list[int], list[int]]] = [([], []) for _ in range(flags.draws)]
    for label in chosen.tolist():
        rows, count = generator.permutation(np.flatnonzero(table.labels == label)), count_of[label]
        if len(rows) < flags.draws * count:
            raise SystemExit(
                f"error: class {table.classes[label].name} has {len(rows)} images; {flags.draws} disjoint draws of "
                f"{count} need {flags.draws * count}. Give fewer images a class."
            )
        for draw, (train, test) in enumerate(drawn):
            own = slice(draw * count, (draw + 1) * count)
            train.extend(rows[own].tolist())
            test.extend(np.delete(rows, own).tolist())

    folder = flags.data
    if flags.classes:
        folder = flags.data.with_name(f"{flags.data.name}_{flags.name}")
        (folder / "train").mkdir(parents=True, exist_ok=True)
        old = [table.classes[label] for label in chosen]
        write_classes(folder / "classes.csv", [ImageClass(k, c.category_id, c.name) for k, c in enumerate(old)])
        for row in [*drawn[0][0], *drawn[0][1]]:
            shutil.copy(table.image_dir / table.image_ids[row], folder / "train" / table.image_ids[row])
    for draw, tables in enumerate(drawn):
        suffix = "" if flags.draws == 1 else string.ascii_lowercase[draw]
        for name, rows in zip(("train", "test"), tables, strict=True):
            path = folder / f"{name}_{flags.name}{suffix}.csv"
            write_table(path, [table.image_ids[row] for row in rows], np.searchsorted(chosen, table.labels[rows]))
            print(f"{path}: {len(rows)} images of {len(chosen)} classes")


if __name__ == "__main__":
    main()
