"""Each fault of a predictions file is found and named; a good file has none."""

import pytest

from common.classes import ImageClass
from competition.checks import failed
from competition.csv_rules import check_csv

COLUMNS = ("filename", "category_id", "confidence")
CLASSES = [ImageClass(label, category, "x") for label, category in enumerate(("164", "245", "1734"))]
IMAGES = ["a.jpg", "b.jpg", "c.jpg"]
GOOD = "filename,category_id,confidence\na.jpg,164,0.9\nb.jpg,1734,0.5\nc.jpg,245,0\n"


def faults(tmp_path, data):
    path = tmp_path / "p.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return {check.rule: check.figure for check in failed(check_csv(path, COLUMNS, CLASSES, IMAGES))}


def test_a_good_file_passes(tmp_path):
    assert faults(tmp_path, GOOD) == {}


@pytest.mark.parametrize(
    ("data", "rule", "figure"),
    [
        (b"\xef\xbb\xbf" + GOOD.encode(), "CSV encoding", "BOM"),
        (GOOD.replace("a.jpg", "花.jpg").encode("gbk"), "CSV encoding", "not UTF-8"),
        (GOOD.encode("utf-16"), "CSV encoding", "not UTF-8"),
        (GOOD.replace("a.jpg", "a\0.jpg"), "CSV encoding", "NUL"),
        (GOOD.replace("filename", "file"), "CSV columns", "its columns are file"),
        (GOOD.replace("filename", "img_name"), "CSV columns", "img_name,category_id,confidence"),
        ("", "CSV columns", "empty"),
        (GOOD.replace("1734", "1735"), "CSV class ids", "1 unknown ids: '1735'"),
        (
            GOOD.replace("164", "0").replace("245", "1").replace("1734", "2"),
            "CSV class ids",
            "labels 0..2 in place of category ids",
        ),
        (GOOD.replace("0.5", "50%"), "CSV confidences", "'50%'"),
        (GOOD.replace("0.5", "nan"), "CSV confidences", "'nan'"),
        (GOOD.replace("0.5", "1.2"), "CSV confidences", "'1.2'"),
        (GOOD + "a.jpg,164,0.9\n", "CSV duplicates", "1 images more than once: 'a.jpg'"),
        (GOOD.replace("c.jpg,245,0\n", ""), "CSV missing images", "1 missing: 'c.jpg'"),
        (GOOD + "d.jpg,164,0.9\n", "CSV extra images", "1 extra: 'd.jpg'"),
        (GOOD.replace("a.jpg", "d.jpg"), "CSV sorted", "not sorted"),
        (GOOD.replace("a.jpg,164,0.9", "a.jpg,164"), "CSV columns", "line 2: 2 cells"),
    ],
)
def test_each_fault_is_named(tmp_path, data, rule, figure):
    found = faults(tmp_path, data)
    assert figure in found[rule]


def test_a_missing_file_is_a_broken_rule(tmp_path):
    assert [check.rule for check in failed(check_csv(tmp_path / "p.csv", COLUMNS, None, None))] == ["CSV exists"]


def test_what_cannot_be_compared_is_said_and_not_passed(tmp_path):
    (tmp_path / "p.csv").write_text(GOOD, encoding="utf-8")
    checks = {check.rule: check.passed for check in check_csv(tmp_path / "p.csv", COLUMNS, None, None)}
    assert checks["CSV class ids"] is None
    assert checks["CSV images"] is None
