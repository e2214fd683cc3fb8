"""Which targets are refused before the work, what stays of a result that cannot get its name, safe names."""

import json
import os
import tempfile
from pathlib import Path

import pytest

from common import files
from common.errors import InputError, RunError, as_warning
from common.files import (
    check_writable,
    check_writable_folder,
    expand_home,
    replacing,
    run_all,
    safe_name,
    to_json,
    write_text,
)
from tests.helpers import working_directory


@pytest.fixture
def place(tmp_path):
    """A working directory with a file, a folder and links."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.csv").write_text("old", encoding="utf-8")
    (tmp_path / "to_folder").symlink_to("folder")
    (tmp_path / "to_nowhere").symlink_to("gone")
    (tmp_path / "to_itself").symlink_to("to_itself")
    with working_directory(tmp_path):
        yield tmp_path


REFUSED = [
    ("folder", "folder: is a folder"),
    ("folder/", "folder: is a folder"),
    (".", "is a folder"),
    ("to_folder", "to_folder: is a folder"),
    ("file.csv/x.csv", "file.csv/x.csv: file.csv is a file"),
    ("file.csv/a/b/x.csv", "file.csv/a/b/x.csv: file.csv is a file"),
    ("to_nowhere", "to_nowhere is a link that leads nowhere"),
    ("to_nowhere/x.csv", "to_nowhere/x.csv: to_nowhere is a link that leads nowhere"),
    ("to_itself", "to_itself: cannot be written"),
    ("new/" + "x" * 300 + ".csv", "cannot be written: File name too long"),
    ("a\0b.csv", "NUL character"),
    ("-", "-: results go to a file"),
]


@pytest.mark.parametrize(("path", "message"), REFUSED)
def test_a_target_that_cannot_be_written_is_named(place, path, message):
    before = sorted(place.rglob("*"))
    with pytest.raises(InputError) as error:
        check_writable(Path(path))
    assert message.replace("/", os.sep) in str(error.value)
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("path", ["file.csv/sub", "to_nowhere", "to_itself", "x" * 300, "a\0b", "-", "runs/-"])
def test_a_folder_that_cannot_be_written_is_named(place, path):
    with pytest.raises(InputError):
        check_writable_folder(Path(path))
    with pytest.raises(InputError, match="is a file; name a folder"):
        check_writable_folder(Path("file.csv"))


@pytest.mark.parametrize("path", ["new.csv", "file.csv", "new/sub/x.csv", "folder/x.csv", "花 'x' [1] {a} %s.csv"])
def test_trying_a_good_target_leaves_nothing_behind(place, path):
    before = sorted(place.rglob("*"))
    check_writable(Path(path))
    check_writable_folder(Path("folder"))
    check_writable_folder(Path("new/sub"))
    assert sorted(place.rglob("*")) == before
    assert Path("file.csv").read_text(encoding="utf-8") == "old"


def test_a_folder_without_rights_is_named(place, monkeypatch):
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    # a test may run as root, who may write everywhere
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    for path in (Path("folder/x.csv"), Path("folder/new/x.csv")):
        with pytest.raises(InputError, match=r"the folder folder cannot be written into: Permission denied"):
            check_writable(path)
    with pytest.raises(InputError, match=r"new: the folder \. cannot be written into"):
        check_writable_folder(Path("new"))


@pytest.mark.parametrize("name", ["CON", "nul.csv", "Aux.tar.gz", "COM1", "lpt9.txt", "results/con/x.csv"])
def test_the_names_of_devices_are_refused_on_windows_alone(place, monkeypatch, name):
    check_writable(Path(name))
    monkeypatch.setattr("common.files.ON_WINDOWS", True)
    with pytest.raises(InputError, match="for a device"):
        check_writable(Path(name))
    check_writable(Path("console.csv"))


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="has no such device")
def test_a_device_is_not_replaced(place):
    with pytest.raises(InputError, match="no ordinary file"):
        check_writable(Path("/dev/null"))


def test_an_input_is_not_overwritten_under_any_of_its_names(place):
    Path("link.csv").symlink_to("file.csv")
    for path in ("file.csv", "./folder/../file.csv", "link.csv", place / "file.csv"):
        with pytest.raises(InputError, match="is read by this command too"):
            check_writable(Path(path), [Path("missing.csv"), Path("file.csv")])
    check_writable(Path("other.csv"), [Path("file.csv")])


def refuse_to_replace(monkeypatch, target: Path) -> None:
    """Hold `target` open, as Excel does on Windows."""
    replace = Path.replace

    def replace_or_fail(self: Path, other: Path) -> Path:
        if Path(other) == target:
            raise PermissionError(13, "being used by another process")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", replace_or_fail)


@pytest.mark.parametrize("always", [False, True])
def test_a_result_that_cannot_get_its_name_stays_under_another(place, monkeypatch, always):
    refuse_to_replace(monkeypatch, Path("file.csv"))
    if always:
        monkeypatch.setattr(Path, "replace", lambda self, other: (_ for _ in ()).throw(PermissionError(13, "held")))
    with pytest.raises(RunError, match=r"file\.csv: cannot be replaced .*; the complete result is file\.new\.csv"):
        write_text(Path("file.csv"), "new")
    assert Path("file.csv").read_text(encoding="utf-8") == "old"
    assert Path("file.new.csv").read_text(encoding="utf-8") == "new"
    assert not list(place.glob(".*"))


def test_a_result_stays_even_where_no_other_name_is_free(place, monkeypatch):
    refuse_to_replace(monkeypatch, Path("file.csv"))
    Path("file.new.csv").mkdir()
    with pytest.raises(RunError, match=r"the complete result is \.\w+\.\d+\.tmp") as error:
        write_text(Path("file.csv"), "new")
    (kept,) = place.glob(".*.tmp")
    assert kept.name in str(error.value)
    assert kept.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("refusals", [2, None])
def test_on_windows_a_file_that_a_scanner_holds_for_a_moment_gets_its_name(place, monkeypatch, refusals):
    replace, tries = Path.replace, []

    def held_at_first(self: Path, other: Path) -> Path:
        tries.append(other)
        if refusals is None or len(tries) <= refusals:
            raise PermissionError(13, "being used by another process")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", held_at_first)
    monkeypatch.setattr(files, "ON_WINDOWS", True)
    monkeypatch.setattr(files, "SECONDS_OF_SCANNERS", 0.3)
    if refusals is None:
        with pytest.raises(RunError, match="Close the program that has file"):
            write_text(Path("file.csv"), "new")
    else:
        write_text(Path("file.csv"), "new")
        assert Path("file.csv").read_text(encoding="utf-8") == "new"
    assert len(tries) > 2
    assert not list(place.glob(".*"))


def test_work_that_fails_leaves_the_old_file_alone(place):
    def write_half() -> None:
        with replacing(Path("file.csv")) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert Path("file.csv").read_text(encoding="utf-8") == "old"
    assert not list(place.glob(".*"))


def test_names_may_be_as_long_as_the_file_system_allows(place):
    path = Path("花" * 80 + "x" * 11 + ".jpg")
    assert len(os.fsencode(path)) == 255
    write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "new"


def test_one_file_that_cannot_get_its_name_costs_no_other(place, monkeypatch):
    refuse_to_replace(monkeypatch, Path("file.csv"))
    with pytest.raises(RunError) as error:
        run_all(lambda name=name: write_text(Path(name), "new") for name in ("file.csv", "b.csv"))
    assert "file.new.csv" in str(error.value)
    assert Path("b.csv").read_text(encoding="utf-8") == "new"


def test_the_home_folder_is_expanded_at_the_start_alone(monkeypatch, tmp_path):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert expand_home("~") == str(tmp_path)
    assert expand_home("~/a/~b") == str(tmp_path / "a" / "~b")
    for text in ("a/~", "./~/x", "a~b", ""):
        assert expand_home(text) == text


NAMES = [
    "without ema",
    "with_layer-decay",
    "花",
    "lr=0.1",
    "../x",
    "..",
    "a/b",
    "CON",
    "nul.x",
    "a|b",
    "a?b",
    "a.",
    "x" * 300,
]


def test_names_of_folders_are_safe_and_differ():
    names = [safe_name(name) for name in [*NAMES, "x" * 299, "a b", "a_b|", "", "\n"]]
    assert len(set(names)) == len(names)
    assert names[:4] == ["without_ema", "with_layer-decay", "花", "lr=0.1"]
    for name in names:
        assert len(os.fsencode(name)) <= 255
        assert not set(name) & set('<>:"/\\|?*\n')
        assert name not in ("..", "CON", "nul.x")
        assert not name.endswith(".")


def test_what_is_worth_less_than_the_work_becomes_a_line():
    said = []
    for error in (ValueError("a\nb"), InputError("x.csv: gone."), MemoryError()):
        with as_warning("the picture x.png", said.append):
            raise error
    assert said == [
        "the picture x.png is missing: ValueError: a b",
        "the picture x.png is missing: x.csv: gone.",
        "the picture x.png is missing: MemoryError: ",
    ]
    with pytest.raises(KeyboardInterrupt), as_warning("a picture"):
        raise KeyboardInterrupt


def test_json_holds_file_names_that_are_no_utf8(place):
    facts = {"input": "/data/caf\udce9 花", "images": 3}
    write_text(Path("facts.json"), to_json(facts))
    text = Path("facts.json").read_text(encoding="utf-8")
    assert json.loads(text) == facts
    assert "花" in text
