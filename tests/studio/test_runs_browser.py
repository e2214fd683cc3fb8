"""The tab Runs in a browser: two runs are chosen, and their curves, keys and the pair appear."""

import contextlib
import shutil
import time
from pathlib import Path

import pytest
from selenium.common.exceptions import StaleElementReferenceException

from tests.studio.conftest import evaluated_runs
from tests.studio.test_browser import Visitor, served
from tests.studio.test_browser import pytestmark as of_the_page

pytestmark = of_the_page

# opening the tab imports torch in the server
SECONDS = 240


@pytest.fixture(scope="module")
def runs(pictures, tmp_path_factory) -> Path:
    """Three runs of which two are evaluated, one of them with a damaged history."""
    root = tmp_path_factory.mktemp("runs") / "all"
    evaluated_runs(root, pictures, ("one", "花 two"))
    shutil.copytree(root / "one", root / "broken")
    (root / "broken" / "history.csv").write_text("epoch\n1,2\n", encoding="utf-8")
    return root


def choose(visitor: Visitor, name: str) -> None:
    """Choose a run from the list that opens."""
    visitor.find("#chosen-runs input").click()
    visitor.find("li[role=option]")
    options = visitor.driver.find_elements("css selector", "li[role=option]")
    next(option for option in options if option.text.endswith(name)).click()
    wait_for(visitor, ".kit-legend", name)


def wait_for(visitor: Visitor, place: str, *texts: str) -> None:
    """Wait until an element shows all texts; the page may put another one in its place meanwhile."""
    ends, shown = time.monotonic() + SECONDS, ""
    while not all(text in shown for text in texts):
        assert time.monotonic() < ends, shown
        time.sleep(0.2)
        with contextlib.suppress(StaleElementReferenceException):
            shown = visitor.text(place)


@pytest.mark.parametrize(
    ("language", "title", "nothing", "texts"),
    [
        (
            "en",
            "Runs",
            "Choose runs",
            ("Parameters that differ", "training.learning_rate", "Both wrong", "one + 花 two"),
        ),
        ("zh", "训练记录", "请选择", ("不同的参数", "training.learning_rate", "两者都错", "one + 花 two")),
    ],
)
def test_two_runs_are_compared(runs, tmp_path, language, title, nothing, texts):
    with (
        served(tmp_path, "--runs", runs, "--language", language) as address,
        contextlib.closing(_Closing(tmp_path / "profile", address)) as visitor,
    ):
        visitor.find("button[role=tab]")
        tabs = visitor.driver.find_elements("css selector", "button[role=tab]")
        next(tab for tab in tabs if tab.text == title).click()
        wait_for(visitor, "#compared", "花 two")
        # the two newest are chosen first; these two are compared instead
        visitor.find("#chosen-runs .remove-all").click()
        wait_for(visitor, "#compared", nothing)
        for name in ("one", "花 two"):
            choose(visitor, name)
        wait_for(visitor, "#compared", *texts)
        assert len(visitor.driver.find_elements("css selector", "#compared .kit-curve")) == 3
        assert [it.text for it in visitor.driver.find_elements("css selector", ".kit-legend span")] == ["one", "花 two"]
        assert "broken: " in visitor.text("#run-problems .kit-problem")
        assert visitor.requests() == {"127.0.0.1"}


class _Closing(Visitor):
    def close(self) -> None:
        self.driver.quit()
