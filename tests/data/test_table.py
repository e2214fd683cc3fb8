"""Tables are read strictly: each fault is one line that names the file, the line and the value."""

import re

import numpy as np
import pytest

from common.classes import ImageClass
from common.csv_files import read_rows
from common.errors import InputError
from data.table import read_classes, read_table, write_classes, write_table


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def table_of(folder, content, classes=None):
    path = folder / "train.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    if classes is not None:
        (folder / "classes.csv").write_text(classes, encoding="utf-8")
    return read_table(path, folder, folder / "classes.csv")


def test_a_table_without_classes_names_them_by_label(folder):
    table = table_of(folder, "image_id,label\na.jpg,0\nb.jpg,2\n")
    assert table.image_ids == ["a.jpg", "b.jpg"]
    assert table.labels.tolist() == [0, 2]
    assert table.labels.dtype == np.int64
    assert [image_class.name for image_class in table.classes] == ["0", "1", "2"]


def test_classes_are_sorted_by_label_and_further_columns_are_left_aside(folder):
    table = table_of(
        folder, "image_id,label\na.jpg,1\nb.jpg,0\n", "name,label,category_id,x\n玫瑰,1,1734,q\nrose,0,164,r\n"
    )
    assert table.classes == [ImageClass(0, "164", "rose"), ImageClass(1, "1734", "玫瑰")]


def test_a_bom_and_windows_line_ends_are_accepted(folder):
    assert table_of(folder, b"\xef\xbb\xbfimage_id,label\r\na.jpg,0\r\nb.jpg,1\r\n").labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("image_id,label\n", "no rows below its first line"),
        ("image,label\na.jpg,0\n", "no column image_id; its columns are image, label"),
        ("image_id,label,label\na.jpg,0,0\n", "a column name stands twice"),
        ("image_id,label\na.jpg\n", "line 2: 1 cells where the first line has 2"),
        ("image_id,label\na.jpg,-1\nb.jpg,1\n", "line 2: label '-1' is not a whole number from 0 on"),
        ("image_id,label\na.jpg,0\nb.jpg,1.0\n", "line 3: label '1.0' is not a whole number"),
        ("image_id,label\na.jpg,rose\n", "line 2: label 'rose' is not a whole number"),
        ("image_id,label\na.jpg,\n", "line 2: no label"),
        ("image_id,label\n,1\n", "line 2: no image_id"),
        ("image_id,label\na.jpg,0\na.jpg,1\n", "line 3: a.jpg stands in the table twice"),
        ("image_id,label\na.jpg,0\nb.jpg,0\n", "only one class"),
        ("image_id,label\n../a.jpg,0\nb.jpg,1\n", "../a.jpg leads out of the image folder"),
        ("image_id,label\n/etc/passwd,0\nb.jpg,1\n", "leads out of the image folder"),
        ("image_id,label\nC:\\a.jpg,0\nb.jpg,1\n", "leads out of the image folder"),
        ("image_id,label\nnone.jpg,0\nnone2.jpg,1\n", "none of the first 2 images"),
        ("image_id,label\n" + "a" * 5000 + ",0\n", "a cell of more than 4096 characters"),
        ("image_id,label\na.jpg,0\nb.jpg,9999999999\n", "is not a whole number"),
        ("图像,标签\n".encode("gbk"), "not UTF-8. Save it as UTF-8"),
        ("image_id,label\na.jpg,0\n".encode("utf-16"), "not UTF-8"),
        (b"image_id,label\na.jpg\0,0\n", "NUL bytes"),
    ],
)
def test_a_fault_is_one_line(folder, content, message):
    with pytest.raises(InputError) as error:
        table_of(folder, content)
    assert message in str(error.value)
    assert "train.csv" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.jpg,0", "a.jpg,1", "b.jpg,rose"], "line 3: a.jpg stands in the table twice"),
        (["a.jpg,0", "b.jpg,rose", "a.jpg,1"], "line 3: label 'rose' is not a whole number"),
        (["a.jpg,0", "a.jpg,rose"], "line 3: a.jpg stands in the table twice"),
        (["a.jpg,0", "../b.jpg,rose", "c.jpg"], "line 4: 1 cells where the first line has 2"),
        (["a.jpg,0", "x/../b.jpg,1"], "line 3: x/../b.jpg leads out of the image folder"),
        (["a.jpg,0", " ,1"], "line 3: no image_id"),
    ],
)
def test_of_several_faults_the_first_is_said(folder, rows, message):
    with pytest.raises(InputError, match=re.escape(message)):
        table_of(folder, "\n".join(["image_id,label", *rows, ""]))


def test_an_image_id_keeps_its_spaces_and_a_label_loses_them(folder):
    table = table_of(folder, "image_id,label\n a.jpg, 1 \nb..c.jpg,0\nd e.jpg.,1\nx\\y.jpg,0\na.jpg,0\n")
    assert table.image_ids == [" a.jpg", "b..c.jpg", "d e.jpg.", "x\\y.jpg", "a.jpg"]
    assert table.labels.tolist() == [1, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("label,category_id,name\n0,1,a\n2,2,b\n", "its labels must be 0 to 1, each once"),
        ("label,category_id,name\n0,1,a\n1,1,b\n", "a category_id stands in it twice"),
        ("label,category_id\n0,a\n", "no column name"),
        ("label,category_id,name\n0,1,a\n", "label 1 is not in"),
    ],
)
def test_a_fault_of_the_class_table_is_one_line(folder, classes, message):
    with pytest.raises(InputError, match=message):
        table_of(folder, "image_id,label\na.jpg,0\nb.jpg,1\n", classes)


def test_a_missing_table_is_said(tmp_path):
    with pytest.raises(InputError, match="not found"):
        read_rows(tmp_path / "no.csv", [])


def test_what_is_written_is_read_back(tmp_path):
    classes = [ImageClass(0, "164", '玫瑰, "red"'), ImageClass(1, "9", "b")]
    write_classes(tmp_path / "classes.csv", classes)
    write_table(tmp_path / "t.csv", ["花 1.jpg", "b,c.jpg"], [1, 0])
    assert read_classes(tmp_path / "classes.csv") == classes
    assert [row["image_id"] for row in read_rows(tmp_path / "t.csv", ["label"])] == ["花 1.jpg", "b,c.jpg"]
    assert b"\r" not in (tmp_path / "t.csv").read_bytes()
