"""The figures of a report: each is drawn from a full record, none without its facts, and every word can be read."""

# a None where a figure should be fails the test like any other fault
# pyright: reportOptionalMemberAccess=false

from dataclasses import replace
from functools import cache
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from matplotlib.text import Text

from competition.report.figures import WIDE, draw_figures
from competition.report.figures.draw import FIGURES, PHOTOGRAPHS
from competition.report.figures.errors import confused_classes, matrix_of
from competition.report.figures.overview import plan_of
from configs.options import HEADS
from evaluation.figure_style import COLUMN, LINE, PAGE, SMALL, text_width, wrapped
from evaluation.fonts import is_drawable, use_fonts
from models.classifier import meta_classifier
from tests.competition.figure_facts import LONG_NAMES, facts_of, tiny_checkpoint, tiny_config
from tests.helpers import REPOSITORY

pytestmark = pytest.mark.integration

NAMES = {"overview", "curves", "augmentation", "confusion_matrix", "pairs", "reliability", "risk_coverage"}
NAMES |= {"ablation", "pareto", "tune", "predictions", "per_class", "correlations"}

SAY = {"en": lambda english, chinese: english, "zh": lambda english, chinese: chinese}

# what each figure cannot be drawn without
NEEDED = {
    "curves": "history",
    "confusion_matrix": "answers",
    "pairs": "answers",
    "reliability": "answers",
    "risk_coverage": "answers",
    "predictions": "answers",
    "correlations": "answers",
    "per_class": "per_class",
    "ablation": "ablation",
    "pareto": "budget",
    "tune": "tune",
}


OVERRIDES = ("training.final_epochs=1", "training.epochs=12")


@pytest.fixture(scope="module", params=[4, 102])
def facts(request, tmp_path_factory):
    return facts_of(tmp_path_factory.mktemp("figures"), request.param, *OVERRIDES)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return facts_of(tmp_path_factory.mktemp("small"), 4, *OVERRIDES)


@pytest.fixture(scope="module")
def figure_of(facts):
    """Return a function that draws a figure, by its name and language, once."""
    return cache(lambda name, language: FIGURES[name](facts, SAY[language]))


@pytest.fixture(scope="module")
def texts_of(figure_of):
    """Return a function that gives the texts of the same figures, which are drawn for it once."""
    return cache(lambda name, language: drawn_texts(figure_of(name, language)))


def drawn_texts(figure):
    """The texts that are drawn, with their boxes in dots; labels of ticks outside of the axes are not."""
    found, draw = [], Text.draw

    def record(self, renderer):
        if self.get_visible() and self.get_text():
            found.append((self.get_text(), self.get_window_extent(renderer)))
        draw(self, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        figure.draw_without_rendering()
    return found


def changed(record: Any, **values: Any) -> Any:
    return SimpleNamespace(**{**vars(record), **values})


def needs_chinese(language):
    use_fonts()
    if language == "zh" and not is_drawable("轮次"):
        pytest.skip("no Chinese font here")


@pytest.mark.parametrize("language", SAY)
@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_or_lies_on_another(figure_of, texts_of, name, language):
    needs_chinese(language)
    figure = figure_of(name, language)
    assert round(72 * figure.get_figwidth()) == (PAGE if name in WIDE else COLUMN)
    texts = texts_of(name, language)
    slack = 0.5 * figure.dpi / 72
    for text, box in texts:
        assert box.x0 >= -slack, text
        assert box.y0 >= -slack, text
        assert box.x1 <= figure.bbox.width + slack, text
        assert box.y1 <= figure.bbox.height + slack, text
        assert "…" not in text
    # the box of a line is higher than its letters
    margin = 0.15 * LINE * figure.dpi / 72
    for (text, box), (other, second) in combinations(texts, 2):
        across = min(box.x1, second.x1) - max(box.x0, second.x0)
        down = min(box.y1, second.y1) - max(box.y0, second.y0)
        assert across <= slack or down <= margin, (text, other)


@pytest.mark.parametrize("name", FIGURES)
def test_letters_have_seven_points(figure_of, name):
    figure = figure_of(name, "en")
    assert min(float(text.get_fontsize()) for text in figure.findobj(Text) if text.get_text()) >= 7


@pytest.mark.parametrize("name", FIGURES)
def test_chinese_figures_have_chinese_words(texts_of, name):
    needs_chinese("zh")
    english, chinese = ({text for text, _ in texts_of(name, language)} for language in SAY)
    own = "".join(chinese - english)
    for image_name in LONG_NAMES:
        own = own.replace(image_name, "")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in own)


def test_names_of_classes_are_whole(facts, texts_of):
    texts = texts_of("confusion_matrix", "en")
    text = "".join("".join(text.split()) for text, _ in texts)
    labels = confused_classes(matrix_of(facts))
    assert len(labels) == min(len(facts.checkpoint.classes), 20)
    for label in labels:
        image_class = facts.checkpoint.classes[label]
        assert f"{image_class.category_id}{''.join(image_class.name.replace('$', chr(92) + '$').split())}" in text


@pytest.mark.slow
@pytest.mark.parametrize("language", SAY)
def test_a_full_record_gives_every_figure(small, tmp_path, language):
    needs_chinese(language)
    files, notes = draw_figures(small, tmp_path, language)
    assert notes == []
    assert set(files) == NAMES
    for name, path in files.items():
        pixels = cv2.imread(str(path if name in PHOTOGRAPHS else path.with_suffix(".png")))
        width = (PAGE if name in WIDE else COLUMN) / 72
        assert pixels.shape[1] / width >= 200
        # letters are paths, so that no font is missed where the file is shown
        assert path.suffix == (".jpg" if name in PHOTOGRAPHS else ".svg")
        assert name in PHOTOGRAPHS or b"<text" not in path.read_bytes()


