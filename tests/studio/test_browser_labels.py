"""Decisions on labels in a browser: keys, two windows beside the command line, and a run that applies them."""

import csv
import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.csv_files import write_rows
from data.table import write_table
from models.checkpoint import load_checkpoint
from tests.conftest import TINY, write_pictures
from tests.helpers import run_script

pytest.importorskip("gradio", reason="requirements-studio.txt is not installed")
pytest.importorskip("selenium.webdriver", reason="selenium is not installed (requirements-dev.txt)")

from selenium.webdriver.common.action_chains import ActionChains

from tests.studio.test_browser import SECONDS, Visitor, pytestmark, served, visit
from tools.label_errors import LABEL_ERROR_COLUMNS, SURE_OF_ANOTHER

__all__ = ["pytestmark", "visit"]

NAMES = [f"{number:04d}.png" for number in range(12)]


def until(what: Callable[[], bool], told: Callable[[], str]) -> None:
    ends = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < ends, told()
        time.sleep(0.1)


def open_tab(visitor: Visitor, place: int) -> None:
    visitor.find("button[role=tab]")
    visitor.driver.find_elements("css selector", "button[role=tab]")[place].click()


def press(visitor: Visitor, key: str) -> None:
    ActionChains(visitor.driver).send_keys(key).perform()


def shown(visitor: Visitor) -> str:
    """Return the id of the image that the window shows."""
    return visitor.find("#doubtful-shown textarea, #doubtful-shown input").get_property("value")


def decide(visitor: Visitor, key: str) -> None:
    """Press a key and wait until another image is shown."""
    before = shown(visitor)
    press(visitor, key)
    until(lambda: shown(visitor) != before, lambda: f"{key}: {visitor.text('#doubtful-told')}")


def decisions(root: Path) -> list[tuple[str, str, str]]:
    path = root / "corrections.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["image_id"], row["action"], row["label"]) for row in csv.DictReader(file)]


@pytest.fixture
def root(tmp_path) -> Path:
    """A prepared folder of three classes, and the list of an audit that doubts its first twelve images."""
    root = tmp_path / "data"
    write_pictures(root, [20, 20, 20])
    rows = []
    for number, name in enumerate(NAMES):
        label, other = number % 3, (number + 1) % 3
        rows.append((name, label, f"花 {label}", other, f"花 {other}", "0.0500", "0.9000", SURE_OF_ANOTHER))
    write_rows(tmp_path / "results" / "audit" / "label_errors.csv", LABEL_ERROR_COLUMNS, rows)
    return root


def test_ten_labels_are_decided_with_keys_and_a_run_applies_them(root, tmp_path, visit):
    with served(tmp_path, "--data", root) as address:
        visitor = visit(address)
        open_tab(visitor, 2)
        visitor.find("#doubtful img")
        assert "0 of 12 decided" in visitor.text("#doubtful-progress")
        # keep, relabel, drop, skip 0003, then seven more of which one is taken back
        for key in "1234123":
            decide(visitor, key)
        assert "6 of 12 decided" in visitor.text("#doubtful-progress")
        decide(visitor, "u")
        assert shown(visitor) == "0006.png"
        assert "0006.png: your decision is taken back." in visitor.text("#doubtful-told")
        for key in "11213":
            decide(visitor, key)
        assert "10 of 12 decided" in visitor.text("#doubtful-progress")
        # a key in a field is no decision
        visitor.find("#doubtful-class input").click()
        press(visitor, "1")
        time.sleep(1)
        assert len(decisions(root)) == 10
        assert visitor.requests() == {"127.0.0.1"}
    assert decisions(root) == [
        ("0000.png", "keep", ""),
        ("0001.png", "relabel", "2"),
        ("0002.png", "drop", ""),
        ("0004.png", "keep", ""),
        ("0005.png", "relabel", "0"),
        ("0006.png", "keep", ""),
        ("0007.png", "keep", ""),
        ("0008.png", "relabel", "0"),
        ("0009.png", "keep", ""),
        ("0010.png", "drop", ""),
    ]
    words = [*TINY, f"dataset.root={root}", f"output_dir={tmp_path / 'run'}"]
    trained = run_script("train.py", *words)
    assert trained.returncode == 0, trained.stderr
    assert "corrections.csv: 3 labels changed, 2 images dropped, 5 kept as they are." in trained.stderr
    recorded = load_checkpoint(tmp_path / "run" / "checkpoints" / "best_model.pt").corrections
    counts = {key: recorded[key] for key in ("changed", "dropped", "kept", "sha256")}
    sha256 = hashlib.sha256((root / "corrections.csv").read_bytes()).hexdigest()
    assert counts == {"changed": 3, "dropped": 2, "kept": 5, "sha256": sha256}


