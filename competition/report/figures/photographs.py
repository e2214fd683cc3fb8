"""Figures of photographs: confused pairs, predictions with heat maps, augmented images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from competition.report.document import Say
from competition.report.figures.errors import matrix_of
from competition.report.run_record import Answer, Facts
from configs.epochs import first_final_epoch
from data.images import attempt, read_image
from data.prepared import load_table
from data.preview import contact_sheet
from data.transforms import eval_image, train_transform
from evaluation.evaluate import worst_pairs
from evaluation.figure_style import (
    BLACK,
    COLUMN,
    GREEN,
    LINE,
    ORANGE,
    PAGE,
    SMALL,
    in_print,
    print_figure,
    wrapped,
    write_lines,
)
from evaluation.grad_cam import attention_map
from evaluation.plots import LONGEST, class_labels
from models.classifier import Classifier
from prediction.logits import softmax

# pixels of a photograph that the model does not see
_TILE = 320

SHEET_IMAGES, SHEET_EPOCHS, SHEET_TILE = 4, 5, 200

SHOWN_CLASSES = 5

# of the figure of predictions, in points: the side of a photograph, gaps, the half of a page for one image, and bars
_SIDE, _GAP, _HALF = 62.0, 5.0, PAGE / 2
_BARS = _HALF - 2 * _SIDE - 4 * _GAP


@in_print
def augmentation_figure(facts: Facts, say: Say) -> Figure | None:
    """Return training images as evaluation sees them, each beside what some epochs make of it; None without epochs."""
    if not facts.trained:
        return None
    table = load_table(facts.config.dataset)
    seed, fit = facts.config.seed, facts.config.model.fit
    transform = train_transform(facts.config)
    # the last epochs have transforms of their own
    epochs = max(min(SHEET_EPOCHS, len(facts.history), first_final_epoch(facts.config.training)), 1)
    sheet = contact_sheet(table, transform, SHEET_IMAGES, epochs, SHEET_TILE, seed, fit)
    side = COLUMN / (1 + SHEET_EPOCHS)
    width = side * (1 + epochs)
    height = side * sheet.shape[0] / SHEET_TILE
    figure = print_figure(height + LINE + 3, layout=None)
    axes = _place(figure, (COLUMN - width) / 2, LINE + 3, width, height)
    axes.imshow(sheet, aspect="auto")
    titles = [
        say("evaluation", "评估"),
        *(say(f"epoch {number}", f"第 {number} 轮") for number in range(1, epochs + 1)),
    ]
    for column, title in enumerate(titles):
        x = (column + 0.5) / len(titles)
        axes.text(x, 1 + 3 / height, title, transform=axes.transAxes, ha="center", va="bottom", fontsize=SMALL)
    return figure


@in_print
def pairs_figure(facts: Facts, say: Say, pairs: int = 4) -> Figure | None:
    """Return the most frequent confusions: a photograph that was confused beside one of the class it was taken for.

    Returns None if nothing is confused, or the photographs are missing.
    """
    if not facts.answers:
        return None
    matrix, names = matrix_of(facts), class_labels(facts.checkpoint.classes, LONGEST)
    found = []
    for label, other, count in worst_pairs(matrix, 3 * pairs):
        images = [_first(facts, label, other), _first(facts, other, other)]
        if len(found) < pairs and all(image is not None for image in images):
            ending = say(f"({count} of {matrix[label].sum()} images)", f"（{matrix[label].sum()} 张中 {count} 张）")
            title = say(f"{names[label]} taken for {names[other]}", f"{names[label]} 误认为 {names[other]}")
            found.append((images, f"{title} {ending}"))
    if not found:
        return None
    width = PAGE / pairs
    side = (width - 3 * _GAP) / 2
    texts = [wrapped(text, width - 2 * _GAP) for _, text in found]
    words = say("left: confused, right: the class that was answered", "左：被误认的图像；右：所答类别的样例")
    lines = 1 + max(text.count("\n") for text in texts)
    figure = print_figure(LINE + 3 + side + 4 + LINE * lines + 3, PAGE, layout=None)
    for column, ((images, _), text) in enumerate(zip(found, texts, strict=True)):
        left = column * width + _GAP
        for place, image in enumerate(images):
            axes = _place(figure, left + place * (side + _GAP), LINE + 3, side, side)
            axes.imshow(image)
            _frame(axes, ORANGE if place == 0 else GREEN)
        write_lines(figure, left, LINE + 3 + side + 4, text)
    write_lines(figure, _GAP, 1, words)
    return figure


def _first(facts: Facts, label: int, predicted: int) -> np.ndarray | None:
    """Return the first photograph of a class with this answer that can be read."""
    answers = (it for it in facts.answers if (it.label, it.predicted) == (label, predicted))
    images = (_photograph(facts, answer) for answer in answers)
    return next((image for image in images if image is not None), None)


@dataclass(frozen=True)
class _Prediction:
    """An answer with its image uint8 (H, W, 3), the heat map (H, W) and the probabilities (C,) of the network."""

    answer: Answer
    image: np.ndarray
    places: np.ndarray
    probabilities: np.ndarray


@in_print
def predictions_figure(facts: Facts, say: Say, images: int = 8) -> Figure | None:
    """Return photographs, heat maps (Grad-CAM) and the most probable classes, the right answers left, the wrong right.

    Right ones are spread evenly from the most to the least confident; the wrong ones are the most confident of all, one
    of each true class. An image is passed over if the checkpoint alone does not give the answer of the evaluation,
    which may average several. Returns None if the photographs are missing, or the architecture gives no heat map.
    """
    model, half = facts.checkpoint.build_model(), images // 2
    ranked = sorted(facts.answers, key=lambda it: -it.confidence)
    right = [it for it in ranked if it.label == it.predicted]
    wrong = list({it.label: it for it in reversed(ranked) if it.label != it.predicted}.values())
    wrong.sort(key=lambda it: -it.confidence)
    columns = [_take(facts, model, _spread(right, half), half), _take(facts, model, wrong, half)]
    columns = [column for column in columns if column]
    if not columns:
        return None
    names = class_labels(facts.checkpoint.classes, LONGEST)
    rows = list(zip_longest(*([_entry(it, names, say) for it in column] for column in columns)))
    heights = [max(entry.height for entry in row if entry) for row in rows]
    figure, top = print_figure(sum(heights), PAGE, layout=None), 0.0
    for row, height in zip(rows, heights, strict=True):
        for column, entry in enumerate(row):
            if entry:
                _draw_entry(figure, column * _HALF + _GAP, top + 2, entry)
        top += height
    return figure


def _spread(answers: Sequence[Answer], count: int) -> list[Answer]:
    """Return `count` answers, evenly spread over their order, then the others, in case those cannot be shown."""
    if not answers:
        return []
    chosen = np.unique(np.linspace(0, len(answers) - 1, count).round().astype(int)).tolist()
    return [answers[place] for place in chosen] + [it for place, it in enumerate(answers) if place not in chosen]


def _take(facts: Facts, model: Classifier, answers: Sequence[Answer], count: int) -> list[_Prediction]:
    """Return the first `count` that can be shown, the most confident first; it tries a few more, not all."""
    found = []
    for prediction in _predictions(facts, model, answers[: 4 * count]):
        found.append(prediction)
        if len(found) == count:
            break
    return sorted(found, key=lambda it: -it.answer.confidence)


def _predictions(facts: Facts, model: Classifier, answers: Sequence[Answer]) -> Iterator[_Prediction]:
    for answer in answers:
        image = _photograph(facts, answer, facts.checkpoint.input_size)
        if image is None:
            continue
        probabilities = _probabilities(model, image, facts.checkpoint.temperature)
        places = attention_map(model, image, answer.predicted)
        if places is not None and probabilities.argmax() == answer.predicted:
            yield _Prediction(answer, image, places, probabilities)


@torch.inference_mode()
def _probabilities(model: Classifier, image: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities float64 (C,) that the network gives to an image uint8 (H, W, 3)."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    return softmax(model(pixels).double().numpy() / temperature)[0]


@dataclass(frozen=True)
class _Entry:
    """A prediction with its title and the names of its bars, broken to their widths; `height` is that of all."""

    prediction: _Prediction
    title: str
    names: list[str]

    @property
    def height(self) -> float:
        bars = sum(_bar_height(name) for name in self.names)
        return LINE * (self.title.count("\n") + 1) + 4 + max(bars, _SIDE) + 2 * _GAP


def _bar_height(name: str) -> float:
    return max(_SIDE / SHOWN_CLASSES, LINE * (name.count("\n") + 1) + 3)


def _entry(prediction: _Prediction, names: Sequence[str], say: Say) -> _Entry:
    answer, name = prediction.answer, names[prediction.answer.label]
    wrong = say(f"{name}, wrong answer", f"{name}，回答错误")
    title = say(f"{name}, right answer", f"{name}，回答正确") if answer.label == answer.predicted else wrong
    best: list[int] = np.argsort(-prediction.probabilities)[:SHOWN_CLASSES].tolist()
    return _Entry(prediction, wrapped(title, _HALF - 2 * _GAP), [wrapped(names[label], _BARS - 30) for label in best])


def _draw_entry(figure: Figure, left: float, top: float, entry: _Entry) -> None:
    """Draw the title, the photograph, the heat map on it, and the most probable classes, the true one in green."""
    prediction = entry.prediction
    right = prediction.answer.label == prediction.answer.predicted
    top = write_lines(figure, left, top, entry.title, color=BLACK if right else ORANGE) + 4
    for place in range(2):
        axes = _place(figure, left + place * (_SIDE + _GAP), top, _SIDE, _SIDE)
        axes.imshow(prediction.image)
        if place == 1:
            axes.imshow(prediction.places, cmap="inferno", alpha=0.55, vmin=0, vmax=1)
    left += 2 * (_SIDE + _GAP)
    best: list[int] = np.argsort(-prediction.probabilities)[:SHOWN_CLASSES].tolist()
    for label, name in zip(best, entry.names, strict=True):
        height, lines = _bar_height(name), LINE * (name.count("\n") + 1)
        share = float(prediction.probabilities[label])
        axes = _place(figure, left, top, _BARS, height - 1.5)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.barh(0.5, share, height=1, color="#9fd8c4" if label == prediction.answer.label else "#bcd6ea")
        middle = top + (height - 1.5 - lines) / 2
        write_lines(figure, left + 2, middle, name)
        write_lines(figure, left + _BARS, middle, f"{100 * share:.1f} %", ha="right")
        top += height


def _place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes without ticks at a place in points from the upper left corner."""
    across, down = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    axes = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.set_axis_off()
    return axes


def _frame(axes: Axes, colour: str) -> None:
    axes.set_axis_on()
    axes.set(xticks=(), yticks=())
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=1.5)


def _photograph(facts: Facts, answer: Answer, size: int = _TILE) -> np.ndarray | None:
    """Return the square that evaluation uses, uint8 RGB, or None if the file is missing or unreadable."""
    path = Path((facts.metrics or {}).get("image_dir", "")) / answer.image_id
    crop_pct, fit = facts.checkpoint.crop_pct, facts.checkpoint.fit
    return attempt(lambda: eval_image(read_image(path).pixels, size, crop_pct, fit))[0]
