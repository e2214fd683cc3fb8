"""Splits: stratified, complete, and a function of the seed and the names alone."""

from pathlib import Path

import numpy as np
import pytest

from common.classes import ImageClass
from common.errors import InputError
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
