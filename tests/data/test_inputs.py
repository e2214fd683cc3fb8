"""Which images are predicted: every kind of --input, and each way to name nothing, or one thing twice."""

import sys

import pytest

from common.errors import InputError
from data.inputs import find_inputs


def test_a_folder_gives_each_image_once_sorted_with_suffixes_in_any_case(test_folder):
    inputs = find_inputs([test_folder])
    assert inputs.image_ids == sorted(path.name for path in test_folder.iterdir() if path.suffix != ".txt")
    assert "img_1.JPG" in inputs.image_ids
    assert inputs.paths == [test_folder / image_id for image_id in inputs.image_ids]


def test_subfolders_are_part_of_the_id_and_hidden_files_are_left_out(tmp_path):
    for name in ("b/2.png", "a/1.JPEG", ".hidden/3.png", "__MACOSX/4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert find_inputs([tmp_path]).image_ids == ["a/1.JPEG", "b/2.png"]


@pytest.mark.parametrize("column", ["image_id", "filename", "img_name", "id"])
def test_a_csv_names_its_images_and_a_missing_one_keeps_its_row(tmp_path, column):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "b.png").write_bytes(b"")
    (tmp_path / "names.csv").write_text(f"{column},other\nz.png,1\nb.png,2\n", encoding="utf-8")
    inputs = find_inputs([tmp_path / "names.csv"])
    assert inputs.image_ids == ["b.png", "z.png"]
    assert inputs.paths == [tmp_path / "test" / "b.png", tmp_path / "test" / "z.png"]


def test_single_files(tmp_path):
    files = [tmp_path / "z.jpg", tmp_path / "a.PNG"]
    for file in files:
        file.write_bytes(b"")
    assert find_inputs(files).image_ids == ["a.PNG", "z.jpg"]


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: [root / "nowhere"], "nowhere: not found. The input is"),
        (lambda root: [root], "no images in this folder"),
        (lambda root: [write(root / "a.pdf")], "no image. The input is"),
        (lambda root: [write(root / "a.png"), root], "a folder. The input is one folder"),
        (lambda root: [write(root / "x/a.png"), write(root / "y/a.png")], "two files are called a.png"),
        (lambda root: [write(root / "n.csv", "x,y\n1,2\n")], "no column of image names"),
        (lambda root: [write(root / "n.csv", "image_id\n../a.png\n")], "none of its 1 images is in"),
        (lambda root: [write(root / "n.csv", "image_id\na.png\n")], "none of its 1 images is in"),
    ],
)
def test_what_cannot_be_predicted_is_named(tmp_path, make, message):
    paths = make(tmp_path)
    with pytest.raises(InputError, match=message):
        find_inputs(paths)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image_id\na.png\nb.png\n", {"a.png": "a.png", "b.png": "b.png"}),
        ("id\na\nb\n", {"a": "a.png", "b": "b.png"}),
        ("path\ntest\\a.png\n.\\test\\b.png\n", {"test\\a.png": "a.png", ".\\test\\b.png": "b.png"}),
        ("path\n/home/me/test/a.png\nC:\\x\\b.png\n", {"a.png": "a.png", "b.png": "b.png"}),
        ("Image ID;x\na.png;1\n\n;\nb.png;2\nb.png;2\n", {"a.png": "a.png", "b.png": "b.png"}),
        ("a\nb\n", {"a": "a.png", "b": "b.png"}),
        ("photograph\na\nb\n", {"a": "a.png", "b": "b.png"}),
        ("id,photograph\n1,a.png\n2,b.png\n", {"a.png": "a.png", "b.png": "b.png"}),
        ("a.png 1\nb.png 0\n", {"a.png": "a.png", "b.png": "b.png"}),
        ("A.PNG\nb.png\n", {"A.PNG": "a.png", "b.png": "b.png"}),
    ],
)
def test_a_table_of_names_is_read_as_prepare_data_reads_it(tmp_path, text, expected):
    for name in ("a.png", "b.png"):
        write(tmp_path / "test" / name)
    inputs = find_inputs([write(tmp_path / "names.csv", text)])
    found = {
        image_id: path.relative_to(tmp_path / "test").as_posix()
        for image_id, path in zip(inputs.image_ids, inputs.paths, strict=True)
    }
    assert found == expected


def test_names_that_fit_only_as_numbers_are_said(tmp_path, capsys):
    write(tmp_path / "test" / "007.png")
    assert find_inputs([write(tmp_path / "names.csv", "id\n7\n")]).paths == [tmp_path / "test" / "007.png"]
    assert "1 names fit a file only as a number, such as 7 and 007.png" in capsys.readouterr().out


def test_a_name_that_two_files_have_is_refused(tmp_path):
    for name in ("a.png", "a.jpg"):
        write(tmp_path / "test" / name)
    with pytest.raises(InputError, match=r"names.csv: a fits 2 files in .*, a.jpg and a.png"):
        find_inputs([write(tmp_path / "names.csv", "id\na\n")])


def test_what_gets_no_row_is_named(tmp_path, capsys):
    write(tmp_path / "a.png")
    write(tmp_path / "b.cr2", "raw")
    write(tmp_path / "notes.txt", "notes")
    (tmp_path / "scan").write_bytes(b"\xff\xd8\xff\xe0")
    assert find_inputs([tmp_path]).image_ids == ["a.png"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2].partition(": ")[2] for line in lines] == [
        "1 images of a format that is not read (1 .cr2), such as b.cr2: no row",
        "1 images without an image suffix, such as scan: no row",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep file names as Unicode")
def test_names_that_are_not_utf8_are_escaped_and_told(tmp_path, capsys):
    write(tmp_path / "caf\udce9.png")
    inputs = find_inputs([tmp_path])
    assert inputs.image_ids == ["caf%E9.png"]
    assert inputs.paths[0].is_file()
    assert "1 names are not UTF-8; they are written as caf%E9.png" in capsys.readouterr().out
