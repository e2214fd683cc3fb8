"""Near-duplicates: copies are found whatever was done to them, other photographs are not, and splits respect both."""

# a None where a value should be fails the test like any other fault
# pyright: reportArgumentType=false

import cv2
import numpy as np
import pytest

from common.classes import ImageClass
from common.csv_files import read_rows, write_rows
from data.duplicates import (
    GROUPS_FILE,
    HASHES_FILE,
    MAX_DISTANCE,
    duplicate_groups,
    image_hashes,
    perceptual_hash,
)
from data.hamming_pairs import connected_components, near_pairs
from data.images import read_image
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
    assert len(near_pairs(np.stack([perceptual_hash(image), perceptual_hash(CHANGES[change](image))]), MAX_DISTANCE))


def test_different_pictures_are_not():
    assert len(near_pairs(np.stack([perceptual_hash(photograph(seed)) for seed in range(40)]), MAX_DISTANCE)) == 0


def test_groups_are_joined_through_a_third_image():
    assert connected_components(5, np.array([(0, 1), (3, 4), (1, 3)])).tolist() == [0, 0, 2, 0, 0]


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
    assert np.array_equal(image_hashes(table, tmp_path).words, first.words)
    monkeypatch.undo()
    write_picture(tmp_path / "train" / "03.png", photograph(99, 200))
    same = (image_hashes(table, tmp_path).words == first.words).all(axis=1)
    assert np.flatnonzero(~same).tolist() == [3]


def test_an_interrupted_search_keeps_its_hashes_and_those_of_other_images(tmp_path, monkeypatch):
    table = photographs(tmp_path)
    few = ImageTable(table.image_ids[:4], table.labels[:4], table.classes, table.image_dir)
    image_hashes(few, tmp_path)
    read = []

    def interrupted(path):
        read.append(path.name)
        if len(read) == 10:
            raise KeyboardInterrupt
        return read_image(path)

    monkeypatch.setattr("data.duplicates.read_image", interrupted)
    monkeypatch.setattr("data.duplicates._BLOCK", 1)
    with pytest.raises(KeyboardInterrupt):
        image_hashes(table, tmp_path)
    monkeypatch.undo()
    names = [row["image_id"] for row in read_rows(tmp_path / HASHES_FILE, [])]
    assert names[:4] == few.image_ids
    assert 4 < len(names) < 20


@pytest.mark.parametrize(
    "content", ["", "\0", "image_id,bytes,hash\n00.png,x,y\n", "image_id,bytes,hash\n00.png,1,zz\n"]
)
def test_a_damaged_cache_is_replaced(tmp_path, content):
    table = photographs(tmp_path)
    (tmp_path / HASHES_FILE).write_text(content, encoding="utf-8")
    assert len(image_hashes(table, tmp_path).rows) == 20


def test_an_unreadable_image_has_no_hash_and_a_group_of_its_own(tmp_path):
    table = photographs(tmp_path)
    (tmp_path / "train" / "05.png").write_bytes(b"no image")
    assert image_hashes(table, tmp_path).rows.tolist() == [row for row in range(20) if row != 5]
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


def test_groups_are_kept_until_a_hash_changes(tmp_path, monkeypatch):
    table = photographs(tmp_path, [(3, 0)])
    first = duplicate_groups(table, tmp_path)
    assert first[20] == 3
    monkeypatch.setattr("data.duplicates.near_groups", lambda *arguments: pytest.fail("searched again"))
    assert duplicate_groups(table, tmp_path).tolist() == first.tolist()
    monkeypatch.undo()
    write_picture(tmp_path / "train" / "copy_03.jpg", photograph(99, 200))
    assert duplicate_groups(table, tmp_path).tolist() == list(range(21))


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", None])
def test_a_damaged_cache_of_groups_is_replaced(tmp_path, content):
    table = photographs(tmp_path, [(3, 0)])
    duplicate_groups(table, tmp_path)
    path = tmp_path / GROUPS_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] if content is None else content)
    assert duplicate_groups(table, tmp_path)[20] == 3
    assert path.read_bytes() == whole


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
