"""Chinese labels for the pictures of a report."""

import re
from collections.abc import Collection

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from evaluation.plots import is_drawable

# a whole line of a text: the line in Chinese
_LINES = {
    r"epoch": "轮次",
    r"loss": "损失",
    r"train_loss": "训练损失",
    r"val_loss": "验证损失",
    r"val_top1": "验证 top-1",
    r"val_top5": "验证 top-5",
    r"predicted class": "预测类别",
    r"true class": "真实类别",
    r"share of the true class": "占真实类别的比例",
    r"confidence \(below: images\)": "置信度（下方：图像数）",
    r"share that is right": "正确比例",
    r"calibrated": "完全校准",
    r"model": "本模型",
    r"images": "图像数",
    r"no confusions": "无混淆",
    r"as it is": "该类样例",
    r"not (.+)": r"误判为 \1",
    r"taken for (.+) \((\d+)x\)": r"误认为 \1（\2 次）",
    r"(.+) taken for (.+)": r"\1 误认为 \2",
}


def translate(figure: Figure, names: Collection[str] = ()) -> None:
    """Translate the words of a figure into Chinese; they stay English if no font here can draw Chinese.

    `names` stay as they are: a class may be called `model`. `evaluation.plots.use_fonts` must have been called before
    the figure was made.
    """
    if not is_drawable("".join(_LINES.values())):
        return
    for axes in figure.axes:
        # matplotlib writes the names of bars again whenever the figure is drawn
        if isinstance(axes.yaxis.get_major_locator(), FixedLocator):
            axes.set_yticks(axes.get_yticks(), [_translated(text.get_text(), names) for text in axes.get_yticklabels()])
    for text in figure.findobj(Text):
        text.set_text("\n".join(_translated(line, names) for line in text.get_text().split("\n")))


def _translated(line: str, names: Collection[str]) -> str:
    if line in names:
        return line
    for pattern, chinese in _LINES.items():
        if found := re.fullmatch(pattern, line):
            return found.expand(chinese)
    return line
