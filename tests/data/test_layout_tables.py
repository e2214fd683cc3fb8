"""What tables beside the images are taken for: labels, parts, names of classes, or nothing."""

import pytest

from common.errors import InputError
from data.table_use import Columns
from tests.data.layouts import FLAT, HERE, KAGGLE, ROSES, TABLE, TWO, images, parts_of, read

TABLES = {
    "a table": (HERE, {"labels.csv": TABLE}, {"train": TWO}),
    "ids without suffix": (HERE, {"labels.csv": "id,label\n1,7\n2,9\n"}, {"train": TWO}),
    "another case": (HERE, {"labels.csv": "id,label\n1.JPG,7\n2.Jpg,9\n"}, {"train": TWO}),
    "a dot and a slash": (HERE, {"l.csv": "path,label\n./train/1.jpg,7\n./train/2.jpg,9\n"}, {"train": TWO}),
    "backslashes": (HERE, {"l.csv": "path,label\ntrain\\1.jpg,7\ntrain\\2.jpg,9\n"}, {"train": TWO}),
    "paths of another machine": (
        HERE,
        {"l.csv": "path,label\n/home/me/train/1.jpg,7\nC:\\x\\2.jpg,9\n"},
        {"train": TWO},
    ),
    "composed and decomposed": (
        ["e\u0301.jpg", "u.jpg"],
        {"l.csv": "image,label\n\u00e9.jpg,7\nu.jpg,9\n"},
        {"train": {"e\u0301.jpg": "7", "u.jpg": "9"}},
    ),
    "semicolons": (HERE, {"l.csv": "image;label\n1.jpg;7\n2.jpg;9\n"}, {"train": TWO}),
    "tabs": (HERE, {"l.tsv": "image\tlabel\n1.jpg\t7\n2.jpg\t9\n"}, {"train": TWO}),
    "a header in capitals": (HERE, {"l.csv": "IMAGE ID,Label\n1.jpg,7\n2.jpg,9\n"}, {"train": TWO}),
    "file_name and class": (HERE, {"l.csv": "file_name,class\n1.jpg,7\n2.jpg,9\n"}, {"train": TWO}),
    "path and species": (HERE, {"l.csv": "path,species\ntrain/1.jpg,7\ntrain/2.jpg,9\n"}, {"train": TWO}),
    "names that nobody foresaw": (HERE, {"l.csv": "photo,kind\n1.jpg,7\n2.jpg,9\n"}, {"train": TWO}),
    "no first line": (HERE, {"l.csv": "1.jpg,7\n2.jpg,9\n"}, {"train": TWO}),
    "an index column": (HERE, {"l.csv": ",image,label\n0,1.jpg,7\n1,2.jpg,9\n"}, {"train": TWO}),
    "an index and unknown names": (
        [*HERE, "train/3.jpg"],
        {"l.csv": "nr,photo,kind\n0,1.jpg,7\n1,2.jpg,9\n2,3.jpg,9\n"},
        {"train": {**TWO, "3.jpg": "9"}},
    ),
    "one-hot": (
        HERE,
        {"l.csv": "image,Rose,Tulip\n1.jpg,1,0\n2.jpg,0,1\n"},
        {"train": {"1.jpg": "Rose", "2.jpg": "Tulip"}},
    ),
    "a column of parts": (
        [*HERE, "train/3.jpg"],
        {"l.csv": "image,label,split\n1.jpg,7,train\n2.jpg,9,Train\n3.jpg,9,valid\n"},
        {"train": TWO, "val": {"3.jpg": "9"}},
    ),
    "a column is_valid": (
        [*HERE, "train/3.jpg"],
        {"l.csv": "image,label,is_valid\n1.jpg,7,False\n2.jpg,9,False\n3.jpg,9,True\n"},
        {"train": TWO, "val": {"3.jpg": "9"}},
    ),
    "a table for each part": (
        ["images/1.jpg", "images/2.jpg", "images/3.jpg", "images/4.jpg"],
        {"train.csv": TABLE, "val.csv": "image_id,label\n3.jpg,9\n", "test.csv": "image_id\n4.jpg\n"},
        {"train": TWO, "val": {"3.jpg": "9"}, "test": {"4.jpg": None}},
    ),
    "labels of a test part": (
        KAGGLE,
        {"train.csv": TABLE, "test.csv": "image_id,label\n3.jpg,7\n4.jpg,9\n"},
        {"train": TWO, "test": {"3.jpg": "7", "4.jpg": "9"}},
    ),
    "one table for all parts": (
        KAGGLE,
        {"labels.csv": TABLE + "3.jpg,7\n4.jpg,9\n"},
        {"train": TWO, "test": {"3.jpg": "7", "4.jpg": "9"}},
    ),
    "the same names in two parts": (
        [*HERE, "test/1.jpg", "test/2.jpg"],
        {"train.csv": TABLE},
        {"train": TWO, "test": FLAT},
    ),
    "a sample submission": (
        KAGGLE,
        {"train.csv": TABLE, "sample_submission.csv": "image_id,label\n3.jpg,7\n4.jpg,9\n"},
        {"train": TWO, "test": {"3.jpg": None, "4.jpg": None}},
    ),
    "a sample submission under another name": (
        KAGGLE,
        {"train.csv": TABLE, "format.csv": "image_id,label\n3.jpg,0\n4.jpg,0\n"},
        {"train": TWO, "test": {"3.jpg": None, "4.jpg": None}},
    ),
    "a sample submission that names the test images": (
        ["images/1.jpg", "images/2.jpg", "images/3.jpg"],
        {"train.csv": TABLE, "sampleSubmission.csv": "id,label\n3,0\n"},
        {"train": TWO, "test": {"3.jpg": None}},
    ),
    "class folders and a sample submission": (
        [*images("train/rose", "train/tulip"), "test/3.jpg", "test/4.jpg"],
        {"sample_submission.csv": "id,label\n3.jpg,0\n4.jpg,0\n"},
        {"train": ROSES, "test": {"3.jpg": None, "4.jpg": None}},
    ),
    "class folders and any other tables": (
        images("rose", "tulip"),
        {"notes.csv": "day,weather\n1,rain\n2,sun\n", "readme.txt": "Photographs\nof flowers, taken\n"},
        {"train": ROSES},
    ),
    "class folders and a table of photographers": (
        images("rose", "tulip"),
        {"meta.csv": "filename,photographer\nrose/1.jpg,A\nrose/2.jpg,B\ntulip/1.jpg,A\ntulip/2.jpg,B\n"},
        {"train": ROSES},
    ),
    "class folders and a list of the test images": (
        images("rose", "tulip"),
        {"test.txt": "rose/2\ntulip/2\n", "train.txt": "rose/1\ntulip/1\n"},
        {
            "train": {"rose/1.jpg": "rose", "tulip/1.jpg": "tulip"},
            "test": {"rose/2.jpg": "rose", "tulip/2.jpg": "tulip"},
        },
    ),
    "3 and 3.0": (
        [*HERE, "train/3.jpg", "train/4.jpg"],
        {"l.csv": "image,label\n1.jpg,3\n2.jpg,3.0\n3.jpg,３\n4.jpg,7\n"},
        {"train": {"1.jpg": "3", "2.jpg": "3", "3.jpg": "3", "4.jpg": "7"}},
    ),
    "a list of parts beside the labels": (
        [*HERE, "train/3.jpg"],
        {"l.csv": TABLE + "3.jpg,9\n", "setid.csv": "image,set\n1.jpg,train\n3.jpg,test\n3.jpg,train\n2.jpg,train\n"},
        {"train": TWO, "test": {"3.jpg": "9"}},
    ),
    "other words for parts, and empty cells": (
        [*HERE, "train/3.jpg", "train/4.jpg"],
        {"l.csv": "image,label,Usage\n1.jpg,7,Training\n2.jpg,9,\n3.jpg,9,PublicTest\n4.jpg,9,private_test\n"},
        {"train": TWO, "test": {"3.jpg": "9", "4.jpg": "9"}},
    ),
    "a column is_train": (
        [*HERE, "train/3.jpg"],
        {"l.csv": "image,label,is_train\n1.jpg,7,1\n2.jpg,9,1\n3.jpg,9,0\n"},
        {"train": TWO, "test": {"3.jpg": "9"}},
    ),
    "parts in a column without name": (
        [*HERE, "train/3.jpg"],
        {"l.csv": "TRAIN,gs://b/1.jpg,7\nTRAIN,gs://b/2.jpg,9\nTEST,gs://b/3.jpg,9\n"},
        {"train": TWO, "test": {"3.jpg": "9"}},
    ),
    "a table in the folder of each part, for equal names": (
        [*HERE, "val/1.jpg", "test/1.jpg"],
        {"train/m.csv": TABLE, "val/m.csv": "image_id,label\n1.jpg,9\n", "test/m.csv": "image_id,label\n1.jpg,9\n"},
        {"train": TWO, "val": {"1.jpg": "9"}, "test": {"1.jpg": "9"}},
    ),
    "labels of the validation images alone": (
        [*images("train/rose", "train/tulip"), "val/images/1.jpg", "val/images/2.jpg"],
        {"val/val.txt": "1.jpg\trose\t0\t64\n2.jpg\ttulip\t0\t64\n"},
        {"train": ROSES, "val": {"1.jpg": "rose", "2.jpg": "tulip"}},
    ),
    "flags of images in class folders": (
        images("rose", "tulip"),
        {"flags.csv": "image,blurred,sharp\n" + "".join(f"{path},1,0\n" for path in images("rose", "tulip"))},
        {"train": ROSES},
    ),
    "numbers without the zeros of the files": (
        ["train/0001.jpg", "train/0002.jpg"],
        {"l.csv": "id,label\n1,7\n2.0,9\n"},
        {"train": {"0001.jpg": "7", "0002.jpg": "9"}},
    ),
    "files that are the same number": (
        ["1.jpg", "01.jpg"],
        {"l.csv": "id,label\n1,7\n01,9\n"},
        {"train": {"1.jpg": "7", "01.jpg": "9"}},
    ),
    "addresses beside the ids": (
        HERE,
        {"l.csv": "id,url,landmark_id\n1,http://x/2.jpg,7\n2,http://x/1.jpg,9\n"},
        {"train": TWO},
    ),
    "names of columns as in programs": (
        HERE,
        {"l.csv": "ImageId,ClassId,place\n1.jpg,7,a\n2.jpg,9,b\n"},
        {"train": TWO},
    ),
    "numbers of rows beside the names": (
        HERE,
        {"l.csv": "id,photograph,label\n2,1.jpg,7\n1,2.jpg,9\n"},
        {"train": TWO},
    ),
    "words and numbers in columns of other names": (
        HERE,
        {"l.csv": "Bild;Klasse;Breite\n1.jpg;rose;1,5\n2.jpg;tulip;2\n"},
        {"train": {"1.jpg": "rose", "2.jpg": "tulip"}},
    ),
    "names and labels with spaces between": (
        HERE,
        {"train.txt": "train/1.jpg 7\ntrain/2.jpg   9\n"},
        {"train": TWO},
    ),
    "lines above the titles": (
        HERE,
        {"l.csv": "# by me, in May\nimage,label\n1.jpg,7\n2.jpg,9\n"},
        {"train": TWO},
    ),
    "a title above the columns": (HERE, {"l.csv": "Flowers,\n,\n" + TABLE}, {"train": TWO}),
    "the line that Excel writes for the separator": (
        HERE,
        {"l.csv": "sep=;\nimage;label\n1.jpg;7\n2.jpg;9\n"},
        {"train": TWO},
    ),
    "a slash in the titles": (HERE, {"l.csv": "image,label,w/h\n1.jpg,7,2\n2.jpg,9,1\n"}, {"train": TWO}),
    "a list of names whose first line is a name": (
        images("rose", "tulip"),
        {"test.txt": "rose/1\ntulip/1\n"},
        {
            "train": {"rose/2.jpg": "rose", "tulip/2.jpg": "tulip"},
            "test": {"rose/1.jpg": "rose", "tulip/1.jpg": "tulip"},
        },
    ),
    "masks of the same names": (
        ["images/1.jpg", "images/2.jpg", "masks/1.jpg", "images/2_mask.png"],
        {"l.csv": TABLE},
        {"train": TWO},
    ),
    "two tables that label in different ways": (
        HERE,
        {"a.csv": "image,species\n1.jpg,rose\n2.jpg,tulip\n", "b.csv": TABLE},
        {"train": TWO},
    ),
    "spaces after the separator": (HERE, {"l.csv": "image, label\n1.jpg, 7\n2.jpg, 9\n"}, {"train": TWO}),
    "empty rows and a row that stands twice": (HERE, {"l.csv": TABLE + "1.jpg,7\n\n,\n"}, {"train": TWO}),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(case):
    listing, tables, expected = TABLES[case]
    assert parts_of(read(sorted(listing), tables)) == expected


def test_each_table_is_told_what_it_was_taken_for():
    layout = read(
        KAGGLE,
        {
            "train.csv": TABLE,
            "classes.csv": "label,name\n7,lily\n9,iris\n",
            "notes.csv": "a,b\n1,2\n",
            "sample_submission.csv": "image_id,label\n3.jpg,0\n4.jpg,0\n",
            "elsewhere.csv": "image_id,label\nx.jpg,0\n",
        },
    )
    assert layout.tables == {
        "train.csv": "labels: column label, for the images in column image_id",
        "classes.csv": "names of classes",
        "notes.csv": "not used: it names no image here; its columns are a, b",
        "sample_submission.csv": "an example of a submission, or predictions; its labels are not used",
        "elsewhere.csv": "not used: none of its images is here, such as x.jpg",
    }
    assert layout.columns == {"7": {"name": "lily"}, "9": {"name": "iris"}}


@pytest.mark.parametrize(
    ("listing", "tables", "note"),
    [
        (HERE, {"l.csv": "image,label,split\n1.jpg,7,0\n2.jpg,9,1\n"}, "l.csv: its column split names no part"),
        (["01.jpg", "2.jpg"], {"l.csv": "id,label\n1,7\n2,9\n"}, "l.csv: 1 names fit a file only as a number"),
        (images("f/a", "f/b", "g/c"), {}, "folders within class folders are no classes of their own: f/a/"),
        (images("batch1/a", "batch1/c", "2/a", "2/c"), {}, "the folders 2/, batch1/ hold the same folders"),
        (images("rose", "tulip"), {"train.txt": "rose/1\ntulip/1\n"}, "2 training images stand in no list"),
        (
            images("a", "b"),
            {"l.csv": "image,label\n" + "".join(f"{path},{path[2]}\n" for path in images("a", "b"))},
            "the labels are those of the table, and not the folders, such as a/",
        ),
        (images("train/a", "train/b", "val/A"), {}, "'A' (0) and 'a' (2) differ only in case"),
        (HERE, {"l.csv": "# mine\n" + TABLE}, "l.csv: 1 lines above its first line of titles are not read"),
    ],
)
def test_what_is_understood_in_another_way_than_written_is_noted(listing, tables, note):
    assert any(told.startswith(note) for told in read(listing, tables).notes)


def test_the_user_names_the_table_and_its_columns():
    tables = {"a.csv": "photo,who,what\n1.jpg,A,x\n2.jpg,A,y\n", "b.csv": "image,label\n1.jpg,7\n2.jpg,9\n"}
    chosen = read(HERE, tables, chosen="a.csv", columns=Columns("photo", "what"))
    assert parts_of(chosen)["train"] == {"1.jpg": "x", "2.jpg": "y"}
    with pytest.raises(InputError, match=r"a.csv: which column holds the labels\? Its columns are photo, who, what"):
        read(HERE, {"a.csv": tables["a.csv"]}, chosen="a.csv")
    with pytest.raises(InputError, match=r"a.csv: no column wat; its columns are photo, who, what"):
        read(HERE, {"a.csv": tables["a.csv"]}, chosen="a.csv", columns=Columns("photo", "wat"))
