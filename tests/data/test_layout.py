"""What a folder is taken for: a listing and tables go in, parts and labels come out, and what was left out is named."""

import pytest

from common.errors import InputError
from data.label_table import parse_table
from data.layout import (
    CONTRADICTIONS,
    COPIES,
    NO_LABEL,
    OUTSIDE_CLASSES,
    OUTSIDE_PARTS,
    UNKNOWN_CLASS,
    understand,
)
from data.table_use import NAMELESS_ROWS, OTHER_PARTS, UNCLEAR_ROWS, Columns


def parsed(name, text):
    try:
        return parse_table(text, name)
    except InputError as error:
        return str(error)


def read(images, tables=None, **options):
    return understand(images, {name: parsed(name, text) for name, text in (tables or {}).items()}, **options)


def parts_of(layout):
    """Image id to category; an image to predict has None."""
    return {
        name: {
            **{path.removeprefix(part.folder): label for path, label in part.labels.items()},
            **{path.removeprefix(part.folder): None for path in part.unlabelled},
        }
        for name, part in layout.parts.items()
    }


def images(*folders, suffix=".jpg", count=2):
    return [f"{folder}/{number}{suffix}" for folder in folders for number in range(1, count + 1)]


def labels(*classes, count=2):
    return {f"{name}/{number}.jpg": name for name in classes for number in range(1, count + 1)}


ROSES = labels("rose", "tulip")
FLAT = {"1.jpg": None, "2.jpg": None}

