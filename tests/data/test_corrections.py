"""corrections.csv: what is read, refused, added and taken back; two writers at once lose no row."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.classes import ImageClass
from common.errors import InputError
from data.corrections import (
    DROP,
    KEEP,
    RELABEL,
    Decision,
    append_decisions,
    classes_of,
    decide_first,
    ids_in_tables,
    newest,
    read_decisions,
    undo_decision,
)
from data.table import write_classes, write_table

HEADER = "image_id,action,label,time\n"


@pytest.fixture
def root(tmp_path):
    names = [f"{number}.png" for number in range(40)]
    write_table(tmp_path / "train.csv", names, [number % 3 for number in range(40)])
    write_classes(tmp_path / "classes.csv", [ImageClass(k, str(100 + k), f"花 {k}") for k in range(3)])
    return tmp_path


def write(root, text):
    (root / "corrections.csv").write_text(text, encoding="utf-8")


def test_without_the_file_there_are_no_decisions(root):
    assert read_decisions(root) == []


def test_of_several_rows_for_one_image_the_last_counts(root):
    write(root, HEADER + "1.png,drop,,2026-01-01T00:00:00Z\n2.png,keep,,t\n1.png,relabel,2,t\n")
    found = newest(read_decisions(root))
    assert (found["1.png"].action, found["1.png"].label, found["2.png"].action) == (RELABEL, 2, KEEP)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "1.png,keep,,t\nno.png,drop,,t\n", r"line 3: no\.png is no image of train\.csv"),
        (HEADER + "1.png,relabel,3,t\n", r"line 2: label 3 is unknown; the labels are 0 to 2"),
        (HEADER + "1.png,relabel,two,t\n", r"line 2: label 'two' is not a whole number"),
        (HEADER + "1.png,skip,,t\n", r"line 2: action 'skip'.* Choose from keep, relabel, drop"),
        (HEADER + "1.png,relabel,,t\n", r"line 2: relabel needs the new label of 1\.png"),
        (HEADER + "1.png,drop,2,t\n", r"line 2: drop takes no label"),
        ("image_id,action,label\n1.png,keep,\n", r"no column time"),
        ("image_id,action,label,time,who\n1.png,keep,,t,me\n", r"line 1: its columns are .*expected image_id,action"),
    ],
)
def test_a_wrong_row_is_named_with_file_and_line(root, text, message):
    write(root, text)
    with pytest.raises(InputError, match=rf"corrections\.csv.*{message}"):
        read_decisions(root)


def test_ids_are_those_of_train_csv_and_the_audit_may_write_the_folder_before_them(root):
    append_decisions(root, [Decision("train/1.png", DROP), Decision("2.png", RELABEL, 0)])
    lines = (root / "corrections.csv").read_text(encoding="utf-8").splitlines()
    assert [line.rpartition(",")[0] for line in lines[1:]] == ["1.png,drop,", "2.png,relabel,0"]
    assert all(line.endswith("Z") for line in lines[1:])


def test_one_wrong_decision_of_several_writes_none(root):
    with pytest.raises(InputError, match=r"no\.png is no image"):
        append_decisions(root, [Decision("1.png", DROP), Decision("no.png", DROP)])
    assert not (root / "corrections.csv").exists()


def test_undo_takes_back_the_last_row_until_none_is_left(root):
    append_decisions(root, [Decision("1.png", DROP)])
    append_decisions(root, [Decision("1.png", KEEP)])
    undone = undo_decision(root)
    assert undone is not None
    assert undone.action == KEEP
    assert newest(read_decisions(root))["1.png"].action == DROP
    undo_decision(root)
    assert undo_decision(root) is None
    assert read_decisions(root) == []


def test_one_decision_of_several_can_be_taken_back(root):
    first, second = append_decisions(root, [Decision("1.png", DROP), Decision("2.png", RELABEL, 0)])
    assert undo_decision(root, first) == first
    assert undo_decision(root, first) is None
    assert read_decisions(root) == [second]


def test_who_decides_second_on_an_image_learns_of_the_first_and_writes_nothing(root):
    assert decide_first(root, Decision("train/1.png", RELABEL, 2))[1] is True
    found, written = decide_first(root, Decision("1.png", DROP))
    assert (found.action, found.label, written) == (RELABEL, 2, False)
    assert [it.action for it in read_decisions(root)] == [RELABEL]
    undo_decision(root)
    assert decide_first(root, Decision("1.png", DROP))[1] is True


def test_names_are_matched_with_the_ids_of_the_tables(root):
    write_table(root / "val.csv", ["9.png"], [0])
    found = ids_in_tables(root, ["1.png", "train/2.png", "val/9.png", "val/1.png", "none.png"])
    assert found == {"1.png": "1.png", "train/2.png": "2.png", "val/9.png": "val/9.png"}


def test_a_folder_that_is_not_prepared_is_refused_and_not_made(tmp_path):
    for action in (
        lambda: append_decisions(tmp_path / "x", [Decision("1.png", DROP)]),
        lambda: undo_decision(tmp_path / "x"),
    ):
        with pytest.raises(InputError, match=r"no train\.csv here"):
            action()
    assert not (tmp_path / "x").exists()


def test_without_classes_csv_the_labels_of_train_csv_are_the_classes(root):
    (root / "classes.csv").unlink()
    assert [it.name for it in classes_of(root)] == ["0", "1", "2"]


def test_threads_that_write_at_once_lose_no_row(root):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda k: append_decisions(root, [Decision(f"{k}.png", DROP)]), range(40)))
    assert sorted(int(it.image_id[:-4]) for it in read_decisions(root)) == list(range(40))


@pytest.mark.integration
def test_processes_that_write_at_once_lose_no_row(root):
    code = (
        "import sys; from pathlib import Path; from data.corrections import *\n"
        "root, first = Path(sys.argv[1]), int(sys.argv[2])\n"
        "for k in range(first, first + 20):\n"
        "    append_decisions(root, [Decision(f'{k}.png', KEEP)])\n"
        "    append_decisions(root, [Decision(f'{k}.png', DROP)])\n"
    )
    home = Path(__file__).resolve().parents[2]
    writers = [subprocess.Popen([sys.executable, "-c", code, root, str(first)], cwd=home) for first in (0, 20)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    found = [(it.image_id, it.action) for it in read_decisions(root)]
    assert sorted(found) == sorted((f"{k}.png", action) for k in range(40) for action in (KEEP, DROP))
    for first in (0, 20):
        own = [row for row in found if first <= int(row[0][:-4]) < first + 20]
        assert own == [(f"{k}.png", action) for k in range(first, first + 20) for action in (KEEP, DROP)]


@pytest.mark.integration
def test_of_two_processes_that_decide_on_the_same_images_each_image_gets_one_decision(root):
    code = (
        "import sys; from pathlib import Path; from data.corrections import *\n"
        "wrote = [decide_first(Path(sys.argv[1]), Decision(f'{k}.png', sys.argv[2]))[1] for k in range(20)]\n"
        "print(sum(wrote))\n"
    )
    home = Path(__file__).resolve().parents[2]
    words = [[sys.executable, "-c", code, root, action] for action in (KEEP, DROP)]
    people = [subprocess.Popen(it, cwd=home, stdout=subprocess.PIPE, text=True) for it in words]
    wrote = [int(person.communicate(timeout=60)[0]) for person in people]
    found = [(it.image_id, it.action) for it in read_decisions(root)]
    assert sorted(image for image, _ in found) == sorted(f"{k}.png" for k in range(20))
    assert [sum(action == own for _, action in found) for own in (KEEP, DROP)] == wrote
