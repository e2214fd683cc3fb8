"""prepare-data on real folders: links, odd names, ZIP files, parts, and what stays after a second run."""

import itertools
import json
import os
import sys
import zipfile

import pytest

from cli.flower_cli import main
from common.errors import InputError
from data.listing import CIRCLES, DEAD_LINKS, EMPTY, FOREIGN, HIDDEN, NO_FILES, NO_SUFFIX, list_images
from data.prepare import Request, prepare_data, understand_source
from data.source_files import DATA_FILES, PACKED, TWICE, UNPACKED, WORKBOOKS
from data.table import read_table
from tests.conftest import stripes, write_picture

links = pytest.mark.skipif(os.name == "nt", reason="making links needs a right that Windows users lack")
bytes_names = pytest.mark.skipif(sys.platform != "linux", reason="other systems keep file names as Unicode")


seeds = itertools.count()


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = next(seeds)
    write_picture(path, stripes(seed % 7, seed))
    return path


@pytest.fixture
def source(tmp_path):
    for name in ("rose", "tulip"):
        for number in range(2):
            picture(tmp_path / "source" / name / f"{number}.png")
    return tmp_path / "source"


def prepare(source, output, **options):
    return prepare_data(Request(source, output, **options))


def train_ids(output):
    return list(read_table(output / "train.csv", output / "train", output / "classes.csv").image_ids)


ROSES = ["rose/0.png", "rose/1.png", "tulip/0.png", "tulip/1.png"]


