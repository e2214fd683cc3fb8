"""Stratified splits that depend on the seed and the images' names alone, not on the order of the table."""

from dataclasses import dataclass

import numpy as np

from configs.errors import InputError
from configs.schema import DatasetConfig
from data.keyed import Purpose, keyed_generator
from data.table import ImageTable


@dataclass(frozen=True)
class Split:
    """Row numbers of a table, sorted: `train` and `val` are disjoint and together all rows. int64."""

    train: np.ndarray
    val: np.ndarray


def split_table(table: ImageTable, config: DatasetConfig, seed: int) -> Split:
    """Split by `config.fold` if set, else by `config.val_split`. A class with one image always stays in training."""
    if config.fold is not None:
        val = _fold_rows(table, config.num_folds, config.fold, seed)
    elif config.val_split == 0:
        val = np.empty(0, dtype=np.int64)
    else:
        val = _held_back_rows(table, config.val_split, seed)
        if len(val) == 0:
            raise InputError(
                f"dataset.val_split={config.val_split:g}: holds back no image of {len(table.image_ids)}. "
                "Give a larger share, or 0 to train on everything."
            )
    train = np.setdiff1d(np.arange(len(table.image_ids)), val)
    return Split(train=train, val=np.sort(val))


def _held_back_rows(table: ImageTable, share: float, seed: int) -> np.ndarray:
    """Hold back `share` of each class, rounded so that the whole comes nearest to `share` of all images.

    The rounding is by largest remainder; every class keeps at least one image for training.
    """
    rows_by_class = _shuffled_rows_by_class(table, seed)
    exact = np.array([len(rows) * share for rows in rows_by_class])
    counts = np.floor(exact).astype(np.int64)
    missing = round(exact.sum()) - counts.sum()
    for index in np.argsort(-(exact - counts), kind="stable")[:missing]:
        counts[index] += 1
    counts = np.minimum(counts, [max(len(rows) - 1, 0) for rows in rows_by_class])
    return np.concatenate([rows[:count] for rows, count in zip(rows_by_class, counts, strict=True)])


def _fold_rows(table: ImageTable, num_folds: int, fold: int, seed: int) -> np.ndarray:
    """Deal each class's images out to the folds in turn, going on from class to class so that folds are equal."""
    rows_by_class = [rows for rows in _shuffled_rows_by_class(table, seed) if len(rows) > 1]
    dealt = np.concatenate([*rows_by_class, np.empty(0, dtype=np.int64)])
    val = dealt[fold::num_folds]
    if len(val) == 0:
        raise InputError(f"dataset.fold={fold}: the fold is empty; dataset.num_folds={num_folds} is too many.")
    return val


def _shuffled_rows_by_class(table: ImageTable, seed: int) -> list[np.ndarray]:
    by_name = np.array(sorted(range(len(table.image_ids)), key=table.image_ids.__getitem__), dtype=np.int64)
    shuffled = []
    for image_class in table.classes:
        rows = by_name[table.labels[by_name] == image_class.label]
        shuffled.append(keyed_generator(seed, Purpose.SPLIT, image_class.label).permutation(rows))
    return shuffled
