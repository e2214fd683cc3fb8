"""Stratified splits that depend on the seed and the image names alone, not on the order of the table."""

from collections import Counter
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
    by_name = _rows_by_name(table) if needs_groups(config) else rows
    by_name = by_name[~np.isin(groups[by_name], groups[val])]
    if config.test_split > 0:
        shuffled = _shuffled_rows_by_class(table, by_name, Purpose.TEST_SPLIT, _TEST_SEED)
        test = _held_back_rows(table, shuffled, config.test_split, groups)
        _check_held_back("dataset.test_split", config.test_split, test, table)
    rest = _shuffled_rows_by_class(table, by_name[~np.isin(by_name, test)], Purpose.SPLIT, seed)
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
    lacking = np.minimum(counts, [max(len(rows) - 1, 0) for rows in shuffled]).tolist()
    order = np.concatenate(shuffled)
    members = _members(order, groups)
    considered: set[int] = set()
    held_back: list[int] = []
    for row, group, label in zip(order.tolist(), groups[order].tolist(), table.labels[order].tolist(), strict=True):
        if lacking[label] == 0 or group in considered:
            continue
        together = members.get(group)
        if together is None:
            lacking[label] -= 1
            held_back.append(row)
            continue
        considered.add(group)
        needed = Counter(table.labels[together].tolist())
        if all(count <= lacking[other] for other, count in needed.items()):
            for other, count in needed.items():
                lacking[other] -= count
            held_back.extend(together)
    return np.array(held_back, dtype=np.int64)


def _fold_rows(shuffled: list[np.ndarray], num_folds: int, fold: int, groups: np.ndarray) -> np.ndarray:
    """Deal the images of each class to the folds in turn, continuing from class to class, so that folds are equal.

    A group goes to the fold of its first image.
    """
    dealt = np.concatenate([*(rows for rows in shuffled if len(rows) > 1), np.empty(0, dtype=np.int64)])
    _, first, group = np.unique(groups[dealt], return_index=True, return_inverse=True)
    val = dealt[first[group] % num_folds == fold]
    if len(val) == 0:
        raise InputError(f"dataset.fold={fold}: the fold is empty; dataset.num_folds={num_folds} is too many.")
    return val


def _members(rows: np.ndarray, groups: np.ndarray) -> dict[int, list[int]]:
    """Return the rows of each group that has several, in the order of `rows`."""
    numbers, group, counts = np.unique(groups[rows], return_inverse=True, return_counts=True)
    several = rows[counts[group] > 1]
    members: dict[int, list[int]] = {int(number): [] for number in numbers[counts > 1]}
    for row, number in zip(several.tolist(), groups[several].tolist(), strict=True):
        members[number].append(row)
    return members


def _rows_by_name(table: ImageTable) -> np.ndarray:
    names = list(table.image_ids)
    return np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)


def _shuffled_rows_by_class(table: ImageTable, by_name: np.ndarray, purpose: Purpose, seed: int) -> list[np.ndarray]:
    labels = table.labels[by_name]
    by_class = by_name[np.argsort(labels, kind="stable")]
    ends = np.cumsum(np.bincount(labels, minlength=len(table.classes)))
    return [
        keyed_generator(seed, purpose, label).permutation(of_class)
        for label, of_class in enumerate(np.split(by_class, ends[:-1]))
    ]
