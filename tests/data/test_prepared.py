"""A data set with a validation table of its own: what trains, what validates, and what is refused."""

import numpy as np
import pytest

from common.errors import InputError
from configs.compose import compose
from data.labelled import read_labelled
from data.prepare import Request, prepare_data
from data.prepared import load_table
from data.split import copies_in_training, split_table
from tests.conftest import stripes, write_picture

pytestmark = pytest.mark.integration


@pytest.fixture
def root(tmp_path):
    for part, count in {"train": 4, "val": 2, "test": 1}.items():
        for seed, name in enumerate(("rose", "tulip")):
            (tmp_path / "source" / part / name).mkdir(parents=True)
            for number in range(count):
                picture = stripes(seed, 10 * len(part) + number)
                write_picture(tmp_path / "source" / part / name / f"{number}.png", picture)
    prepare_data(Request(tmp_path / "source", tmp_path / "set"))
    return tmp_path / "set"


def config_of(root, *overrides):
    return compose("config", ["dataset.source=folder", f"dataset.root='{root.as_posix()}'", *overrides]).dataset


def ids_of(table, rows):
    return sorted(table.image_ids[row] for row in rows)


def test_val_csv_is_the_validation_part_and_nothing_of_it_trains(root):
    table = load_table(config_of(root))
    split = split_table(table, config_of(root), seed=1)
    assert ids_of(table, split.val) == ["val/rose/0.png", "val/rose/1.png", "val/tulip/0.png", "val/tulip/1.png"]
    assert all(image_id.startswith("train/") for image_id in ids_of(table, split.train))
    assert len(split.train) == 8
    assert all((table.image_dir / image_id).is_file() for image_id in table.image_ids)


def test_a_test_part_is_taken_from_the_others(root):
    config = config_of(root, "dataset.test_split=0.25")
    table = load_table(config)
    split = split_table(table, config, seed=1)
    assert len(split.val) == 4
    assert len(split.test) > 0
    assert not set(split.test) & (set(split.val) | set(split.train))


def test_merged_it_is_split_like_any_other_table(root):
    config = config_of(root, "dataset.val_csv=merge", "dataset.val_split=0.5")
    table = load_table(config)
    split = split_table(table, config, seed=1)
    assert (len(table.image_ids), len(split.val)) == (12, 6)
    assert {image_id.split("/")[0] for image_id in ids_of(table, split.train)} == {"train", "val"}


def test_another_training_table_leaves_val_csv_alone(root):
    (root / "few.csv").write_text("image_id,label\nrose/0.png,0\ntulip/0.png,1\n", encoding="utf-8")
    assert load_table(config_of(root, f"dataset.train_csv='{root.as_posix()}/few.csv'")).val_rows is None


def test_copies_of_training_images_in_validation_are_counted(root):
    table = load_table(config_of(root))
    split = split_table(table, config_of(root), seed=1)
    groups = np.arange(len(table.image_ids))
    groups[split.val[0]] = groups[split.train[0]]
    assert copies_in_training(split, groups) == 1


def test_the_test_table_is_read_by_its_folder(root):
    table = read_labelled(root / "test.csv")
    assert table.image_dir == root / "test"
    assert list(table.image_ids) == ["rose/0.png", "tulip/0.png"]


@pytest.mark.parametrize(
    ("value", "message"),
    [("nowhere.csv", "dataset.val_csv=nowhere.csv: not found"), ("merge", "there is no .*val.csv to merge")],
)
def test_a_missing_table_is_named(root, value, message):
    (root / "val.csv").unlink()
    with pytest.raises(InputError, match=message):
        load_table(config_of(root, f"dataset.val_csv={value}"))


def test_an_image_in_both_tables_is_refused(root):
    text = (root / "train.csv").read_text(encoding="utf-8")
    (root / "held.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"8 of its images are training images too, such as rose/0\.png"):
        load_table(config_of(root, f"dataset.val_csv='{root.as_posix()}/held.csv'"))
