"""The parts of a prepared data set as tables of their own: train, val, test, and two halves of val."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.files import check_writable_folder
from common.randomness import Purpose, keyed_generator
from configs.schema import Config
from data.duplicates import duplicate_groups
from data.prepared import load_table
from data.split import needs_groups, split_table
from data.table import ImageTable, write_table


@dataclass(frozen=True)
class Parts:
    """The numbers of images of the tables that were written, and the config keys with which a run uses them."""

    images: dict[str, int]
    keys: list[str]


def write_parts(config: Config, test_folder: bool = False) -> Parts:
    """Write `part_train.csv`, `part_val.csv` and `part_test.csv`, as a run of this config divides the images.

    `part_choose.csv` and `part_confirm.csv` are the halves of val, by class: one to choose by, one to confirm with. The
    tables stand beside train.csv; an empty part has none. A val.csv of the data stays the validation table. With
    `test_folder`, the test images are in the folder `part_test` too, as hard links where the disk allows it. Raises
    InputError if there are no validation images, or the data are not in one prepared folder.
    """
    root = Path(config.dataset.root)
    check_writable_folder(root)
    # a decision may be undone, so that no table may hold it; whoever reads the parts applies corrections.csv
    table = load_table(config.dataset, as_given=True)
    own_val = table.val_rows is not None
    if table.image_dir.resolve() != (root if own_val else root / "train").resolve():
        raise InputError(f"{root}: its images lie in {table.image_dir}; prepare-data puts all into one folder.")
    groups = duplicate_groups(table, root) if needs_groups(config.dataset) else None
    split = split_table(table, config.dataset, config.seed, groups)
    if not len(split.val):
        raise InputError("There are no validation images to choose by: raise dataset.val_split.")
    choose, confirm = _halves(table, split.val, config.seed)
    parts = {"train": split.train, "test": split.test, "choose": choose, "confirm": confirm}
    parts |= {} if own_val else {"val": split.val}
    for name, rows in parts.items():
        path = root / f"part_{name}.csv"
        path.unlink(missing_ok=True)
        if len(rows):
            ids = [table.image_ids[row] for row in rows]
            if own_val and name in ("train", "test"):
                # images of a training table are searched in train/
                ids = [image_id.removeprefix("train/") for image_id in ids]
            write_table(path, ids, table.labels[rows].tolist())
    if test_folder:
        _link_images(table, split.test, root / "part_test")
    val = root / ("val.csv" if own_val else "part_val.csv")
    keys = [f"dataset.root={root}", f"dataset.train_csv={root / 'part_train.csv'}", f"dataset.val_csv={val}"]
    return Parts({**{name: len(rows) for name, rows in parts.items()}, "val": len(split.val)}, keys)


def _link_images(table: ImageTable, rows: np.ndarray, folder: Path) -> None:
    """Put the images of the rows into a folder of their own."""
    shutil.rmtree(folder, ignore_errors=True)
    for row in rows.tolist():
        source, target = table.image_dir / table.image_ids[row], folder / table.image_ids[row].removeprefix("train/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            # Windows deletes no file that is read only
            continue
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)


def _halves(table: ImageTable, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Deal the images of each class to two halves in turn, going on from class to class."""
    order = keyed_generator(seed, Purpose.HALVES).permutation(rows)
    by_class = order[np.argsort(table.labels[order], kind="stable")]
    return np.sort(by_class[::2]), np.sort(by_class[1::2])
