"""The way of an image through the method, drawn from the config: boxes and arrows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from competition.report.document import Say
from competition.report.figures.network import Stage, stages_of_network
from competition.report.run_record import Facts
from configs.epochs import epoch_count
from configs.input_sizes import final_size
from evaluation.figure_style import BLACK, GREY, LINE, ORANGE, PAGE, in_print, print_figure, wrapped, write_lines
from evaluation.plots import LONGEST, shown
from models.classifier import Classifier

# widths in points: photograph, preparation, backbone, head, average, answers
_WIDTHS = (42.0, 104.0, 116.0, 72.0, 46.0, 48.0)

# in points: space within a box, between boxes above each other, and between columns
_INSET, _ABOVE, _BETWEEN = 4.0, 7.0, (PAGE - 2 - sum(_WIDTHS)) / (len(_WIDTHS) - 1)

# of the steps of an augmentation
_MOST_LINES = 8

_PLAIN, _TRAINING, _PREDICTION = "#f4f4f4", "#fbe9cf", "#dcebf6"
_STAGE, _STAGE_READ = "#ffffff", "#bfe3d6"


@dataclass(frozen=True)
class Box:
    """A rectangle in points from the upper left corner, with a bold title and lines of text, both broken to it."""

    left: float
    top: float
    width: float
    height: float
    title: str
    text: str
    colour: str


@dataclass(frozen=True)
class Plan:
    """The boxes by column, those of the stages within the backbone, and the height of the whole."""

    columns: list[list[Box]]
    stages: list[Box]
    height: float


@in_print
def overview_figure(facts: Facts, say: Say) -> Figure | None:
    """Return the way of an image: augmentation, backbone with its stages, head, views and average, answers."""
    plan = plan_of(facts, say)
    figure = print_figure(plan.height, PAGE, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, PAGE)
    axes.set_ylim(plan.height, 0)
    for box in [box for column in plan.columns for box in column] + plan.stages:
        _draw_box(figure, axes, box)
    for upper, lower in pairwise(plan.stages):
        middle = upper.left + upper.width / 2
        _draw_arrow(axes, (middle, upper.top + upper.height), (middle, lower.top), GREY)
    _draw_arrows(axes, plan)
    return figure


def plan_of(facts: Facts, say: Say) -> Plan:
    """Return the boxes of the figure, each as high as its text."""
    model = facts.checkpoint.meta_model()
    stages = stages_of_network(model, facts.checkpoint.input_size)
    lefts = [sum(_WIDTHS[:column]) + _BETWEEN * column + 1 for column in range(len(_WIDTHS))]
    training = _box(lefts[1], _WIDTHS[1], say("Training", "训练"), _augmentation_text(facts, say), _TRAINING)
    prediction = _box(lefts[1], _WIDTHS[1], say("Prediction", "预测"), _views_text(facts, say), _PREDICTION)
    columns = [
        [_box(lefts[0], _WIDTHS[0], say("Photo", "照片"), "RGB\nuint8", _PLAIN)],
        [training, prediction] if facts.trained else [prediction],
        [_box(lefts[2], _WIDTHS[2], shown(facts.checkpoint.architecture, LONGEST), _input_text(facts, say), _PLAIN)],
        [_box(lefts[3], _WIDTHS[3], say("Head", "分类头"), _head_text(facts, model, say), _STAGE_READ)],
        [_box(lefts[4], _WIDTHS[4], say("Average", "平均"), _average_text(facts, say), _PREDICTION)],
        [_box(lefts[5], _WIDTHS[5], "CSV", "\n".join(facts.config.competition.csv_columns), _PLAIN)],
    ]
    (backbone,) = columns[2]
    inner = _stage_boxes(stages, backbone, say)
    if inner:
        columns[2] = [replace(backbone, height=inner[-1].top + inner[-1].height + _INSET - backbone.top)]
    heights = [sum(box.height + _ABOVE for box in column) - _ABOVE for column in columns]
    whole = max(heights) + 2
    moved = []
    for column, height in zip(columns, heights, strict=True):
        top, boxes = (whole - height) / 2, []
        for box in column:
            boxes.append(replace(box, top=top))
            top += box.height + _ABOVE
        moved.append(boxes)
    below = moved[2][0].top - backbone.top
    return Plan(moved, [replace(box, top=box.top + below) for box in inner], whole)


def _box(left: float, width: float, title: str, text: str, colour: str) -> Box:
    title = wrapped(title, width - 2 * _INSET, weight="bold")
    text = "\n".join(wrapped(line, width - 2 * _INSET) for line in text.split("\n") if line)
    lines = title.count("\n") + 1 + (text.count("\n") + 1 if text else 0)
    return Box(left, 0, width, LINE * lines + 2 * _INSET, title, text, colour)


def _stage_boxes(stages: Sequence[Stage], backbone: Box, say: Say) -> list[Box]:
    """Return a box per stage below the text of the backbone, the narrower the smaller its maps."""
    boxes, top = [], backbone.top + backbone.height + 1
    room = backbone.width - 2 * _INSET
    for place, stage in enumerate(stages):
        one = stage.first == stage.last
        number = str(stage.first) if one else f"{stage.first}-{stage.last}"
        name = say(f"stage {number}" if one else f"blocks {number}", f"{'阶段' if one else '模块'} {number}")
        text = f"{name}: {stage.channels}×{stage.height}×{stage.width}"
        width = room * (1 - 0.05 * place)
        box = _box(backbone.left + (backbone.width - width) / 2, width, "", text, _STAGE)
        colour = _STAGE_READ if stage.read else _STAGE
        lines = box.text.count("\n") + 1
        boxes.append(replace(box, top=top, height=LINE * lines + 4, colour=colour))
        top += boxes[-1].height + _ABOVE
    return boxes


def _augmentation_text(facts: Facts, say: Say) -> str:
    config = facts.config
    recipe, lists = config.training, config.augmentation
    steps = []
    for name, entry in lists.train.items():
        chance = (entry or {}).get("p", 1)
        steps.append(shown(name, LONGEST) + (f" ({chance:g})" if chance < 1 else ""))
    # one step a line, or the figure would be very high
    told = "\n".join(steps) if len(steps) <= _MOST_LINES else ", ".join(steps)
    lines = [say(f"augmentation {lists.name}:", f"数据增强 {lists.name}："), told]
    mixes = {"mixup": recipe.mixup_alpha, "cutmix": recipe.cutmix_alpha}
    lines += [f"{name}, α = {alpha:g}" for name, alpha in mixes.items() if alpha]
    lines.append(say(f"{config.model.input_size} px", f"{config.model.input_size} 像素"))
    if recipe.final_epochs:
        size, last = final_size(config), min(recipe.final_epochs, epoch_count(recipe))
        names = ", ".join(lists.final) or say("no augmentation", "无增强")
        epochs = "last epoch" if last == 1 else f"last {last} epochs"
        lines.append(say(f"{epochs}: {names}; {size} px", f"最后{last}轮：\n{names}；{size} 像素"))
    return "\n".join(lines)


def _views_text(facts: Facts, say: Say) -> str:
    checkpoint = facts.checkpoint
    size = checkpoint.input_size
    fits = {
        "crop": say(f"shorter side to {round(size / checkpoint.crop_pct)} px, centre crop", "短边缩放，中心裁剪"),
        "pad": say("longer side scaled, borders mirrored", "长边缩放，边缘镜像填充"),
        "stretch": say("both sides scaled", "两边分别缩放"),
    }
    views = ", ".join(_views(facts))
    return f"{fits[checkpoint.fit]}\n{size} × {size}\n" + say(f"views: {views}", f"视图：{views}")


def _views(facts: Facts) -> Sequence[str]:
    """Return the views of the predictions, or of the evaluation where nothing was predicted yet."""
    return (facts.recipe or facts.metrics or {}).get("views") or ("identity",)


def _input_text(facts: Facts, say: Say) -> str:
    size = facts.checkpoint.input_size
    sizes = say(f"{facts.parameters / 1e6:.1f} M parameters", f"参数量 {facts.parameters / 1e6:.1f} M")
    return say(f"{sizes}\nnormalised 3×{size}×{size}", f"{sizes}\n归一化 3×{size}×{size}")


def _head_text(facts: Facts, model: Classifier, say: Say) -> str:
    classes = len(facts.checkpoint.classes)
    if model.head is None:
        features = getattr(model.backbone, "head_hidden_size", None) or model.backbone.num_features
        lines = [say("pooling of the last map", "末级特征池化")]
    else:
        features = model.head.classifier.in_features
        numbers = ", ".join(str(stage + 1) for stage in model.head.stages)
        lines = [say(f"mean and maximum of the maps {numbers}", f"特征图 {numbers} 的均值与最大值")]
        if model.head.reduction is not None:
            lines.append(say("root of the covariance (iSQRT-COV)", "协方差平方根（iSQRT-COV）"))
    lines.append(say(f"linear {features} → {classes}", f"全连接 {features} → {classes}"))
    lines.append(_softmax_text(facts))
    return "\n".join(lines)


def _softmax_text(facts: Facts) -> str:
    """Return the softmax with the temperature of each model that answers."""
    answering = (facts.recipe or facts.metrics or {}).get("checkpoints") or []
    temperatures = [entry["temperature"] for entry in answering if "temperature" in entry]
    temperatures = temperatures or [facts.checkpoint.temperature]
    if all(temperature == 1 for temperature in temperatures):
        return "softmax"
    return "softmax, T = " + ", ".join(f"{temperature:.3g}" for temperature in temperatures)


def _average_text(facts: Facts, say: Say) -> str:
    views = len(_views(facts))
    models = len((facts.recipe or facts.metrics or {}).get("checkpoints") or [1])
    view = say("1 view" if views == 1 else f"{views} views", f"{views} 个视图")
    return f"{view}\n" + say("1 model" if models == 1 else f"{models} models", f"{models} 个模型")


def _draw_box(figure: Figure, axes: Axes, box: Box) -> None:
    style = "round,pad=0,rounding_size=2.5"
    axes.add_patch(
        FancyBboxPatch((box.left, box.top), box.width, box.height, boxstyle=style, fc=box.colour, ec=GREY, lw=0.7)
    )
    top = box.top + _INSET
    if box.title:
        top = write_lines(figure, box.left + _INSET, top, box.title, fontweight="bold")
        write_lines(figure, box.left + _INSET, top, box.text)
    else:
        top = box.top + (box.height - LINE * (box.text.count("\n") + 1)) / 2
        write_lines(figure, box.left + box.width / 2, top, box.text, ha="center")


def _draw_arrows(axes: Axes, plan: Plan) -> None:
    """Draw arrows from the photograph through the preparations to the network, and on to the answers."""
    (photo,), preparations, *rest = plan.columns
    # that of the prediction is the last, that of the training, if any, above it
    for box, (colour, line) in zip(reversed(preparations), ((BLACK, "-"), (ORANGE, "--")), strict=False):
        middle = box.top + box.height / 2
        _draw_elbow(axes, (photo.left + photo.width, photo.top + photo.height / 2), (box.left, middle), colour, line)
        (backbone,) = rest[0]
        _draw_elbow(axes, (box.left + box.width, middle), (backbone.left, plan.height / 2), colour, line)
    for (first,), (second,) in pairwise(rest):
        _draw_arrow(axes, (first.left + first.width, plan.height / 2), (second.left, plan.height / 2), BLACK)


def _draw_elbow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, line: str) -> None:
    bend = start[0] + 4
    axes.plot([start[0], bend, bend], [start[1], start[1], end[1]], color=colour, lw=0.9, ls=line)
    _draw_arrow(axes, (bend, end[1]), end, colour)


def _draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    arrow = {
        "arrowstyle": "-|>,head_width=0.15,head_length=0.3",
        "color": colour,
        "lw": 0.9,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.annotate("", end, start, arrowprops=arrow)