FOLDERS = {
    "a folder per class": (images("rose", "tulip"), {"train": ROSES}),
    "one folder around everything": (images("a/b/rose", "a/b/tulip"), {"train": ROSES}),
    "train, val and test, in any case": (
        images("Train/rose", "Train/tulip", "VALID/rose", "Test/tulip"),
        {"train": ROSES, "val": labels("rose"), "test": labels("tulip")},
    ),
    "other names of parts": (
        images("training/rose", "training/tulip", "validation/rose", "testing"),
        {"train": ROSES, "val": labels("rose"), "test": FLAT},
    ),
    "parts with further words": (
        images("train_images/rose", "train_images/tulip", "test-images"),
        {"train": ROSES, "test": FLAT},
    ),
    "Chinese parts": (images("训练集/rose", "训练集/tulip", "测试集"), {"train": ROSES, "test": FLAT}),
    "parts below one folder": (images("set/train/rose", "set/train/tulip", "set/test"), {"train": ROSES, "test": FLAT}),
    "train and a flat test": (images("train/rose", "train/tulip", "test"), {"train": ROSES, "test": FLAT}),
    "class folders beside a flat test": (images("rose", "tulip", "test"), {"train": ROSES, "test": FLAT}),
    "a folder of classes beside a test": (
        images("flowers/rose", "flowers/tulip", "test"),
        {"train": ROSES, "test": FLAT},
    ),
    "parts within each class": (
        images("rose/train", "tulip/train", "rose/test"),
        {
            "train": {f"{name}/train/{n}.jpg": name for name in ("rose", "tulip") for n in (1, 2)},
            "test": {f"rose/test/{n}.jpg": "rose" for n in (1, 2)},
        },
    ),
    "classes in every batch": (
        images("batch1/rose", "batch1/tulip", "batch2/rose", "batch2/tulip"),
        {"train": {f"batch{b}/{c}/{n}.jpg": c for b in (1, 2) for c in ("rose", "tulip") for n in (1, 2)}},
    ),
    "folders within class folders": (
        images("rose/a", "rose/b", "tulip"),
        {"train": {**{f"rose/{f}/{n}.jpg": "rose" for f in "ab" for n in (1, 2)}, **labels("tulip")}},
    ),
    "classes that are called train, car and plane": (
        images("train", "car", "plane"),
        {"train": labels("train", "car", "plane")},
    ),
    "train and valid two folders deep, test elsewhere": (
        images("x/x/train/rose", "x/x/train/tulip", "x/x/valid/rose", "test/test"),
        {"train": ROSES, "val": labels("rose"), "test": FLAT},
    ),
    "parts with a word before": (
        images("seg_train/seg_train/rose", "seg_train/seg_train/tulip", "seg_test/seg_test/rose", "seg_pred/seg_pred"),
        {
            "train": ROSES,
            "test": {"seg_test/seg_test/rose/1.jpg": "rose", "seg_test/seg_test/rose/2.jpg": "rose"}
            | {"seg_pred/seg_pred/1.jpg": None, "seg_pred/seg_pred/2.jpg": None},
        },
    ),
    "Chinese parts with words around": (
        images("训练数据/rose", "训练数据/tulip", "A榜测试集"),
        {"train": ROSES, "test": FLAT},
    ),
    "train and test1": (images("train/rose", "train/tulip", "test1"), {"train": ROSES, "test": FLAT}),
    "two folders of training images": (
        images("train1/rose", "train2/tulip", "train2/rose", "test"),
        {
            "train": {
                f"{path}/{n}.jpg": path[7:] for path in ("train1/rose", "train2/tulip", "train2/rose") for n in (1, 2)
            },
            "test": FLAT,
        },
    ),
    "classes in the folders of several photographers": (
        images("anna/rose", "anna/tulip", "anna/iris", "bob/rose", "bob/tulip", "bob/iris"),
        {"train": {f"{b}/{c}/{n}.jpg": c for b in ("anna", "bob") for c in ("rose", "tulip", "iris") for n in (1, 2)}},
    ),
    "class folders with zeros before the number": (
        images("train/01", "train/02", "val/1"),
        {
            "train": {f"{folder}/{n}.jpg": label for folder, label in (("01", "1"), ("02", "02")) for n in (1, 2)},
            "val": {f"1/{n}.jpg": "1" for n in (1, 2)},
        },
    ),
    "years in each class": (
        images("rose/2021", "rose/2022", "tulip/2021", "tulip/2022"),
        {"train": {f"{c}/{y}/{n}.jpg": c for c in ("rose", "tulip") for y in (2021, 2022) for n in (1, 2)}},
    ),
    "a copy of all classes among the classes": (
        images("set/rose", "set/tulip", "set/set/rose", "set/set/tulip"),
        {"train": {**ROSES, **{f"set/{name}": label for name, label in ROSES.items()}}},
    ),
    "a split copy beside the class folders": (
        images("all/rose", "all/tulip", "split/train/rose", "split/train/tulip", "split/val/rose"),
        {"train": ROSES, "val": labels("rose")},
    ),
    "masks in folders beside the images": (
        images("images/rose", "images/tulip", "masks/rose", "masks/tulip"),
        {"train": ROSES},
    ),
    "masks in each class": (
        images("rose/images", "rose/masks", "tulip/images"),
        {"train": {f"{name}/images/{n}.jpg": name for name in ("rose", "tulip") for n in (1, 2)}},
    ),
    "classes with and without a mask": (
        images("mask", "no_mask"),
        {"train": labels("mask", "no_mask")},
    ),
    "class names of two parts in one": (images("train/Test", "train/rose"), {"train": labels("Test", "rose")}),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folders_alone(case):
    listing, expected = FOLDERS[case]
    assert parts_of(read(listing)) == expected


TABLE = "image_id,label\n1.jpg,7\n2.jpg,9\n"
TWO = {"1.jpg": "7", "2.jpg": "9"}
HERE = ["train/1.jpg", "train/2.jpg"]
KAGGLE = [*HERE, "test/3.jpg", "test/4.jpg"]

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


LEFT_OUT = {
    "an image with two labels": (
        [*HERE, "train/3.jpg"],
        {"l.csv": TABLE + "3.jpg,7\n3.jpg,9\n"},
        {CONTRADICTIONS: ["train/3.jpg: 7, 9"]},
    ),
    "an image that no row names": ([*HERE, "train/3.jpg"], {"l.csv": TABLE}, {NO_LABEL: ["train/3.jpg"]}),
    "one-hot rows of none and of two": (
        [*HERE, "train/3.jpg", "train/4.jpg"],
        {"l.csv": "image,a,b\n1.jpg,1,0\n2.jpg,0,1\n3.jpg,0,0\n4.jpg,1,1\n"},
        {UNCLEAR_ROWS: ["l.csv, line 4: 3.jpg", "l.csv, line 5: 4.jpg"], NO_LABEL: ["train/3.jpg", "train/4.jpg"]},
    ),
    "a row without label, and one without name": (
        [*HERE, "train/3.jpg"],
        {"l.csv": TABLE + "3.jpg,\n,7\n"},
        {UNCLEAR_ROWS: ["l.csv, line 4: 3.jpg"], NAMELESS_ROWS: ["l.csv, line 5"], NO_LABEL: ["train/3.jpg"]},
    ),
    "what programs write for no label": (
        [*HERE, "train/3.jpg"],
        {"l.csv": TABLE + "3.jpg,NaN\n"},
        {UNCLEAR_ROWS: ["l.csv, line 4: 3.jpg"], NO_LABEL: ["train/3.jpg"]},
    ),
    "a row of another part": (
        [*HERE, "train/3.jpg"],
        {"l.csv": "image,label,split\n1.jpg,7,train\n2.jpg,9,train\n3.jpg,9,extra\n"},
        {OTHER_PARTS: ["l.csv, line 4: 3.jpg"]},
    ),
    "a label that is no class": (
        [*images("train/rose", "train/tulip"), "val/1.jpg", "val/2.jpg"],
        {"val.csv": "id,label\n1,rose\n2,lily\n"},
        {UNKNOWN_CLASS: ["val.csv, val/2.jpg: lily"], NO_LABEL: ["val/2.jpg"]},
    ),
    "masks": (
        [*images("rose", "tulip"), "rose/1_mask.png"],
        {},
        {COPIES: ["rose/1_mask.png"]},
    ),
    "a picture beside the class folders": (
        [*images("rose", "tulip"), "cover.jpg"],
        {},
        {OUTSIDE_CLASSES: ["cover.jpg"]},
    ),
    "a folder beside the parts": (
        [*images("train/rose", "train/tulip"), "docs/plan.jpg"],
        {},
        {OUTSIDE_PARTS: ["docs/plan.jpg"]},
    ),
    "a class that training lacks": (
        [*images("train/rose", "train/tulip"), "val/iris/1.jpg", "val/rose/1.jpg"],
        {},
        {UNKNOWN_CLASS: ["val/iris/1.jpg"]},
    ),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_is_left_out_is_named(case):
    listing, tables, expected = LEFT_OUT[case]
    assert read(sorted(listing), tables).left_out == expected


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


def test_a_table_whose_names_fit_files_of_several_classes_is_not_used():
    layout = read(images("rose", "tulip"), {"l.csv": TABLE})
    assert parts_of(layout)["train"] == ROSES
    assert layout.tables["l.csv"] == "not used: its names fit several files, such as 1.jpg: rose/1.jpg and tulip/1.jpg"


def test_names_of_class_folders_are_no_ids_of_images():
    layout = read(images("0", "1"), {"names.csv": "id,name\n0,rose\n1,tulip\n"})
    assert layout.columns == {"0": {"name": "rose"}, "1": {"name": "tulip"}}


def test_equal_names_in_the_parts_of_several_folders_are_no_folds():
    layout = read(images("s1/train/a", "s1/train/b", "s1/test/a", "s2/train/a", "s2/train/b", "s2/test/b"))
    assert {name: len(part.labels) for name, part in layout.parts.items()} == {"train": 8, "test": 4}
    assert len(read(images("raw/a", "raw/b", "set/train/a", "set/train/b", "set/test/a")).parts["train"].labels) == 4


def test_folds_of_a_cross_validation_are_refused():
    folds = images("fold1/train/a", "fold1/train/b", "fold1/val/c", "fold2/train/c", "fold2/val/a", "fold2/val/b")
    with pytest.raises(InputError, match="as the folds of a cross-validation do"):
        read(folds)


def test_a_name_without_suffix_that_two_files_have_is_refused():
    with pytest.raises(InputError, match=r"l.csv: 1 fits 2 files, 1.jpg and 1.png"):
        read(["1.jpg", "1.png", "2.jpg"], {"l.csv": "id,label\n1,7\n2,9\n"})


def test_a_row_of_a_class_without_its_file_does_not_take_the_file_of_another_class():
    layout = read(["rose/1.jpg", "tulip/2.jpg"], {"l.csv": "image,label\nrose/1.jpg,r\ntulip/2.jpg,t\niris/1.jpg,i\n"})
    assert parts_of(layout)["train"] == {"rose/1.jpg": "r", "tulip/2.jpg": "t"}
    assert layout.missing == ["iris/1.jpg"]


@pytest.mark.parametrize(
    ("listing", "tables", "message"),
    [
        (images("rose"), {}, "One class was found, 'rose'"),
        (images("train/rose", "test"), {}, "One class was found, 'rose'"),
        (["1.jpg", "2.jpg"], {}, "no labels for them"),
        (["1.jpg", "2.jpg"], {"x.csv": "a,b\n1,2\n"}, "x.csv: not used: it names"),
        (["1.jpg", "2.jpg"], {"x.csv": "image,label\n1.jpg,a\n2.jpg,a\n"}, "every row says 'a'"),
        (["1.jpg", "2.jpg"], {"x.csv": "fname,kfold\n1.jpg,0\n2.jpg,1\n"}, "none of its columns is called label"),
        (["1.jpg", "2.jpg"], {"x.csv": "fname,text\n1.jpg,a b\n2.jpg,c\n"}, "none of its columns is called label"),
        (["1.jpg"], {"x.csv": "image,label\n1.jpg,a\n1.jpg,b\n"}, "1 images have two labels, such as 1.jpg: a, b"),
        (HERE, {"x.csv": "image,label,split\n1.jpg,7,test\n2.jpg,9,test\n"}, "No images for training: 2 of test"),
        (["images/1.jpg", "images/2.jpg"], {}, "no labels for them"),
    ],
)
def test_what_gives_no_labels_says_why(listing, tables, message):
    with pytest.raises(InputError, match=message):
        read(listing, tables)


def test_the_user_names_the_table_and_its_columns():
    tables = {"a.csv": "photo,who,what\n1.jpg,A,x\n2.jpg,A,y\n", "b.csv": "image,label\n1.jpg,7\n2.jpg,9\n"}
    chosen = read(HERE, tables, chosen="a.csv", columns=Columns("photo", "what"))
    assert parts_of(chosen)["train"] == {"1.jpg": "x", "2.jpg": "y"}
    with pytest.raises(InputError, match=r"a.csv: which column holds the labels\? Its columns are photo, who, what"):
        read(HERE, {"a.csv": tables["a.csv"]}, chosen="a.csv")
    with pytest.raises(InputError, match=r"a.csv: no column wat; its columns are photo, who, what"):
        read(HERE, {"a.csv": tables["a.csv"]}, chosen="a.csv", columns=Columns("photo", "wat"))


def test_classes_that_look_alike_are_noted_and_merged_only_on_request():
    listing = images("Rose", "rose", "tulip", count=5) + images("rose ", count=7)
    layout = read(listing)
    assert set(layout.parts["train"].labels.values()) == {"Rose", "rose", "rose ", "tulip"}
    assert layout.notes[0].startswith("'Rose' (5) and 'rose' (5) and 'rose ' (7) differ only in case")
    merged = read(listing, merge=True)
    assert set(merged.parts["train"].labels.values()) == {"rose ", "tulip"}
    assert "'Rose' is merged into 'rose '" in merged.notes


@pytest.mark.parametrize(
    ("counts", "note"),
    [
        ({"rose": 9, "tulip": 2}, "1 classes have fewer than 5 images: 'tulip' (2)"),
        ({"rose": 95, "tulip": 5}, "95 % of the images are of one class, 'rose'"),
        ({"lily": 6, "lilly": 6}, "'lily' (6) and 'lilly' (6) differ by one letter"),
        ({"tulip": 6, "tulap": 6}, "'tulap' (6) and 'tulip' (6) differ by one letter"),
    ],
)
def test_classes_that_need_a_look_are_noted(counts, note):
    layout = read([f"{name}/{number}.jpg" for name, count in counts.items() for number in range(count)])
    assert layout.notes == [note]


@pytest.mark.parametrize("names", [("class 1", "class 2"), ("type a", "type b"), ("iris", "rose")])
def test_numbered_and_lettered_classes_are_no_misspellings(names):
    assert read(images(*names, count=6)).notes == []


def test_a_few_images_in_the_wrong_folder_are_noted():
    listing = images("rose", "tulip", count=10)
    labels_of = {**{path: path.split("/")[0] for path in listing}, "rose/1.jpg": "tulip"}
    table = "image,label\n" + "".join(f"{path},{label}\n" for path, label in labels_of.items())
    note = "1 images lie in another folder than most images of their label, such as rose/1.jpg"
    assert read(listing, {"l.csv": table}).notes == [note]
