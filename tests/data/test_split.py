"""Splits: stratified, complete, and a function of the seed and the names alone."""

from pathlib import Path

import numpy as np
import pytest

from common.classes import ImageClass
from common.errors import InputError
from common.randomness import Purpose, keyed_generator
from data.split import split_table
from data.table import ImageTable
from tests.helpers import dataset_config


def table_of(counts, order=None):
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(labels)) if order is None else np.random.default_rng(order).permutation(len(labels))
    ids = [f"{row:04d}.jpg" for row in rows]
    return ImageTable(ids, labels[rows], [ImageClass(k, str(k), str(k)) for k in range(len(counts))], Path())


def counts_of(table, rows):
    return np.bincount(table.labels[rows], minlength=len(table.classes)).tolist()


def test_each_class_gives_its_share():
    table = table_of([40, 20, 10])
    split = split_table(table, dataset_config(val_split=0.2), seed=1)
    assert counts_of(table, split.val) == [8, 4, 2]
    assert sorted([*split.train, *split.val]) == list(range(70))


def test_the_whole_comes_nearest_to_the_share():
    # 0.2 of 4 is 0.8 in each of five classes: four images in all, not zero and not five
    table = table_of([4] * 5)
    assert len(split_table(table, dataset_config(val_split=0.2), seed=1).val) == 4


def test_a_class_with_one_image_stays_in_training():
    table = table_of([1, 1, 10])
    for seed in range(10):
        assert counts_of(table, split_table(table, dataset_config(val_split=0.5), seed).val)[:2] == [0, 0]


def test_the_split_depends_on_names_not_on_the_order_of_the_table():
    first, second = table_of([20, 20]), table_of([20, 20], order=3)
    names = [
        {table.image_ids[row] for row in split_table(table, dataset_config(val_split=0.3), seed=5).val}
        for table in (first, second)
    ]
    assert names[0] == names[1]


def test_the_split_depends_on_the_seed():
    table = table_of([20, 20])
    splits = [split_table(table, dataset_config(val_split=0.3), seed).val.tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_zero_holds_nothing_back():
    split = split_table(table_of([5, 5]), dataset_config(val_split=0.0), seed=0)
    assert (len(split.train), len(split.val)) == (10, 0)


def test_a_share_that_holds_nothing_back_is_refused():
    with pytest.raises(InputError, match=r"dataset\.val_split=0\.01: holds back no image of 10"):
        split_table(table_of([5, 5]), dataset_config(val_split=0.01), seed=0)


def test_folds_cover_every_image_once_and_are_stratified():
    table = table_of([10, 15, 20])
    folds = [split_table(table, dataset_config(num_folds=5, fold=fold), seed=2).val for fold in range(5)]
    assert sorted(np.concatenate(folds)) == list(range(45))
    assert all(counts_of(table, fold) == [2, 3, 4] for fold in folds)


def test_more_folds_than_images_are_refused():
    with pytest.raises(InputError, match="the fold is empty"):
        split_table(table_of([2, 2]), dataset_config(num_folds=50, fold=40), seed=0)


def reference_order(table, rows, purpose, seed):
    """Return the rows of each class in the order in which they are held back, by one pass for each class."""
    by_name = sorted(rows, key=lambda row: table.image_ids[row])
    return [
        keyed_generator(seed, purpose, label).permutation([row for row in by_name if table.labels[row] == label])
        for label in range(len(table.classes))
    ]


def reference_held_back(table, shuffled, share, groups):
    """Hold back whole groups, one after another, with one count of all classes for each."""
    exact = np.bincount(table.labels, minlength=len(shuffled)) * share
    counts = np.floor(exact).astype(int)
    for index in np.argsort(-(exact - counts), kind="stable")[: round(exact.sum()) - counts.sum()]:
        counts[index] += 1
    lacking = np.minimum(counts, [max(len(rows) - 1, 0) for rows in shuffled])
    order = [int(row) for rows in shuffled for row in rows]
    held_back, considered = [], set()
    for row in order:
        if groups[row] in considered or lacking[table.labels[row]] == 0:
            continue
        considered.add(groups[row])
        together = [other for other in order if groups[other] == groups[row]]
        needed = np.bincount(table.labels[together], minlength=len(lacking))
        if (needed <= lacking).all():
            lacking -= needed
            held_back += together
    return sorted(held_back)


@pytest.mark.parametrize("seed", range(6))
def test_the_split_is_that_of_a_plain_reference(seed):
    generator = np.random.default_rng(seed)
    table = table_of(generator.integers(0, 25, 12), order=seed)
    # few groups of many images, many of few, and numbers with gaps
    groups = generator.integers(0, (20, 60, 200)[seed % 3], len(table.labels)) * 7
    split = split_table(table, dataset_config(test_split=0.2, val_split=0.3), seed, groups)
    everything = range(len(table.labels))
    test = reference_held_back(table, reference_order(table, everything, Purpose.TEST_SPLIT, 0), 0.2, groups)
    rest = reference_order(table, [row for row in everything if row not in test], Purpose.SPLIT, seed)
    assert split.test.tolist() == test
    assert split.val.tolist() == reference_held_back(table, rest, 0.3, groups)


@pytest.mark.parametrize("seed", range(3))
def test_a_fold_is_that_of_a_plain_reference(seed):
    table = table_of(np.random.default_rng(seed).integers(0, 25, 12), order=seed)
    groups = np.random.default_rng(seed).integers(0, 80, len(table.labels))
    dealt = [row for rows in reference_order(table, range(len(groups)), Purpose.SPLIT, seed) for row in rows]
    alone = np.bincount(table.labels, minlength=12) == 1
    fold_of = {}
    for place, row in enumerate(row for row in dealt if not alone[table.labels[row]]):
        fold_of.setdefault(groups[row], place % 4)
    expected = [row for row in sorted(dealt) if not alone[table.labels[row]] and fold_of[groups[row]] == 2]
    assert split_table(table, dataset_config(fold=2, num_folds=4), seed, groups).val.tolist() == expected
