"""The page in a browser: a photograph is dropped and answered, both languages, and nothing leaves the machine."""

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import needs_browser, start_browser
from tests.helpers import command, environment

pytest.importorskip("gradio", reason="requirements-studio.txt is not installed")
pytest.importorskip("selenium", reason="selenium is not installed (requirements-dev.txt)")

pytestmark = [pytest.mark.slow, needs_browser]

SECONDS = 240


@contextlib.contextmanager
def served(folder: Path, *flags: str | Path) -> Iterator[str]:
    """Serve the page from a process whose working directory is `folder`; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = command("cli/flower_cli.py", "studio", "--port", str(port), "--no-browser", *flags, "device=cpu")
    with (folder / "server.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(words, cwd=folder, env=environment(), stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}/"
    try:
        ends = time.monotonic() + SECONDS
        while address not in (told := (folder / "server.txt").read_text(encoding="utf-8")):
            assert process.poll() is None, told
            assert time.monotonic() < ends, told
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


class Visitor:
    """A browser of its own, with a profile below `folder`."""

    def __init__(self, folder: Path, address: str) -> None:
        self.driver = start_browser(folder)
        self.driver.get(address)

    def find(self, selector: str):
        """Return the first element, as soon as it is there."""
        ends = time.monotonic() + SECONDS
        while not (found := self.driver.find_elements("css selector", selector)):
            assert time.monotonic() < ends, f"{selector}: {self.driver.find_element('tag name', 'body').text}"
            time.sleep(0.1)
        return found[0]

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def drop(self, path: Path, place: str = "#photograph") -> None:
        self.find(f"{place} input[type=file]").send_keys(str(path))

    def requests(self) -> set[str]:
        """Return the hosts that the page asked since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [it["params"]["request"]["url"] for it in messages if it["method"] == "Network.requestWillBeSent"]
        return {urllib.parse.urlsplit(url).hostname or "" for url in urls if url.startswith(("http", "ws"))}


@pytest.fixture
def visit(tmp_path) -> Iterator:
    visitors = []

    def come(address: str) -> Visitor:
        visitors.append(Visitor(tmp_path / f"profile{len(visitors)}", address))
        return visitors[-1]

    yield come
    for visitor in visitors:
        visitor.driver.quit()


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_photographs_are_answered_for_each_visitor_and_nothing_leaves_the_machine(
    checkpoint, pictures, test_folder, tmp_path, visit
):
    with served(tmp_path, "--checkpoint", checkpoint, "--data", pictures) as address:
        first, second = visit(address), visit(address)
        first.drop(test_folder / "img_0.png")
        assert "花" in first.text("#answer .kit-bar b")
        assert len(first.driver.find_elements("css selector", "#answer .kit-bar img")) == 4
        assert "ms for this photograph; the contest allows 100 ms" in first.text("#answer")
        second.drop(test_folder / "broken.jpg")
        assert second.text("#answer .kit-problem").startswith("broken.jpg: this image cannot be read:")
        assert first.driver.find_elements("css selector", "#answer .kit-bar")
        first.driver.find_elements("css selector", "button[role=tab]")[1].click()
        first.find("#photographs img")
        assert "12 images" in first.text("#photographs")
        assert first.requests() | second.requests() == {"127.0.0.1"}
        for path in (checkpoint, pictures / "train.csv", tmp_path / "server.txt", Path(__file__)):
            assert status_of(f"{address}gradio_api/file={urllib.parse.quote(str(path))}") in (403, 404)
    kept = [path.relative_to(tmp_path).parts[:3] for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert {parts[:2] for parts in kept} == {("results", "studio")}
    assert {parts[2] for parts in kept} <= {"cache", "thumbnails"}


def test_the_chinese_page_speaks_chinese(checkpoint, pictures, test_folder, tmp_path, visit):
    with served(tmp_path, "--checkpoint", checkpoint, "--data", pictures, "--language", "zh") as address:
        visitor = visit(address)
        visitor.drop(test_folder / "img_1.JPG")
        visitor.find("#answer .kit-bar")
        assert "最可能的类别" in visitor.text("#answer")
        tabs = [tab.text for tab in visitor.driver.find_elements("css selector", "button[role=tab]") if tab.text]
        assert tabs == ["试用", "数据", "可疑标签", "错误", "训练记录"]
        assert visitor.driver.title == "花卉工作室"


def test_without_model_and_data_the_page_says_how_to_get_them(tmp_path, visit):
    with served(tmp_path) as address:
        visitor = visit(address)
        visitor.find("button[role=tab]")
        assert "There is no model" in visitor.text("body")
