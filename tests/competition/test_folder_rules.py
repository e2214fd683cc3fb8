"""The test folder: a file that looks like an image and gets no row is found by what lies in the folder."""

import pytest

from competition.folder_rules import check_folder

ADVICE = "give them an image suffix or remove them"

JPEG = b"\xff\xd8\xff\xe0"


@pytest.mark.parametrize(
    ("names", "passed", "figure"),
    [
        (["a.jpg", "b/c.PNG"], True, "none of 2"),
        (["a.jpg", "notes.txt"], True, "none of 1"),
        (["a.jpg", "scan"], False, f"1, which look like images: scan; {ADVICE}"),
        (["a.jpg", "b.jpg_large"], False, f"1, which look like images: b.jpg_large; {ADVICE}"),
        (["a.jpg", ".b.jpg", "@eaDir/a.jpg"], True, "none, but for 2 hidden ones: .b.jpg, @eaDir/a.jpg"),
    ],
)
def test_each_file_of_the_folder_is_compared_with_the_rows(tmp_path, names, passed, figure):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"words" if name.endswith(".txt") else JPEG)
    check = check_folder(tmp_path)
    assert (check.passed, check.figure) == (passed, figure)