@links
def test_a_linked_class_folder_is_followed_and_a_circle_and_a_dead_link_are_named(source, tmp_path):
    (source / "tulip").rename(tmp_path / "elsewhere")
    (source / "tulip").symlink_to(tmp_path / "elsewhere")
    (source / "rose" / "up").symlink_to(source)
    (source / "rose" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    left_out = prepare(source, tmp_path / "out")["understood"]["left_out"]
    assert train_ids(tmp_path / "out") == ROSES
    assert left_out == {CIRCLES: ["rose/up"], DEAD_LINKS: ["rose/gone.png"]}


@bytes_names
def test_names_that_are_not_utf8_get_safe_names_and_the_old_ones_are_listed(source, tmp_path):
    (source / "rose" / "0.png").rename(source / "rose" / "caf\udce9.png")
    (source / "rose" / "1.png").rename(source / "rose" / "a\nb.png")
    (source / "tulip").rename(source / "\udcb7\udcd2")
    summary = prepare(source, tmp_path / "out")
    assert train_ids(tmp_path / "out") == ["%B7%D2/0.png", "%B7%D2/1.png", "rose/a%0Ab.png", "rose/caf%E9.png"]
    assert summary["renamed"]["train/rose/caf%E9.png"] == "rose/caf\\xe9.png"
    assert (tmp_path / "out" / "renamed.csv").read_text(encoding="utf-8").splitlines() == [
        "image_id,original",
        "train/rose/a%0Ab.png,rose/a\\x0ab.png",
        "train/rose/caf%E9.png,rose/caf\\xe9.png",
        "train/%B7%D2/0.png,\\xb7\\xd2/0.png",
        "train/%B7%D2/1.png,\\xb7\\xd2/1.png",
    ]


def test_names_of_250_bytes_are_written(source, tmp_path):
    name = "n" * 246 + ".png"
    picture(source / "rose" / name)
    prepare(source, tmp_path / "out")
    assert f"rose/{name}" in train_ids(tmp_path / "out")


def test_two_names_that_differ_only_in_case_stay_two_files_everywhere(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("rose/A.png", "rose/a.png", "tulip/1.png"):
            archive.write(picture(tmp_path / "one.png"), name)
    summary = prepare(tmp_path / "all.zip", tmp_path / "out")
    assert train_ids(tmp_path / "out") == ["rose/A.png", "rose/a~2.png", "tulip/1.png"]
    assert summary["renamed"] == {"train/rose/a~2.png": "rose/a.png"}


def test_thumbnails_and_other_files_are_left_out_and_named(source, tmp_path):
    for name in ("rose/@eaDir/0.png", ".thumbnails/0.png", "__MACOSX/rose/0.png", "$RECYCLE.BIN/0.png", "rose/._0.png"):
        picture(source / name)
    (source / "iris").mkdir()
    (source / "rose" / "raw.cr2").write_bytes(b"II*\0")
    picture(source / "rose" / "2.png").rename(source / "rose" / "scan")
    (source / "table.xlsx").write_bytes(b"PK")
    (source / "more.rar").write_bytes(b"Rar!")
    (source / "plan.pdf").write_bytes(b"%PDF")
    (source / "imagelabels.mat").write_bytes(b"MATLAB")
    left_out = prepare(source, tmp_path / "out")["understood"]["left_out"]
    assert train_ids(tmp_path / "out") == ROSES
    assert len(left_out.pop(HIDDEN)) == 5
    assert left_out == {
        EMPTY: ["iris/"],
        FOREIGN: ["rose/raw.cr2"],
        NO_SUFFIX: ["rose/scan"],
        WORKBOOKS: ["table.xlsx"],
        DATA_FILES: ["imagelabels.mat"],
        PACKED: ["more.rar"],
        "files that are neither images nor tables": ["plan.pdf"],
    }


@pytest.mark.parametrize("top", ["", "flowers/"])
def test_a_zip_of_class_folders(source, tmp_path, top):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for image_id, path in list_images(source).items():
            archive.write(path, top + image_id)
    prepare(tmp_path / "all.zip", tmp_path / "out")
    assert train_ids(tmp_path / "out") == ROSES


def test_a_zip_that_holds_images_and_their_table(source, tmp_path):
    (tmp_path / "downloads").mkdir()
    with zipfile.ZipFile(tmp_path / "downloads" / "all.zip", "w") as archive:
        for number, path in enumerate(list_images(source).values()):
            archive.write(path, f"images/{number}.png")
        archive.writestr("labels.csv", "image;label\n0.png;a\n1.png;a\n2.png;b\n3.png;b\n")
    prepare(tmp_path / "downloads", tmp_path / "out")
    assert train_ids(tmp_path / "out") == ["0.png", "1.png", "2.png", "3.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_a_zip_holds_twice_and_what_it_packs_again_is_named(source, tmp_path):
    (tmp_path / "downloads").mkdir()
    with zipfile.ZipFile(tmp_path / "downloads" / "all.zip", "w") as archive:
        for image_id, path in list_images(source).items():
            archive.write(path, image_id)
        archive.write(source / "rose" / "0.png", "rose/1.png")
        for name in ("more.zip", "table.xlsx", "raw.cr2", "plan.pdf"):
            archive.writestr(name, b"PK")
    for place, top in ((tmp_path / "downloads" / "all.zip", ""), (tmp_path / "downloads", "all/")):
        assert understand_source(Request(place, tmp_path / "out"))["left_out"] == {
            TWICE: [f"{top}rose/1.png"],
            PACKED: [f"{top}more.zip"],
            WORKBOOKS: [f"{top}table.xlsx"],
            FOREIGN: [f"{top}raw.cr2"],
            "files that are neither images nor tables": [f"{top}plan.pdf"],
        }


def test_a_text_within_a_zip_does_not_hide_the_table_beside_it(source, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number, path in enumerate(list_images(source).values()):
            archive.write(path, f"{number}.png")
        archive.writestr("readme.txt", "Flowers\n")
    (tmp_path / "labels.csv").write_text("image,label\n0,a\n1,a\n2,b\n3,b\n", encoding="utf-8")
    prepare(tmp_path / "all.zip", tmp_path / "out")
    assert train_ids(tmp_path / "out") == ["0.png", "1.png", "2.png", "3.png"]


def test_an_error_names_the_file_that_may_hold_the_labels(tmp_path):
    picture(tmp_path / "source" / "0.png")
    (tmp_path / "source" / "metadata.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"Left aside: metadata.jsonl \(files that may hold labels"):
        prepare(tmp_path / "source", tmp_path / "out")


@links
def test_a_pipe_that_is_called_like_an_image_or_a_table_is_named(source, tmp_path):
    os.mkfifo(source / "rose" / "9.png")
    os.mkfifo(source / "labels.csv")
    left_out = understand_source(Request(source, tmp_path / "out"))["left_out"]
    assert left_out == {NO_FILES: ["labels.csv", "rose/9.png"]}


@pytest.mark.parametrize(
    ("cell", "use"),
    [("nothing", "not used: its first lines name no image here"), ("rose/0", "not used: it names images, but none of")],
)
def test_a_large_table_is_read_only_if_it_names_images(source, tmp_path, monkeypatch, cell, use):
    monkeypatch.setattr("data.prepare._LARGE_TABLE", 100)
    (source / "log.csv").write_text("image,text\n" + f"{cell},a\n" * 20, encoding="utf-8")
    assert understand_source(Request(source, tmp_path / "out"))["tables"]["log.csv"].startswith(use)


def test_a_zip_beside_its_unpacked_folder_is_not_read_twice(source, tmp_path):
    (source / "rose").rename(source / "train_rose")
    with zipfile.ZipFile(source / "tulip.zip", "w") as archive:
        archive.write(source / "tulip" / "0.png", "0.png")
    assert understand_source(Request(source, tmp_path / "out"))["left_out"] == {UNPACKED: ["tulip.zip"]}


@pytest.fixture
def parts(tmp_path):
    for part in ("train", "val", "test"):
        for name in ("rose", "tulip"):
            picture(tmp_path / "parts" / part / name / "0.png")
    return tmp_path / "parts"


def test_each_part_has_its_folder_and_table(parts, tmp_path):
    (parts / "test" / "rose" / "broken.png").write_bytes(b"\x89PNG no")
    summary = prepare(parts, tmp_path / "out")
    for part in ("train", "val", "test"):
        table = (tmp_path / "out" / f"{part}.csv").read_text(encoding="utf-8")
        assert table == "image_id,label\nrose/0.png,0\ntulip/0.png,1\n"
    # a test image that nothing can read still has to be predicted
    assert (tmp_path / "out" / "test" / "rose" / "broken.png").is_file()
    assert list(summary["unreadable"]) == ["test/rose/broken.png"]


def test_a_table_of_another_source_in_the_output_is_refused(parts, source, tmp_path):
    prepare(parts, tmp_path / "out")
    with pytest.raises(InputError, match=r"val.csv belongs to another source"):
        prepare(source, tmp_path / "out")


def test_an_output_within_the_source_is_not_read_as_source(source):
    first = prepare(source, source / "prepared")
    assert prepare(source, source / "prepared") == first
    assert first["images"] == 4
    with pytest.raises(InputError, match="lies within the source images"):
        prepare(source, source / "rose")


def test_hard_links_share_the_bytes(source, tmp_path):
    summary = prepare(source, tmp_path / "out", link=True)
    assert summary["linked"] == 4
    assert (tmp_path / "out" / "train" / "rose" / "0.png").samefile(source / "rose" / "0.png")


def test_files_are_copied_where_links_are_not_possible(source, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    assert prepare(source, tmp_path / "out", link=True)["linked"] == 0
    assert train_ids(tmp_path / "out") == ROSES


def test_a_dry_run_prints_what_was_understood_and_writes_nothing(source, tmp_path, capsys):
    (source / "notes.csv").write_text("day,weather\n1,rain\n", encoding="utf-8")
    assert main(["prepare-data", "--source", str(source), "--output", str(tmp_path / "out"), "--dry-run"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        "layout one folder per class; all images for training",
        "table notes.csv: not used: it names no image here; its columns are day, weather",
        "train 4 labelled images",
        "classes 2, rose, tulip",
    ]
    assert not (tmp_path / "out").exists()


def test_what_was_understood_is_in_the_summary_too(source, tmp_path):
    prepare(source, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert written["understood"] == understand_source(Request(source, tmp_path / "out"))


def test_without_an_output_it_says_what_is_missing(source):
    with pytest.raises(InputError, match="needs --output, the folder to write"):
        main(["prepare-data", "--source", str(source)])
