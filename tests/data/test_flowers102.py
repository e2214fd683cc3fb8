"""torchvision's Flowers102 becomes a prepared data set; tried on a small imitation of its files."""

import numpy as np
import pytest
from scipy.io import savemat
from torchvision.datasets import Flowers102

from common.errors import InputError
from data.flowers102 import prepare_flowers102
from data.table import read_table
from tests.conftest import stripes, write_picture


def imitate_download(folder):
    jpg = folder / "flowers-102" / "jpg"
    jpg.mkdir(parents=True)
    for number in range(1, 9):
        write_picture(jpg / f"image_{number:05d}.jpg", stripes(number % 2, number))
    savemat(folder / "flowers-102" / "imagelabels.mat", {"labels": np.array([1, 2, 1, 2, 1, 2, 1, 2])})
    parts = {"trnid": [1, 2], "valid": [3, 4], "tstid": [5, 6, 7, 8]}
    savemat(folder / "flowers-102" / "setid.mat", {name: np.array(ids) for name, ids in parts.items()})


def test_parts_become_train_and_test(tmp_path, monkeypatch):
    imitate_download(tmp_path / "download")
    monkeypatch.setattr(Flowers102, "_check_integrity", lambda self: True)
    monkeypatch.setattr(Flowers102, "download", lambda self: None)
    prepare_flowers102(tmp_path)
    train = read_table(tmp_path / "train.csv", tmp_path / "train", tmp_path / "classes.csv")
    test = read_table(tmp_path / "test.csv", tmp_path / "test", tmp_path / "classes.csv")
    assert train.image_ids == [f"image_{number:05d}.jpg" for number in (1, 2, 3, 4)]
    assert (train.labels.tolist(), len(test.image_ids), len(train.classes)) == ([0, 1, 0, 1], 4, 102)
    monkeypatch.setattr(Flowers102, "__init__", None)
    prepare_flowers102(tmp_path)


def test_without_a_network_it_says_what_to_do(tmp_path, monkeypatch):
    def fail(self):
        raise OSError("Name or service not known")

    monkeypatch.setattr(Flowers102, "download", fail)
    with pytest.raises(InputError, match=r"could not be downloaded from .*Put 102flowers\.tgz.*or try dataset=demo"):
        prepare_flowers102(tmp_path)
