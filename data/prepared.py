"""The table of images of the `dataset` section; demo images are drawn first, flowers102 is downloaded first."""

import dataclasses
from pathlib import Path

import numpy as np

from common.errors import InputError
from configs.schema import DatasetConfig
from data.corrected import corrected, joined_corrections, say_corrections
from data.image_ids import ImageIds
from data.named_files import folders_beside
from data.table import ImageTable, is_quick, read_table

MERGE = "merge"


def load_table(config: DatasetConfig, as_given: bool = False) -> ImageTable:
    """Return the labelled images of a data set; `demo` is drawn and `flowers102` downloaded at the first use.

    The labels are those of corrections.csv beside the table, which is said aloud, unless they are wanted `as_given`.
    """
    root = Path(config.root)
    if config.source == "demo":
        from data.demo import draw_demo

        draw_demo(root, config.demo.classes, config.demo.images_per_class, config.demo.image_size, config.demo.seed)
    elif config.source == "flowers102":
        from data.flowers102 import prepare_flowers102

        prepare_flowers102(root)
    train_csv, train_dir = _training_files(config)
    table = read_table(train_csv, train_dir, train_csv.parent / "classes.csv")
    if not as_given:
        table = corrected(table, train_csv, "train")
    val_csv = _val_csv(config, root)
    if val_csv is not None:
        val = read_table(val_csv, _image_dir(val_csv), train_csv.parent / "classes.csv")
        table = _join(table, val if as_given else corrected(val, val_csv), val_csv)
        if config.val_csv == MERGE:
            table = dataclasses.replace(table, val_rows=None)
    say_corrections(table)
    return table


def check_data(config: DatasetConfig) -> None:
    """Raise InputError as `load_table` for files that are not there, and for wrong tables if they are small.

    It is the look before the work, and needs no torch. Data that the first use draws or downloads are not looked at.
    """
    if config.source in ("demo", "flowers102"):
        return
    train_csv, _ = _training_files(config)
    val_csv = _val_csv(config, Path(config.root))
    if all(is_quick(path) for path in (train_csv, val_csv) if path is not None):
        load_table(config, as_given=True)


def _training_files(config: DatasetConfig) -> tuple[Path, Path]:
    """Return the training table and the folder of its images. Raises InputError if one is not there."""
    root, train_csv = Path(config.root), training_table(config)
    train_dir = Path(config.train_dir) if config.train_dir else root / "train"
    for path in (train_csv, train_dir):
        if not path.exists():
            raise InputError(
                f"{path}: not found. Prepare your images with 'python cli/flower_cli.py prepare-data --source <folder> "
                f"--output {root}', or try the kit with dataset=demo."
            )
    return train_csv, train_dir


def training_table(config: DatasetConfig) -> Path:
    """Return the path of the training table; classes.csv and corrections.csv stand beside it."""
    return Path(config.train_csv) if config.train_csv else Path(config.root) / "train.csv"


def _val_csv(config: DatasetConfig, root: Path) -> Path | None:
    """Return the table of validation images: the one that the config names, or val.csv beside the usual train.csv."""
    if config.val_csv not in (None, MERGE):
        path = Path(config.val_csv)
        if not path.is_file():
            raise InputError(f"dataset.val_csv={path}: not found.")
        return path
    usual = root / "val.csv"
    if usual.is_file() and (config.train_csv is None or config.val_csv == MERGE):
        return usual
    if config.val_csv == MERGE:
        raise InputError(f"dataset.val_csv={MERGE}: there is no {usual} to merge.")
    return None


def _image_dir(table: Path) -> Path:
    """Return the first folder where images of a table are searched that is there."""
    return next(folder for folder in folders_beside(table) if folder.is_dir())


def _join(train: ImageTable, val: ImageTable, val_csv: Path) -> ImageTable:
    """Return one table of both; where they lie in two folders, ids begin with these folders, such as `val/1.jpg`."""
    classes, needed = len(train.classes), len(val.classes)
    if needed > classes:
        raise InputError(f"{val_csv}: label {needed - 1} is not among the {classes} classes for training.")
    image_dir = _shared_folder(train.image_dir, val.image_dir, val_csv)
    first = [_prefix(train.image_dir, image_dir) + image_id for image_id in train.image_ids]
    second = [_prefix(val.image_dir, image_dir) + image_id for image_id in val.image_ids]
    both = set(first) & set(second)
    if both:
        raise InputError(f"{val_csv}: {len(both)} of its images are training images too, such as {min(both)}.")
    labels = np.concatenate([train.labels, val.labels])
    return ImageTable(
        image_ids=ImageIds([*first, *second]),
        labels=labels,
        classes=train.classes,
        image_dir=image_dir,
        val_rows=np.arange(len(first), len(labels)),
        corrections=joined_corrections(train, val),
    )


def _shared_folder(train_dir: Path, val_dir: Path, val_csv: Path) -> Path:
    """Return the deepest folder that holds both, by a path that begins like `train_dir`."""
    shared, below = train_dir, val_dir.resolve()
    while shared.resolve() != below and shared.resolve() not in below.parents:
        if shared.resolve().parent == shared.resolve():
            raise InputError(f"{val_csv}: its images lie on another disk than those for training, {train_dir}.")
        shared = shared.parent if shared != shared.parent else shared.resolve().parent
    return shared


def _prefix(folder: Path, shared: Path) -> str:
    relative = folder.resolve().relative_to(shared.resolve()).as_posix()
    return "" if relative == "." else f"{relative}/"