def test_without_facts_a_note_takes_the_place_of_a_figure(small, tmp_path):
    empty = changed(small, history=[], answers=[], per_class=[], ablation=[], budget=None, tune=None)
    files, notes = draw_figures(empty, tmp_path, "en")
    assert set(files) == NAMES - set(NEEDED)
    assert {note.split("'")[1] for note in notes} == set(NEEDED)
    assert any("evaluate.py has not measured this run" in note for note in notes)


def test_photographs_that_are_gone_are_noted(small, tmp_path):
    moved = changed(small, metrics={"image_dir": str(tmp_path / "gone")})
    for name in ("pairs", "predictions"):
        assert FIGURES[name](moved, SAY["en"]) is None


def test_a_record_without_the_newer_fields_is_drawn(small):
    older = changed(small)
    del older.others, older.tune
    assert FIGURES["curves"](older, SAY["en"]) is not None
    assert FIGURES["tune"](older, SAY["en"]) is None


def test_the_confused_classes_are_those_of_the_most_frequent_pairs():
    matrix = 10 * np.eye(30, dtype=int)
    matrix[3, 7], matrix[20, 29], matrix[5, 6] = 5, 4, 1
    assert confused_classes(matrix, most=4) == [3, 7, 20, 29]
    assert confused_classes(matrix[:4, :4], most=4) == [0, 1, 2, 3]
    assert len(confused_classes(10 * np.eye(30, dtype=int), most=20)) == 20


def test_the_predictions_are_those_of_the_network(small):
    """Both columns hold answers, and a network that disagrees with the evaluation is not shown."""
    joined = " ".join(text for text, _ in drawn_texts(FIGURES["predictions"](small, SAY["en"])))
    assert "right answer" in joined
    assert "wrong answer" in joined
    others = [replace(it, predicted=(it.predicted + 1) % 4) for it in small.answers]
    # the two dozen that the network was asked for, with other answers
    assert FIGURES["predictions"](changed(small, answers=others[:24]), SAY["en"]) is None


@pytest.mark.parametrize("text", ["a " * 60, "x" * 90, "花" * 70, "rose_of.the-hills/and+more " * 4, r"\$" * 40])
def test_broken_lines_fit_and_lose_nothing(text):
    use_fonts()
    lines = wrapped(text, 60).split("\n")
    assert max(map(text_width, lines)) <= 60 + SMALL / 10
    assert "".join("".join(lines).split()) == "".join(text.split())


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_convnext", "test_vit"])
@pytest.mark.parametrize("head", HEADS)
def test_the_overview_shows_every_head(small, architecture, head, tmp_path):
    size = 160 if architecture == "test_vit" else 64
    config = tiny_config(
        tmp_path,
        f"model.architecture={architecture}",
        f"model.head={head}",
        f"model.input_size={size}",
        "augmentation=ultra_strong",
        "training.final_epochs=2",
        "training.mixup_alpha=0.2",
    )
    own = changed(small, config=config, checkpoint=tiny_checkpoint(config, small.checkpoint.classes))
    check_overview(own)
    texts = [box.text for column in plan_of(own, SAY["en"]).columns for box in column]
    assert ("iSQRT-COV" in "".join("".join(texts).split())) == (head == "second_order")


def test_without_training_the_overview_shows_the_prediction_alone(small):
    own = changed(small, trained=False)
    check_overview(own)
    assert [box.title for box in plan_of(own, SAY["en"]).columns[1]] == ["Prediction"]
    assert FIGURES["augmentation"](own, SAY["en"]) is None


def test_the_overview_shows_the_temperature_of_each_model(small):
    entries = [{"temperature": 0.5377}, {"temperature": 1.25}]
    own = changed(small, recipe={"checkpoints": entries, "views": ["identity"]})
    texts = "".join(box.text for column in plan_of(own, SAY["en"]).columns for box in column)
    assert "softmax,T=0.538,1.25" in "".join(texts.split())
    assert "2 models" in texts


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs" / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_overview_of_each_model_option_fits(small, path, tmp_path):
    if path.stem == "timm":
        pytest.skip("names no architecture")
    option = yaml.safe_load(path.read_text(encoding="utf-8"))
    config = tiny_config(tmp_path, f"model={path.stem}", f"model.architecture={option['architecture']}")
    config.model.input_size = option["input_size"]
    size, architecture = option["input_size"], option["architecture"]
    meta = changed(small.checkpoint, architecture=architecture, input_size=size)
    meta.meta_model = lambda: meta_classifier(architecture, 102, size)
    check_overview(changed(small, config=config, checkpoint=meta))


def check_overview(facts):
    """Every text lies within a box, and boxes lie on no other, besides the stages within the network."""
    for say in SAY.values():
        plan = plan_of(facts, say)
        assert plan.stages
        boxes = [box for column in plan.columns for box in column]
        for first, second in [*combinations(boxes, 2), *combinations(plan.stages, 2)]:
            apart = first.left + first.width <= second.left or first.top + first.height <= second.top
            assert apart, (first.title, second.title)
        figure = FIGURES["overview"](facts, say)
        scale = figure.dpi / 72
        for text, extent in drawn_texts(figure):
            assert any(
                extent.x0 / scale >= box.left
                and extent.x1 / scale <= box.left + box.width
                and plan.height - extent.y1 / scale >= box.top - 1
                and plan.height - extent.y0 / scale <= box.top + box.height + 1
                for box in boxes + plan.stages
            ), text
