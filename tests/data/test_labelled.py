"""Labelled images for evaluation: prepared folders, class folders, and tables that people write."""

import pytest

from common.errors import InputError
from data.labelled import read_labelled


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / "images" / name)
    return tmp_path


def categories(table):
    labels = [table.classes[label].category_id for label in table.labels]
    return dict(zip(table.image_ids, labels, strict=True))


EXPECTED = {"a.png": "164", "b.png": "1734"}


@pytest.mark.parametrize(
    "text",
    [
        "image_id,label\na.png,164\nb.png,1734\n",
        "filename,category_id,english_name\na.png,164,rose\nb.png,1734,iris\n",
        "id;Class\na;164.0\nb;1734\n\n",
        "path,label\nimages\\a.png,164\n/home/me/b.png,1734\n",
        "image_id,label\na.png,164\nb.png,1734\nb.png,1734\n",
        "image,164,1734\na.png,1,0\nb.png,0,1\n",
        "photograph,kind\na.png,164\nb.png,1734\n",
        "a.png 164\nb.png 1734\n",
        "# mine\nsep=;\nid;photo;label\n2;a.png;164\n1;b.png;1734\n",
    ],
)
def test_a_table_is_read_as_prepare_data_reads_it(folder, text):
    assert categories(read_labelled(write(folder / "labels.csv", text))) == EXPECTED


def test_a_missing_image_keeps_its_row(folder):
    table = read_labelled(write(folder / "labels.csv", "image_id,label\na.png,1\ngone.png,2\n"))
    assert categories(table) == {"a.png": "1", "gone.png": "2"}


def test_labels_beside_classes_are_the_numbers_of_the_kit(folder):
    write(folder / "classes.csv", "label,category_id,name\n0,164,rose\n1,1734,iris\n")
    assert categories(read_labelled(write(folder / "l.csv", "image_id,label\na.png,0\nb.png,1\n"))) == EXPECTED
    assert categories(read_labelled(write(folder / "m.csv", "id,category_id\na.png,164\nb.png,1734\n"))) == EXPECTED


def test_what_is_not_evaluated_is_said(folder, capsys):
    for name in ("train/rose/1.png", "train/iris/1.png", "test/rose/2.png", "docs/plan.png"):
        write(folder / "set" / name)
    read_labelled(folder / "set")
    assert capsys.readouterr().out.splitlines() == [
        f"warning: {folder / 'set'}: these are the images of train/; the 1 of test/ are left out",
        f"warning: {folder / 'set'}: 1 images beside the parts, such as docs/plan.png: left out",
    ]
    read_labelled(write(folder / "l.csv", "image,kind,split\na.png,x,train\nb.png,y,test\n"))
    assert capsys.readouterr().out.splitlines() == [
        f"warning: {folder / 'l.csv'}: its column kind is taken for the labels",
        f"warning: {folder / 'l.csv'}: the rows of all its parts are used, those for training too",
    ]


def test_a_folder_per_class(tmp_path):
    for name in ("rose/1.png", "rose/2.png", "iris/1.png"):
        write(tmp_path / name)
    assert categories(read_labelled(tmp_path)) == {"rose/1.png": "rose", "rose/2.png": "rose", "iris/1.png": "iris"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,label\na.png,1\na.png,2\n", "line 3: a.png has two labels, 1 and 2"),
        ("image_id,label\na.png,\n", "line 2: no label"),
        ("image_id,photographer\na.png,me\n", "no column of labels; it must be called category_id or label or labels"),
        ("image_id,label\nz.png,1\n", "none of its 1 images is in"),
    ],
)
def test_a_fault_is_one_line(folder, text, message):
    with pytest.raises(InputError, match=message) as error:
        read_labelled(write(folder / "labels.csv", text))
    assert "\n" not in str(error.value)
