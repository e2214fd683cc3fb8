"""What a folder is taken for: a listing goes in, parts and labels come out, and what was left out is named."""

import pytest

from common.errors import InputError
from data.layout import (
    CONTRADICTIONS,
    COPIES,
    NO_LABEL,
    OUTSIDE_CLASSES,
    OUTSIDE_PARTS,
    UNKNOWN_CLASS,
)
from data.table_use import NAMELESS_ROWS, OTHER_PARTS, UNCLEAR_ROWS
from tests.data.layouts import FLAT, HERE, ROSES, TABLE, images, labels, parts_of, read

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
