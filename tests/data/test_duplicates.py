"""Near-duplicates: copies are found whatever was done to them, other photographs are not, and splits respect both."""

# a None where a value should be fails the test like any other fault
# pyright: reportArgumentType=false

import cv2
import numpy as np
import pytest

from common.classes import ImageClass
from common.csv_files import write_rows
from data.duplicates import (
    HASHES_FILE,
    connected_components,
    duplicate_groups,
    image_hashes,
    near_duplicates,
    perceptual_hash,
)
from data.split import split_table
from data.table import ImageTable, read_table
from tests.conftest import write_picture, write_pictures
from tests.helpers import dataset_config


def photograph(seed: int, size: int = 160) -> np.ndarray:
    """Draw smooth random colours, uint8 RGB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


CHANGES = {
    "smaller": lambda image: cv2.resize(image, (80, 80), interpolation=cv2.INTER_AREA),
    "compressed": lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1),
    "brighter": lambda image: (image * 0.8 + 40).astype(np.uint8),
    "noisy": lambda image: (image + np.random.default_rng(0).normal(0, 5, image.shape)).clip(0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES, ids=list(CHANGES))
def test_a_changed_copy_is_a_near_duplicate(change):
    image = photograph(1)
    assert near_duplicates([perceptual_hash(image), perceptual_hash(CHANGES[change](image))])


def test_different_pictures_are_not():
    assert near_duplicates([perceptual_hash(photograph(seed)) for seed in range(40)]) == []


def test_pairs_across_blocks_are_found():
    hashes = [perceptual_hash(photograph(seed, 64)) for seed in range(600)]
    assert [pair[:2] for pair in near_duplicates([*hashes, hashes[3]])] == [(3, 600)]


def test_groups_are_joined_through_a_third_image():
    assert connected_components(5, [(0, 1), (3, 4), (1, 3)]).tolist() == [0, 0, 2, 0, 0]


def photographs(root, copies=()):
    """Write 20 photographs of two classes and copies of some, as (image, label of the copy); return the table."""
    write_pictures(root, [1, 1])
    rows = []
    for number in range(20):
        write_picture(root / "train" / f"{number:02d}.png", photograph(number))
        rows.append((f"{number:02d}.png", number % 2))
    for number, label in copies:
        write_picture(root / "train" / f"copy_{number:02d}.jpg", photograph(number))
        rows.append((f"copy_{number:02d}.jpg", label))
    write_rows(root / "train.csv", ("image_id", "label"), rows)
    return read_table(root / "train.csv", root / "train")


def test_hashes_are_kept_and_a_changed_file_is_read_again(tmp_path, monkeypatch):
    table = photographs(tmp_path)
    first = image_hashes(table, tmp_path)
    monkeypatch.setattr("data.duplicates.read_image", lambda path: pytest.fail(f"{path} was read again"))
    assert image_hashes(table, tmp_path) == first
    monkeypatch.undo()
    write_picture(tmp_path / "train" / "03.png", photograph(99, 200))
    assert image_hashes(table, tmp_path)["03.png"] != first["03.png"]


@pytest.mark.parametrize(
    "content", ["", "\0", "image_id,bytes,hash\n00.png,x,y\n", "image_id,bytes,hash\n00.png,1,zz\n"]
)
def test_a_damaged_cache_is_replaced(tmp_path, content):
    table = photographs(tmp_path)
    (tmp_path / HASHES_FILE).write_text(content, encoding="utf-8")
    assert len(image_hashes(table, tmp_path)) == 20


def test_an_unreadable_image_has_no_hash_and_a_group_of_its_own(tmp_path):
    table = photographs(tmp_path)
    (tmp_path / "train" / "05.png").write_bytes(b"no image")
    assert "05.png" not in image_hashes(table, tmp_path)
    assert len(set(duplicate_groups(table, tmp_path).tolist())) == 20


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_never_on_both_sides(tmp_path, seed):
    copies = [(number, (number + (number > 6)) % 2) for number in range(10)]
    table = photographs(tmp_path, copies)
    groups = duplicate_groups(table, tmp_path)
    for config in (dataset_config(val_split=0.3, test_split=0.2), dataset_config(fold=1, num_folds=3, test_split=0.2)):
        split = split_table(table, config, seed, groups)
        parts = [set(groups[rows].tolist()) for rows in (split.train, split.val, split.test)]
        assert all(parts)
        assert len(set.union(*parts)) == sum(map(len, parts))
        assert sorted([*split.train, *split.val, *split.test]) == list(range(30))


def test_pairs_that_a_user_adds_are_kept_together(tmp_path):
    table = photographs(tmp_path)
    write_rows(tmp_path / "duplicates.csv", ("image_id", "other_id"), [("00.png", "02.png"), ("02.png", "gone.png")])
    groups = duplicate_groups(table, tmp_path)
    assert groups[0] == groups[2]
    assert len(set(groups.tolist())) == 19


def test_the_test_part_does_not_depend_on_the_seed():
    labels = np.repeat(np.arange(4), 20)
    classes = [ImageClass(label, str(label), str(label)) for label in range(4)]
    table = ImageTable([f"{row}.jpg" for row in range(80)], labels, classes, None)
    config = dataset_config(val_split=0.25, test_split=0.25)
    first, second = (split_table(table, config, seed) for seed in (0, 1))
    assert np.array_equal(first.test, second.test)
    assert not np.array_equal(first.val, second.val)
    assert [np.bincount(labels[rows]).tolist() for rows in (first.val, first.test)] == [[5] * 4] * 2
