"""flower_cli.py split: the parts of a data set as tables."""

import shutil

import pytest

from data.table import read_table
from tests.conftest import write_pictures
from tests.helpers import run_script


def ids_of(root, part):
    table = read_table(root / f"part_{part}.csv", root / "train", root / "classes.csv")
    return dict(zip(table.image_ids, table.labels.tolist(), strict=True))


def split(root, *words):
    return run_script("cli/flower_cli.py", "split", f"dataset.root={root}", *words)


@pytest.fixture
def prepared(tmp_path):
    root = tmp_path / "data"
    write_pictures(root, [12, 12, 12, 12])
    return root


def test_the_parts_are_disjoint_and_halve_the_validation(prepared):
    done = split(prepared, "dataset.val_split=0.25", "dataset.test_split=0.25")
    assert done.returncode == 0, done.stderr
    assert "24 images for training, 12 for validation" in done.stdout
    parts = {name: ids_of(prepared, name) for name in ("train", "val", "test", "choose", "confirm")}
    assert parts["choose"].keys() | parts["confirm"].keys() == parts["val"].keys()
    assert not parts["choose"].keys() & parts["confirm"].keys()
    together = [*parts["train"], *parts["val"], *parts["test"]]
    assert len(together) == len(set(together)) == 48
    # each half knows each class
    assert set(parts["choose"].values()) == set(parts["confirm"].values()) == {0, 1, 2, 3}


def test_the_parts_are_those_of_a_run(prepared, tmp_path):
    keys = ("dataset.val_split=0.25", "dataset.test_split=0.25", "seed=7")
    split(prepared, *keys)
    first = {name: ids_of(prepared, name) for name in ("train", "val", "test")}
    assert split(prepared, *keys[:2], "seed=8").returncode == 0
    second = {name: ids_of(prepared, name) for name in ("train", "val", "test")}
    # the test part is the same for every seed
    assert (first["test"] == second["test"], first["val"] == second["val"]) == (True, False)


def test_a_validation_table_of_the_data_stays(prepared):
    (prepared / "val").mkdir()
    rows = (prepared / "train.csv").read_text("utf-8").splitlines()
    moved = rows[1:9]
    for row in moved:
        shutil.move(prepared / "train" / row.split(",")[0], prepared / "val" / row.split(",")[0])
    (prepared / "train.csv").write_text("\n".join([rows[0], *rows[9:]]) + "\n", encoding="utf-8")
    (prepared / "val.csv").write_text("\n".join([rows[0], *moved]) + "\n", encoding="utf-8")
    done = split(prepared, "dataset.test_split=0.25")
    assert done.returncode == 0, done.stderr
    assert f"dataset.val_csv={prepared / 'val.csv'}" in done.stdout
    assert not (prepared / "part_val.csv").exists()
    assert not ids_of(prepared, "train").keys() & {row.split(",")[0] for row in moved}
    assert (prepared / "part_choose.csv").read_text("utf-8").splitlines()[1].startswith("val/")


def test_the_test_images_get_a_folder_of_their_own(prepared):
    done = split(prepared, "--test-folder", "dataset.test_split=0.25")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (prepared / "part_test").iterdir()} == set(ids_of(prepared, "test"))


def test_without_validation_images_nothing_is_written(prepared):
    done = split(prepared, "dataset.val_split=0")
    assert (done.returncode, "no validation images to choose by" in done.stderr) == (2, True)
    assert not list(prepared.glob("part_*"))
