"""Git takes the code in data/ and leaves the images there alone."""

import shutil
import subprocess

import pytest

from tests.helpers import REPOSITORY


def git(*words):
    return subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, check=False).returncode


@pytest.mark.skipif(
    shutil.which("git") is None or git("rev-parse", "--git-dir") != 0,
    reason="needs git and a clone, not an unpacked ZIP",
)
@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("data/flower100/train/0001.jpg", True),
        ("data/flower100/train.csv", True),
        ("data/table.py", False),
        ("data/formats/__init__.py", False),
        ("data/formats/folders.py", False),
    ],
)
def test_images_are_ignored_and_code_is_not(path, ignored):
    assert git("check-ignore", "--quiet", "--no-index", path) == (0 if ignored else 1)
