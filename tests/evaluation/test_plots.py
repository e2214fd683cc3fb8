"""Every figure draws the names of classes, files and variants as they are, and none ends the work around it."""

import ast
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib import cbook
from matplotlib.figure import Figure
from matplotlib.text import Text

from common.classes import ImageClass
from evaluation import plots
from evaluation.plots import class_labels, shown
from tests.conftest import stripes
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

# each function that draws, called with these names; those of the last two draw no names
FIGURES = {
    "confusion_figure": lambda: plots.confusion_figure(MATRIX, CLASSES),
    "worst_pairs_figure": lambda: plots.worst_pairs_figure(PAIRS, CLASSES),
    "predictions_figure": lambda: plots.predictions_figure(
        IMAGES, range(len(CLASSES)), [k + k % 2 * (k < len(CLASSES) - 1) for k in range(len(CLASSES))], CLASSES
    ),
    "differences_figure": lambda: plots.differences_figure([(name, 0.1, 0, 0.2) for name in NAMES], "points"),
    "importance_figure": lambda: plots.importance_figure(dict.fromkeys(NAMES, 0.1)),
    "front_figure": lambda: plots.front_figure([(name, k, k, True) for k, name in enumerate(NAMES)], 100.0),
    "reliability_figure": lambda: plots.reliability_figure({"one": (np.linspace(0, 1, 40), np.arange(40) % 2 == 0)}),
    "range_figure": lambda: plots.range_figure([1e-5, 1e-3, 1e-1], [3, 2, 4], 1e-3),
}
WITHOUT_NAMES = ("reliability_figure", "range_figure")
# a benchmark; its names are those of class_labels
ELSEWHERE = {"readme_picture.py", "run_curves.py"}


def lines_of(figure: Figure) -> list[str]:
    """The lines that matplotlib draws; a formula is given by a word that no name has."""
    return [line for text in figure.findobj(Text) for line in drawn(text.get_text()).split("\n")]


def drawn(text: str) -> str:
    """What matplotlib draws for a text: outside of formulas it takes the backslash from `\\$` alone."""
    return "FORMULA" if cbook.is_math_text(text) else text.replace(r"\$", "$")


@pytest.mark.parametrize("name", FIGURES)
def test_names_are_drawn_as_they_are(name):
    figure = FIGURES[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.set_dpi(20)
        figure.canvas.draw()
    if name in WITHOUT_NAMES:
        return
    lines = lines_of(figure)
    assert "FORMULA" not in lines
    # names that are broken into lines
    words = "".join("".join(line.split()) for line in lines)
    long = {"x" * 300, "$" * 30}
    for given, expected in NAMES.items():
        start = given[:23] if given in long else expected
        assert "".join(start.split()) in words, expected


def test_no_function_that_draws_is_forgotten():
    """A function that makes a Figure belongs into FIGURES; tests/competition/test_figures.py has those of a report."""
    found = set()
    for path in REPOSITORY.rglob("*.py"):
        relative = path.relative_to(REPOSITORY)
        if (
            relative.parts[0] in ("tests", ".venv")
            or relative.parts[:2] == ("competition", "report")
            or path.name in ELSEWHERE
        ):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and re.search(r"\b(Figure|print_figure)\(", ast.unparse(node)):
                found.add(node.name)
    assert found - {"print_figure"} == set(FIGURES)


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


def test_pictures_are_files_beside_their_tables(tmp_path):
    plots.save_figure(plots.worst_pairs_figure(PAIRS, CLASSES), tmp_path / "a $_$" / "x.png")
    assert [path.name for path in Path(tmp_path / "a $_$").iterdir()] == ["x.png"]