def test_two_windows_and_the_command_line_do_not_overwrite_each_other(root, tmp_path, visit):
    with served(tmp_path, "--data", root) as address:
        first, second = visit(address), visit(address)
        for visitor in (first, second):
            open_tab(visitor, 2)
            visitor.find("#doubtful img")
        decide(first, "1")
        done = run_script("cli/flower_cli.py", "correct", f"dataset.root={root}", "--drop", "0001.png")
        assert done.returncode == 0, done.stderr
        # the second window still shows the image that the first has decided
        assert shown(second) == "0000.png"
        decide(second, "3")
        assert "Decided already, nothing is written. 0000.png: the label stays." in second.text("#doubtful-told")
        assert shown(second) == "0002.png"
        assert "2 of 12 decided" in second.text("#doubtful-progress")
        # the first window takes back its own decision, not the newer one of the command line
        decide(first, "\ue003")
        assert decisions(root) == [("0001.png", "drop", "")]


def test_a_label_that_is_wrong_instead_of_the_answer_is_corrected_from_the_mistakes(
    checkpoint, pictures, tmp_path, visit
):
    root = tmp_path / "data"
    shutil.copytree(pictures, root)
    held_back = set(load_checkpoint(checkpoint).split["val"])
    with (root / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["image_id"], int(row["label"])) for row in csv.DictReader(file)]
    # all of class 0 are called 1, so whatever the model says of most of them is no longer the label
    write_table(root / "train.csv", [name for name, _ in rows], [max(label, 1) for _, label in rows])
    with served(tmp_path, "--checkpoint", checkpoint, "--data", root) as address:
        visitor = visit(address)
        open_tab(visitor, 3)
        visitor.find("#find-mistakes").click()
        visitor.find("#mistake-0 .kit-two img")
        assert f"of {len(held_back)} validation photographs are answered wrongly" in visitor.text("#mistakes-summary")
        told = visitor.text("#mistake-0")
        assert "Answer: 花 " in told
        answer = told.partition("Answer: 花 ")[2][0]
        image = next(name for name in held_back if name in told)
        button = visitor.find("#mistake-0-relabel")
        assert button.text == f"Label is wrong: it is 花 {answer}"
        button.click()
        until(lambda: "the label is now" in visitor.text("#mistake-0"), lambda: visitor.text("#mistakes-told"))
        assert not visitor.driver.find_elements("css selector", "#mistake-0-drop")
        assert decisions(root) == [(image, "relabel", answer)]
        visitor.find("#mistakes-undo").click()
        until(lambda: not decisions(root), lambda: visitor.text("#mistakes-told"))
        visitor.find("#mistake-0-drop").click()
        until(lambda: decisions(root) == [(image, "drop", "")], lambda: visitor.text("#mistakes-told"))


def test_the_chinese_tabs_speak_chinese(root, checkpoint, pictures, tmp_path, visit):
    with served(tmp_path, "--checkpoint", checkpoint, "--data", root, "--language", "zh") as address:
        visitor = visit(address)
        open_tab(visitor, 2)
        visitor.find("#doubtful img")
        assert "已决定 0 / 12" in visitor.text("#doubtful-progress")
        assert "建议标签：花 1，90.0 %" in visitor.text("#doubtful")
        assert visitor.text("#doubtful-relabel") == "2 改为：花 1"
        decide(visitor, "3")
        assert "不再使用" in visitor.text("#doubtful-told")
        open_tab(visitor, 3)
        until(lambda: "验证照片" in visitor.text("body"), lambda: visitor.text("body"))
