"""The tab Runs in a browser: two runs are chosen, and their curves, keys and the pair appear."""

import contextlib
import shutil
import time
from pathlib import Path

import pytest

from configs.compose import compose
from tests.conftest import TINY
from tests.studio.test_browser import SECONDS, Visitor, served
from tests.studio.test_browser import pytestmark as of_the_page

pytestmark = of_the_page


@pytest.fixture(scope="module")
def runs(pictures, tmp_path_factory) -> Path:
    """Three runs of which two are evaluated, one of them with a damaged history."""
    from evaluation.evaluate import evaluate
    from prediction.options import DEFAULTS
    from prediction.pipeline import load_pipeline
    from training.train import train

    root = tmp_path_factory.mktemp("runs") / "all"
    for name, rate in (("one", "0.01"), ("花 two", "0.02")):
        words = [*TINY, f"training.learning_rate={rate}", f"dataset.root={pictures}", f"output_dir={root / name}"]
        train(compose("config", words))
        best = root / name / "checkpoints" / "best_model.pt"
        evaluate(load_pipeline(best, DEFAULTS, ["device=cpu"]), output_dir=root / name / "evaluation")
    shutil.copytree(root / "one", root / "broken")
    (root / "broken" / "history.csv").write_text("epoch\n1,2\n", encoding="utf-8")
    return root


def choose(visitor: Visitor, name: str) -> None:
    """Choose a run by typing its name."""
    field = visitor.find("#chosen-runs input")
    field.send_keys(name)
    field.send_keys("\ue007")


def wait_for(visitor: Visitor, *texts: str) -> None:
    ends = time.monotonic() + SECONDS
    while not all(text in visitor.text("#compared") for text in texts):
        assert time.monotonic() < ends, visitor.text("#compared")
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("language", "title", "texts"),
    [
        ("en", "Runs", ("Parameters that differ", "training.learning_rate", "Both wrong", "one + 花 two")),
        ("zh", "训练记录", ("不同的参数", "training.learning_rate", "两者都错", "one + 花 two")),
    ],
)
def test_two_runs_are_compared(runs, tmp_path, language, title, texts):
    with (
        served(tmp_path, "--runs", runs, "--language", language) as address,
        contextlib.closing(_Closing(tmp_path / "profile", address)) as visitor,
    ):
        visitor.find("button[role=tab]")
        tabs = visitor.driver.find_elements("css selector", "button[role=tab]")
        next(tab for tab in tabs if tab.text == title).click()
        visitor.find("#compared img")
        # the two newest are chosen first; these two are compared instead
        for _ in range(2):
            visitor.find("#chosen-runs .token-remove").click()
        for name in ("one", "花 two"):
            choose(visitor, name)
        wait_for(visitor, *texts)
        assert len(visitor.driver.find_elements("css selector", "#compared .kit-curve")) == 3
        assert [it.text for it in visitor.driver.find_elements("css selector", ".kit-legend span")] == ["one", "花 two"]
        assert "broken: " in visitor.text("#run-problems .kit-problem")
        assert visitor.requests() == {"127.0.0.1"}


class _Closing(Visitor):
    def close(self) -> None:
        self.driver.quit()
