"""Every form in which labelled images arrive becomes the same prepared data set, and every fault is found."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from common.errors import InputError
from data.labelled import read_labelled
from data.prepare import Request, prepare_data
from data.table import read_classes, read_table
from tests.conftest import stripes, write_picture

CATEGORIES = {"1734": ("玫瑰", "rose"), "164": ("菊花", "daisy"), "245": ("", "")}
FILES = {"img_3.png": "1734", "img_1.png": "164", "img_2.png": "164", "img_4.png": "245"}


def write_organisers(folder, images="train"):
    (folder / images).mkdir(parents=True, exist_ok=True)
    lines = ["filename,category_id,chinese_name,english_name"]
    for number, (name, category) in enumerate(FILES.items()):
        write_picture(folder / images / name, stripes(number, number))
        lines.append(f"{name},{category},{','.join(CATEGORIES[category])}")
    (folder / "train_labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def prepare(source, output, labels=None, **options):
    return prepare_data(Request(source, output, labels, **options))


def zip_of(path, folder, names, inner="train/"):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.write(folder / name, f"{inner}{name}")


def check_organisers(output):
    table = read_table(output / "train.csv", output / "train", output / "classes.csv")
    # numeric order of the sparse ids: 164, 245, 1734
    assert [image_class.category_id for image_class in table.classes] == ["164", "245", "1734"]
    assert [image_class.name for image_class in table.classes] == ["daisy", "245", "rose"]
    assert dict(zip(table.image_ids, table.labels.tolist(), strict=True)) == {
        "img_1.png": 0,
        "img_2.png": 0,
        "img_3.png": 2,
        "img_4.png": 1,
    }
    assert (output / "classes.csv").read_text(encoding="utf-8").splitlines()[0] == (
        "label,category_id,name,chinese_name,english_name"
    )


@pytest.mark.parametrize("images", ["train", "images", "train/train", "."])
def test_unpacked_organisers_files(tmp_path, images):
    source = write_organisers(tmp_path / "源 1", images)
    summary = prepare(source, tmp_path / "out")
    check_organisers(tmp_path / "out")
    assert (summary["images"], summary["classes"]) == (4, 3)
    assert summary["images_per_class"] == {"min": 1, "median": 1.0, "max": 2}


@pytest.mark.parametrize("inner", ["train/", "", "a/b/"])
def test_the_organisers_zip(tmp_path, inner):
    source = write_organisers(tmp_path / "source")
    zip_of(source / "train.zip", source / "train", FILES, inner)
    shutil.rmtree(source / "train")
    prepare(source, tmp_path / "out")
    check_organisers(tmp_path / "out")
    prepare(source / "train.zip", tmp_path / "out2", labels=source / "train_labels.csv")
    check_organisers(tmp_path / "out2")


def test_a_zip_of_chinese_windows(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    write_picture(source / "a.png", stripes(0, 0))
    # zipfile flags names that are not ASCII as UTF-8; placeholders of the same length let GBK take their place
    names = {"AAAA.png": "牡丹.png", "BBBB.png": "芍药.png"}
    zip_path = source / "train.zip"
    with zipfile.ZipFile(zip_path, "w") as archive:
        for placeholder in names:
            archive.write(source / "a.png", placeholder)
    raw = zip_path.read_bytes()
    for placeholder, name in names.items():
        raw = raw.replace(placeholder.encode(), name.encode("gbk"))
    zip_path.write_bytes(raw)
    (source / "a.png").unlink()
    (source / "labels.csv").write_text("image_id,label\n牡丹.png,0\n芍药.png,1\n", encoding="utf-8")
    prepare(source, tmp_path / "out")
    assert read_table(tmp_path / "out" / "train.csv", tmp_path / "out" / "train").image_ids == ["牡丹.png", "芍药.png"]


def test_a_folder_per_class_in_natural_order(tmp_path):
    for number, name in enumerate(["10", "2", "1", "百合"]):
        (tmp_path / "source" / name).mkdir(parents=True)
        write_picture(tmp_path / "source" / name / "same name.png", stripes(number, number))
    prepare(tmp_path / "source", tmp_path / "out")
    table = read_table(tmp_path / "out" / "train.csv", tmp_path / "out" / "train", tmp_path / "out" / "classes.csv")
    assert [image_class.name for image_class in table.classes] == ["1", "2", "10", "百合"]
    assert "10/same name.png" in table.image_ids


def test_a_table_with_names_beside_it(tmp_path):
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    for number in range(3):
        write_picture(source / "images" / f"{number}.png", stripes(number, number))
    (source / "labels.csv").write_text("image_id,label\n0.png,7\n1.png,9\n2.png,7\n", encoding="utf-8")
    (source / "classes.csv").write_text("label,name\n7,lily\n8,none\n9,iris\n", encoding="utf-8")
    prepare(source, tmp_path / "out")
    classes = read_classes(tmp_path / "out" / "classes.csv")
    assert [(entry.label, entry.category_id, entry.name) for entry in classes] == [(0, "7", "lily"), (1, "9", "iris")]


def test_what_is_wrong_with_the_files_is_found(tmp_path):
    source = write_organisers(tmp_path / "source")
    (source / "train" / "img_2.png").write_bytes(b"broken")
    shutil.copy(source / "train" / "img_1.png", source / "train" / "unlabelled.png")
    shutil.copy(source / "train" / "img_1.png", source / "train" / "img_3.png")
    with (source / "train_labels.csv").open("a", encoding="utf-8") as file:
        file.write("gone.png,164,菊花,daisy\n")
    summary = prepare(source, tmp_path / "out")
    assert list(summary["unreadable"]) == ["img_2.png"]
    assert summary["files_without_label"] == ["unlabelled.png"]
    assert summary["labels_without_file"] == ["gone.png"]
    assert summary["duplicates"] == [{"images": ["img_1.png", "img_3.png"], "labels_differ": True}]
    assert read_table(tmp_path / "out" / "train.csv", tmp_path / "out" / "train").image_ids == [
        "img_1.png",
        "img_3.png",
        "img_4.png",
    ]
    assert json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8")) == summary


def test_a_truncated_image_stays_and_is_listed(tmp_path):
    source = write_organisers(tmp_path / "source")
    write_picture(source / "big.jpg", stripes(1, 1).repeat(8, axis=0).repeat(8, axis=1))
    content = (source / "big.jpg").read_bytes()
    (source / "big.jpg").unlink()
    (source / "train" / "img_1.png").write_bytes(content[: len(content) // 2])
    summary = prepare(source, tmp_path / "out")
    assert summary["recovered"] == ["img_1.png"]
    assert summary["images"] == 4


def test_a_damaged_member_of_a_zip_is_listed_and_the_others_are_read(tmp_path):
    source = write_organisers(tmp_path / "source")
    with zipfile.ZipFile(source / "train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FILES:
            archive.write(source / "train" / name, f"train/{name}")
        member = archive.getinfo("train/img_1.png")
    data = bytearray((source / "train.zip").read_bytes())
    start = member.header_offset + 30 + len(member.filename)
    data[start : start + 20] = b"\xff" * 20
    (source / "train.zip").write_bytes(bytes(data))
    summary = prepare(source / "train.zip", tmp_path / "out", labels=source / "train_labels.csv")
    assert summary["images"] == 3
    assert list(summary["unreadable"]) == ["img_1.png"]


def test_running_twice_is_harmless(tmp_path):
    source = write_organisers(tmp_path / "source")
    first = prepare(source, tmp_path / "out")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "train").iterdir()}
    assert prepare(source, tmp_path / "out") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "train").iterdir()} == written


def test_older_files_in_the_output_are_reported_not_deleted(tmp_path):
    source = write_organisers(tmp_path / "source")
    prepare(source, tmp_path / "out")
    write_picture(tmp_path / "out" / "train" / "old.png", stripes(0, 0))
    assert prepare(source, tmp_path / "out")["not_of_this_source"] == ["old.png"]
    assert (tmp_path / "out" / "train" / "old.png").is_file()


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "C:\\evil.png", "\\\\host\\evil.png"])
def test_a_member_that_would_land_outside_is_refused(tmp_path, name):
    source = write_organisers(tmp_path / "source")
    with zipfile.ZipFile(source / "train.zip", "w") as archive:
        archive.write(source / "train" / "img_1.png", "train/img_1.png")
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(InputError, match=r"leads outside the target folder\. Nothing was unpacked"):
        prepare(source / "train.zip", tmp_path / "out", source / "train_labels.csv")
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_zip_is_refused(tmp_path):
    source = write_organisers(tmp_path / "source")
    with zipfile.ZipFile(source / "train.zip", "w") as archive:
        link = zipfile.ZipInfo("train/img_1.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="leads outside"):
        prepare(source / "train.zip", tmp_path / "out", source / "train_labels.csv")


@pytest.mark.integration
def test_a_huge_member_is_refused(tmp_path):
    source = write_organisers(tmp_path / "source")
    with zipfile.ZipFile(source / "train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/img_1.png", bytes(201_000_000))
    with pytest.raises(InputError, match="would take 201 MB"):
        prepare(source / "train.zip", tmp_path / "out", source / "train_labels.csv")


def broken_sources(tmp_path):
    good = write_organisers(tmp_path / "good")
    no_labels = tmp_path / "no_labels"
    shutil.copytree(good / "train", no_labels / "train")
    no_match = write_organisers(tmp_path / "no_match")
    shutil.rmtree(no_match / "train")
    (no_match / "train").mkdir()
    write_picture(no_match / "train" / "other.png", stripes(0, 0))
    columns = write_organisers(tmp_path / "columns")
    (columns / "train_labels.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    gbk = write_organisers(tmp_path / "gbk")
    text = (gbk / "train_labels.csv").read_text(encoding="utf-8")
    (gbk / "train_labels.csv").write_bytes(text.encode("gbk"))
    bad_zip = write_organisers(tmp_path / "bad_zip")
    (bad_zip / "train.zip").write_bytes(b"PK no")
    return {
        "missing": (tmp_path / "none", "not found"),
        "no_labels": (no_labels, "4 training images, but no labels for them"),
        "no_match": (no_match, "train_labels.csv: not used: none of its images is here, such as img_3.png"),
        "columns": (columns, "it names no image here; its columns are a, b"),
        "gbk": (gbk, "not UTF-8"),
        "bad_zip": (bad_zip / "train.zip", "not a ZIP file, or damaged"),
    }


@pytest.mark.parametrize("fault", ["missing", "no_labels", "no_match", "columns", "gbk", "bad_zip"])
def test_a_faulty_source_is_one_line(tmp_path, fault):
    source, message = broken_sources(tmp_path)[fault]
    with pytest.raises(InputError) as error:
        prepare(source, tmp_path / "out")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_writing_into_the_source_is_refused(tmp_path):
    source = write_organisers(tmp_path / "source")
    with pytest.raises(InputError, match="lies within the source images"):
        prepare(source, source)


def test_labelled_images_are_found_beside_their_table(tmp_path):
    source = write_organisers(tmp_path / "source")
    prepare(source, tmp_path / "out")
    assert len(read_labelled(tmp_path / "out").image_ids) == 4
    assert read_labelled(tmp_path / "out" / "train.csv").classes[0].category_id == "164"
    with pytest.raises(InputError, match="Labelled images are a prepared folder"):
        read_labelled(tmp_path / "none")


def test_what_the_centre_crop_loses_is_counted_over_the_images_in_use(tmp_path):
    shapes = {"square": (48, 48), "photograph": (75, 100), "rounded": (500, 667), "wide": (90, 160), "tall": (160, 90)}
    for number, shape in enumerate(shapes.values()):
        folder = tmp_path / "source" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        write_picture(folder / f"{number}.png", np.full((*shape, 3), 40 * number, np.uint8))
    found = prepare(tmp_path / "source", tmp_path / "out")["centre_crop"]
    assert found["mean"] == pytest.approx((0 + 0.25 + (1 - 500 / 667) + 2 * (1 - 9 / 16)) / 5)
    assert found["much"] == pytest.approx(2 / 5)
