"""Every figure draws the names of classes, files and variants as they are, and none ends the work around it."""

import ast
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import cbook
from matplotlib.figure import Figure
from matplotlib.text import Text

from common.classes import ImageClass
from competition.report import figures
from competition.report.figure_labels_zh import translate
from competition.report.run_record import Answer
from evaluation import plots
from evaluation.plots import class_labels, shown
from tests.conftest import stripes, write_picture
from tests.helpers import REPOSITORY

pytestmark = pytest.mark.integration

# a name: how it is drawn, where the fonts of this machine have its characters
NAMES = {
    "rose $_$": "rose $_$",
    "rose $a_b^ $": "rose $a_b^ $",
    "$": "$",
    "$$": "$$",
    "$100 a $200": "$100 a $200",
    r"\$x$ \frac{1}": r"\$x$ \frac{1}",
    r"a\\$b$": r"a\\$b$",
    r"\alpha_{1}^2": r"\alpha_{1}^2",
    "_nolegend_": "_nolegend_",
    "^_\\{}%s%d{0}": "^_\\{}%s%d{0}",
    "<b>x</b> & `y` | #": "<b>x</b> & `y` | #",
    "../../x": "../../x",
    "CON": "CON",
    "two\nlines\t and": "two lines and",
    "$" * 30: "$" * 23 + "…",
    "x" * 300: "x" * 23 + "…",
}
CLASSES = [ImageClass(label, f"id {label}", name) for label, name in enumerate(NAMES)]
IMAGES = [stripes(0, index) for index in range(len(CLASSES))]
MATRIX = np.eye(len(CLASSES), dtype=int) + np.roll(np.eye(len(CLASSES), dtype=int), 1, axis=1)
PAIRS = [(k, (k + 1) % len(CLASSES), 2) for k in range(len(CLASSES))]
HISTORY = [{"epoch": "1", "train_loss": "2", "val_loss": "1", "val_top1": "0.5", "val_top5": "0.9"}]


@pytest.fixture
def facts(tmp_path, monkeypatch):
    """The record of a run in which each class is taken for the next one, and answered rightly once."""
    for k in range(len(CLASSES)):
        write_picture(tmp_path / f"{k}.png", IMAGES[k])
    monkeypatch.setattr(figures, "attention_map", lambda *_: np.zeros((32, 32), np.float32))
    answers = [Answer(f"{k}.png", k, wrong, 0.5) for k in range(len(CLASSES)) for wrong in (k, (k + 1) % len(CLASSES))]
    checkpoint = SimpleNamespace(classes=CLASSES, input_size=32, crop_pct=1.0, fit="crop", build_model=lambda: None)
    return SimpleNamespace(checkpoint=checkpoint, answers=answers, metrics={"image_dir": str(tmp_path)})


# each function that draws, called with these names; those of the last three draw no names
FIGURES = {
    "confusion_figure": lambda facts: plots.confusion_figure(MATRIX, CLASSES),
    "worst_pairs_figure": lambda facts: plots.worst_pairs_figure(PAIRS, CLASSES),
    "predictions_figure": lambda facts: plots.predictions_figure(
        IMAGES, range(len(CLASSES)), [k + k % 2 * (k < len(CLASSES) - 1) for k in range(len(CLASSES))], CLASSES
    ),
    "differences_figure": lambda facts: plots.differences_figure([(name, 0.1, 0, 0.2) for name in NAMES], "points"),
    "importance_figure": lambda facts: plots.importance_figure(dict.fromkeys(NAMES, 0.1)),
    "front_figure": lambda facts: plots.front_figure([(name, k, k, True) for k, name in enumerate(NAMES)], 100.0),
    "pairs_figure": lambda facts: figures.pairs_figure(facts, pairs=len(CLASSES)),
    "attention_figure": lambda facts: figures.attention_figure(facts, images=2 * len(CLASSES)),
    "curves_figure": lambda facts: figures.curves_figure(HISTORY),
    "reliability_figure": lambda facts: figures.reliability_figure(facts.answers),
    "range_figure": lambda facts: plots.range_figure([1e-5, 1e-3, 1e-1], [3, 2, 4], 1e-3),
}
WITHOUT_NAMES = ("curves_figure", "reliability_figure", "range_figure")
# a benchmark; its names are those of class_labels
ELSEWHERE = {"readme_picture.py"}


def lines_of(figure: Figure) -> list[str]:
    """The lines that matplotlib draws; a formula is given by a word that no name has."""
    return [line for text in figure.findobj(Text) for line in drawn(text.get_text()).split("\n")]


def drawn(text: str) -> str:
    """What matplotlib draws for a text: outside of formulas it takes the backslash from `\\$` alone."""
    return "FORMULA" if cbook.is_math_text(text) else text.replace(r"\$", "$")


@pytest.mark.parametrize("name", FIGURES)
def test_names_are_drawn_as_they_are(facts, name):
    figure = FIGURES[name](facts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.set_dpi(20)
        figure.canvas.draw()
    if name in WITHOUT_NAMES:
        return
    lines = lines_of(figure)
    assert "FORMULA" not in lines
    long = {"x" * 300, "$" * 30}
    for given, expected in NAMES.items():
        start = given[:23] if given in long else expected
        assert any(start in line for line in lines), expected


def test_no_function_that_draws_is_forgotten():
    """A function that makes a Figure belongs into FIGURES."""
    found = set()
    for path in REPOSITORY.rglob("*.py"):
        relative = path.relative_to(REPOSITORY)
        if (
            relative.parts[0] in ("tests", ".venv")
            or path.name in ELSEWHERE
            or "Figure(" not in path.read_text("utf-8")
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and "Figure(" in ast.unparse(node):
                found.add(node.name)
    assert found == set(FIGURES)


@pytest.mark.parametrize("module", ["matplotlib.pyplot", "plotly", "seaborn"])
def test_nothing_draws_by_other_means(module):
    files = [
        path for path in REPOSITORY.rglob("*.py") if path.relative_to(REPOSITORY).parts[0] not in ("tests", ".venv")
    ]
    assert not [path for path in files if module in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    ("image_class", "label"),
    [
        (ImageClass(0, "7", "花" * 3 + "\U0010ffff"), "7"),
        (ImageClass(1, "\U0010ffff", "\U0010ffff"), "class 1"),
        (ImageClass(2, "id", "  "), "id"),
        (ImageClass(3, "", ""), "class 3"),
        (ImageClass(4, "id", "\x1b[31mred"), "id"),
    ],
)
def test_what_no_font_can_draw_gets_its_id_or_label(image_class, label):
    assert class_labels([image_class]) == [label]


@pytest.mark.parametrize(("text", "expected"), NAMES.items())
def test_a_text_of_any_signs_is_one_line_without_formula(text, expected):
    assert drawn(shown(text)) == expected


def test_a_class_with_the_name_of_a_word_is_not_translated(monkeypatch):
    monkeypatch.setattr("competition.report.figure_labels_zh.is_drawable", lambda text: True)
    classes = [ImageClass(k, str(k), name) for k, name in enumerate(("images", "model", "epoch"))]
    figure = plots.confusion_figure(np.eye(3), classes)
    translate(figure, class_labels(classes))
    axes = figure.axes[0]
    assert axes.get_xlabel() == "预测类别"
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["images", "model", "epoch"]


def test_pictures_are_files_beside_their_tables(tmp_path):
    plots.save_figure(plots.worst_pairs_figure(PAIRS, CLASSES), tmp_path / "a $_$" / "x.png")
    assert [path.name for path in Path(tmp_path / "a $_$").iterdir()] == ["x.png"]
