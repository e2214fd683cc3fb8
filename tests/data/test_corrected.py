"""Tables with corrections.csv applied: every table of a folder that names the same photographs."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

from cli.prepare_data import describe
from common.errors import InputError
from configs.compose import compose
from data.corrections import DROP, KEEP, RELABEL, Decision, append_decisions
from data.labelled import read_labelled
from data.prepare import Request, prepare_data
from data.prepared import load_table
from data.table import write_table
from tests.conftest import stripes, write_picture, write_pictures
from tests.helpers import run_words
from tools.data_audit import Suspect, undecided

pytestmark = pytest.mark.integration

HOME = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path):
    write_pictures(tmp_path / "set", [4, 4, 4])
    return tmp_path / "set"


def config_of(root, *overrides):
    return compose("config", ["dataset.source=folder", f"dataset.root='{root.as_posix()}'", *overrides]).dataset


def labels_of(table):
    return {
        image_id: table.classes[label].category_id
        for image_id, label in zip(table.image_ids, table.labels, strict=True)
    }


def corrections_of(table):
    assert table.corrections is not None
    return table.corrections


def decide(root, *decisions):
    append_decisions(root, [Decision(*decision) for decision in decisions])


def test_labels_change_images_go_and_the_counts_are_said_once(root, capsys):
    decide(root, ("0000.png", RELABEL, 2), ("0001.png", DROP), ("0002.png", KEEP), ("0003.png", RELABEL, 0))
    before = (root / "train.csv").read_bytes()
    table = load_table(config_of(root))
    load_table(config_of(root))
    assert len(table.image_ids) == 11
    assert labels_of(table)["0000.png"] == "102"
    assert "0001.png" not in labels_of(table)
    # a relabel to the label that it has is a decision to keep it
    assert sorted(table.image_ids[row] for row in corrections_of(table).kept_rows) == ["0002.png", "0003.png"]
    said = capsys.readouterr().err
    assert said.count("corrections.csv: 1 label changed, 1 image dropped, 2 kept as they are.") == 1
    assert (root / "train.csv").read_bytes() == before
    assert (root / "train" / "0001.png").is_file()


def test_a_decision_to_keep_has_no_effect_and_others_have(root):
    decide(root, ("0002.png", KEEP))
    kept = corrections_of(load_table(config_of(root)))
    decide(root, ("0001.png", DROP))
    dropped = corrections_of(load_table(config_of(root)))
    assert kept.effect == ""
    assert dropped.effect
    assert kept.sha256 != dropped.sha256


def test_a_label_that_a_person_keeps_is_no_longer_doubtful(root):
    decide(root, ("0002.png", KEEP), ("0004.png", RELABEL, 0), ("0001.png", DROP))
    table = load_table(config_of(root))
    row_of = {image_id: row for row, image_id in enumerate(table.image_ids)}
    suspects = [Suspect(row_of[name], 0, 0.1, 0.9, "") for name in ("0004.png", "0002.png", "0003.png")]
    assert undecided(table, suspects) == [suspects[0], suspects[2]]


def test_other_tables_of_the_folder_follow_for_training_and_for_measuring(root):
    ids = ["0000.png", "0001.png", "0004.png"]
    write_table(root / "train_10a.csv", ids, [0, 1, 1])
    write_table(root / "part_val.csv", ["0002.png", "0005.png"], [2, 2])
    decide(root, ("0000.png", RELABEL, 2), ("0001.png", DROP), ("0005.png", RELABEL, 1))
    config = config_of(
        root,
        f"dataset.train_csv='{root.as_posix()}/train_10a.csv'",
        f"dataset.val_csv='{root.as_posix()}/part_val.csv'",
    )
    expected = {"0000.png": "102", "0004.png": "101"}
    table = load_table(config)
    assert labels_of(table) == {**expected, "0002.png": "102", "0005.png": "101"}
    assert table.val_rows is not None
    assert table.val_rows.tolist() == [2, 3]
    assert (corrections_of(table).changed, corrections_of(table).dropped) == (2, 1)
    assert labels_of(read_labelled(root / "train_10a.csv")) == expected
    assert len(read_labelled(root).image_ids) == 11


def test_a_table_with_category_ids_gets_the_id_of_the_new_class(root):
    (root / "test_a.csv").write_text("filename,category_id\n0000.png,100\n0001.png,101\n", encoding="utf-8")
    decide(root, ("0000.png", RELABEL, 2))
    assert labels_of(read_labelled(root / "test_a.csv")) == {"0000.png": "102", "0001.png": "101"}


def test_images_of_another_folder_with_the_same_name_are_other_photographs(root, capsys):
    (root / "test").mkdir()
    for name in ("0000.png", "0001.png"):
        write_picture(root / "test" / name, stripes(0, 99))
    write_table(root / "test.csv", ["0000.png", "0001.png"], [0, 1])
    decide(root, ("0000.png", RELABEL, 2))
    assert labels_of(read_labelled(root / "test.csv")) == {"0000.png": "100", "0001.png": "101"}
    assert "0 labels changed, 0 images dropped, 0 kept as they are of test.csv." in capsys.readouterr().err


def test_a_class_without_images_is_named(root, capsys):
    decide(root, *((f"{row:04d}.png", DROP) for row in (1, 4, 7, 10)))
    table = load_table(config_of(root))
    assert np.bincount(table.labels, minlength=3).tolist() == [4, 0, 4]
    assert "leaves no image of 花 1 (1)" in capsys.readouterr().err


def test_a_table_without_images_is_refused(root):
    decide(root, *((f"{row:04d}.png", DROP) for row in range(12)))
    with pytest.raises(InputError, match=r"corrections\.csv: drops all 12 images of train\.csv"):
        load_table(config_of(root))


def test_validation_images_in_their_own_folder_are_named_with_it(tmp_path):
    for part, count in {"train": 3, "val": 2}.items():
        for seed, name in enumerate(("rose", "tulip")):
            (tmp_path / "source" / part / name).mkdir(parents=True)
            for number in range(count):
                write_picture(tmp_path / "source" / part / name / f"{number}.png", stripes(seed, 10 * count + number))
    prepare_data(Request(tmp_path / "source", tmp_path / "set"))
    root = tmp_path / "set"
    decide(
        root, ("val/rose/0.png", RELABEL, 1), ("train/rose/0.png", DROP), ("rose/1.png", KEEP), ("val/rose/1.png", KEEP)
    )
    table = load_table(config_of(root))
    labels = labels_of(table)
    assert labels["val/rose/0.png"] == "tulip"
    assert "train/rose/0.png" not in labels
    assert [table.image_ids[row] for row in corrections_of(table).kept_rows] == ["train/rose/1.png", "val/rose/1.png"]
    assert table.val_rows is not None
    assert len(table.val_rows) == 4
    assert read_labelled(root / "val.csv").labels.tolist() == [1, 0, 1, 1]


def test_every_reader_of_the_kit_reads_tables_through_the_corrections():
    readers = set()
    for folder in (
        "autopilot",
        "cli",
        "competition",
        "data",
        "evaluation",
        "models",
        "prediction",
        "tools",
        "training",
    ):
        for path in (HOME / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "read_table":
                    readers.add(path.relative_to(HOME).as_posix())
    assert readers == {"data/labelled.py", "data/prepared.py"}


def test_a_corrections_file_of_a_source_gives_no_labels(root, tmp_path):
    decide(root, ("0000.png", RELABEL, 2), ("0001.png", DROP))
    summary = prepare_data(Request(root, tmp_path / "again"))
    assert "not used" in summary["understood"]["tables"]["corrections.csv"]
    assert len(read_labelled(tmp_path / "again").image_ids) == 12


def prepare_classes(tmp_path, *names):
    for name in names:
        (tmp_path / "source" / name).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            write_picture(tmp_path / "source" / name / f"{number}.png", stripes(len(name), number))
    return prepare_data(Request(tmp_path / "source", tmp_path / "out"))


def test_preparing_again_keeps_decisions_under_the_new_labels_and_names_those_that_no_longer_match(tmp_path):
    root = tmp_path / "out"
    prepare_classes(tmp_path, "rose", "tulip")
    decide(root, ("rose/0.png", RELABEL, 1), ("rose/1.png", DROP), ("tulip/2.png", KEEP))
    before = (root / "corrections.csv").read_bytes()
    assert prepare_classes(tmp_path, "rose", "tulip")["corrections"] == {"kept": 3, "unmatched": []}
    assert (root / "corrections.csv").read_bytes() == before
    (tmp_path / "source" / "rose" / "1.png").unlink()
    # the labels of rose and tulip move up by one
    summary = prepare_classes(tmp_path, "aster", "tulip")
    assert summary["corrections"] == {"kept": 2, "unmatched": ["rose/1.png"]}
    assert labels_of(load_table(config_of(root)))["rose/0.png"] == "tulip"
    assert "rose/1.png,drop,,20" in (root / "corrections_unmatched.csv").read_text(encoding="utf-8")
    told = "\n".join(describe(summary))
    assert "2 decisions of corrections.csv still match" in told
    assert "no longer match: 1 (image or class is gone; moved to corrections_unmatched.csv): rose/1.png" in told


def test_a_corrected_table_is_read_and_said_without_torch(root):
    append_decisions(root, [Decision("0000.png", KEEP)])
    words = (
        "import sys; from configs.compose import compose; from data.prepared import load_table; "
        "load_table(compose('config', ['dataset.root=' + sys.argv[1]]).dataset); sys.exit('torch' in sys.modules)"
    )
    done = run_words([sys.executable, "-c", words, root.as_posix()])
    assert done.returncode == 0, done.stderr
    assert "corrections.csv: 0 labels changed, 0 images dropped, 1 kept as they are." in done.stderr
