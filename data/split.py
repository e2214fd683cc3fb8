"""Stratified splits that depend on the seed and the image names alone, not on the order of the table."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from common.errors import InputError
from common.randomness import Purpose, keyed_generator
from configs.schema import DatasetConfig
from data.table import ImageTable

# the test part is the same for every seed, so that models of several seeds can be measured on it together
_TEST_SEED = 0


@dataclass(frozen=True)
class Split:
    """Row numbers of a table, sorted: `train`, `val` and `test` are disjoint and together all rows. int64."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def needs_groups(config: DatasetConfig) -> bool:
    """Say whether images are held back, so that near-duplicates must be known."""
    return config.fold is not None or config.val_split > 0 or config.test_split > 0


def split_table(table: ImageTable, config: DatasetConfig, seed: int, groups: np.ndarray | None = None) -> Split:
    """Hold back `config.test_split` of all images, then fold `config.fold` of the rest or `config.val_split` of all.

    Images that a table of their own holds back (`table.val_rows`) are the validation part in place of `val_split`; then
    `test_split` is taken from the others. A fold is taken from all images.

    `groups` int (N,) gives images of the same picture the same number; they stay on one side. A class with one image
    always stays in training. Raises InputError if a requested part would be empty.
    """
    rows = np.arange(len(table.image_ids))
    groups = rows if groups is None else groups
    test = val = np.empty(0, dtype=np.int64)
    if table.val_rows is not None and config.fold is None:
        val = table.val_rows
    free = rows[~np.isin(groups, groups[val])]
    if config.test_split > 0:
        shuffled = _shuffled_rows_by_class(table, free, Purpose.TEST_SPLIT, _TEST_SEED)
        test = _held_back_rows(table, shuffled, config.test_split, groups)
        _check_held_back("dataset.test_split", config.test_split, test, table)
    rest = _shuffled_rows_by_class(table, np.setdiff1d(free, test), Purpose.SPLIT, seed)
    if config.fold is not None:
        val = _fold_rows(rest, config.num_folds, config.fold, groups)
    elif not len(val) and config.val_split > 0:
        val = _held_back_rows(table, rest, config.val_split, groups)
        _check_held_back("dataset.val_split", config.val_split, val, table)
    train = np.setdiff1d(rows, np.concatenate([val, test]))
    return Split(train=train, val=np.sort(val), test=np.sort(test))


def copies_in_training(split: Split, groups: np.ndarray) -> int:
    """Return how many validation images show the picture of a training image."""
    return int(np.isin(groups[split.val], groups[split.train]).sum())


def _check_held_back(key: str, share: float, held_back: np.ndarray, table: ImageTable) -> None:
    if len(held_back) == 0:
        raise InputError(
            f"{key}={share:g}: holds back no image of {len(table.image_ids)}. "
            "Give a larger share, or 0 to train on everything."
        )


def _held_back_rows(table: ImageTable, shuffled: list[np.ndarray], share: float, groups: np.ndarray) -> np.ndarray:
    """Hold back about `share` of the images of each class, and as near as possible to `share` of all.

    Rounding is by largest remainder. Every class keeps at least one of its `shuffled` images in training. A group that
    does not fit into what its classes still need stays in training.
    """
    exact = np.bincount(table.labels, minlength=len(shuffled)) * share
    counts = np.floor(exact).astype(np.int64)
    missing = round(exact.sum()) - counts.sum()
    for index in np.argsort(-(exact - counts), kind="stable")[:missing]:
        counts[index] += 1
    lacking = np.minimum(counts, [max(len(rows) - 1, 0) for rows in shuffled])
    members = _members(np.concatenate(shuffled), groups)
    held_back: list[int] = []
    for row in (row for rows in shuffled for row in rows.tolist()):
        group = members.get(int(groups[row]), [])
        if not group or lacking[table.labels[row]] == 0:
            continue
        needed = np.bincount(table.labels[group], minlength=len(lacking))
        del members[int(groups[row])]
        if (needed <= lacking).all():
            lacking -= needed
            held_back.extend(group)
    return np.array(held_back, dtype=np.int64)


def _fold_rows(shuffled: list[np.ndarray], num_folds: int, fold: int, groups: np.ndarray) -> np.ndarray:
    """Deal the images of each class to the folds in turn, continuing from class to class, so that folds are equal.

    A group goes to the fold of its first image.
    """
    dealt = np.concatenate([*(rows for rows in shuffled if len(rows) > 1), np.empty(0, dtype=np.int64)])
    fold_of: dict[int, int] = {}
    for place, row in enumerate(dealt.tolist()):
        fold_of.setdefault(int(groups[row]), place % num_folds)
    val = np.array([row for row in dealt.tolist() if fold_of[int(groups[row])] == fold], dtype=np.int64)
    if len(val) == 0:
        raise InputError(f"dataset.fold={fold}: the fold is empty; dataset.num_folds={num_folds} is too many.")
    return val


def _members(rows: Iterable[int], groups: np.ndarray) -> dict[int, list[int]]:
    members: dict[int, list[int]] = {}
    for row in rows:
        members.setdefault(int(groups[row]), []).append(int(row))
    return members


def _shuffled_rows_by_class(table: ImageTable, rows: np.ndarray, purpose: Purpose, seed: int) -> list[np.ndarray]:
    by_name = np.array(sorted(rows.tolist(), key=table.image_ids.__getitem__), dtype=np.int64)
    shuffled = []
    for image_class in table.classes:
        of_class = by_name[table.labels[by_name] == image_class.label]
        shuffled.append(keyed_generator(seed, purpose, image_class.label).permutation(of_class))
    return shuffled
