"""The results: accuracy with intervals in words and numbers, and the run beside others."""

from collections.abc import Mapping
from typing import Any

from competition.report.document import Block, Paragraph, Subheading, Table
from competition.report.findings.comparison import Comparison
from competition.report.ingredients import sentences_of
from competition.report.sections.material import (
    Material,
    chose_model,
    chosen_text,
    difference_text,
    measured_part,
    shown_keys,
    verdict_text,
)
from evaluation.intervals import wilson_interval


def results(it: Material) -> list[Block]:
    """The accuracy, how far it can be trusted, and the other runs."""
    if it.facts.metrics is None:
        text = it.writer.say(
            "Not measured: no evaluation of this model was recorded when this report was written.",
            "未测量：撰写本报告时尚无该模型的评估记录。",
        )
        return [Paragraph(text)]
    return [
        Paragraph(it.writer.sentences([*_accuracy(it), *_groups(it)])),
        Paragraph(it.writer.sentences([*_honesty(it), *_submitted(it), _intervals(it)])),
        _table(it),
        *_comparison(it),
    ]


def _accuracy(it: Material) -> list[str]:
    writer, metrics = it.writer, it.facts.metrics or {}
    images, part = writer.count(metrics["images"]), measured_part(it)
    right = writer.count(sum(answer.label == answer.predicted for answer in it.facts.answers))
    top1, interval = writer.percent(metrics["top1"]), writer.interval(metrics["top1_interval"])
    sentences = [
        writer.say(
            f"Of {images} {part}, {right} are classified correctly: a top-1 accuracy of {top1} with a 95% confidence "
            f"interval of {interval}{it.see(tables=['results'])}.",
            f"在 {images} {part}中，{right} 张分类正确，top-1 准确率为 {top1}，95% 置信区间为 {interval}"
            f"{it.see(tables=['results'])}。",
        )
        if it.facts.answers
        else writer.say(
            f"On {images} {part} the top-1 accuracy is {top1} with a 95% confidence interval of {interval}.",
            f"在 {images} {part}上，top-1 准确率为 {top1}，95% 置信区间为 {interval}。",
        ),
        _other_metrics(it, metrics),
        *sentences_of("inference", it.facts, writer),
    ]
    return sentences


def _other_metrics(it: Material, metrics: Mapping[str, Any]) -> str:
    writer, f1 = it.writer, it.writer.percent(metrics["macro_f1"])
    weighed = writer.say(
        f"The macro F1, in which every class weighs the same, is {f1}.", f"各类权重相同的宏平均 F1 为 {f1}。"
    )
    if _top5_is_sure(it):
        return weighed
    top5 = writer.percent(metrics["top5"])
    first = writer.say(
        f"The right class is among the first five for {top5} of the images.", f"正确类别位于前五的图像占 {top5}。"
    )
    return writer.sentences([first, weighed])


def _top5_is_sure(it: Material) -> bool:
    """Say whether the right class is always among the first five."""
    return len(it.facts.checkpoint.classes) <= 5


def _groups(it: Material) -> list[str]:
    writer, groups = it.writer, (it.facts.metrics or {}).get("groups") or {}
    if "many" not in groups or len(groups) < 2:
        return []
    fewest = groups["few"] if "few" in groups else groups["medium"]
    most = writer.percent(groups["many"]["balanced_accuracy"])
    least = writer.percent(fewest["balanced_accuracy"])
    low, high = (writer.count(count) for count in fewest["training_images"])
    return [
        writer.say(
            f"Classes with many training images reach {most} on average, those with {low} to {high} reach {least}.",
            f"训练图像较多的类别平均达到 {most}，仅有 {low} 至 {high} 张的类别为 {least}。",
        )
    ]


def _honesty(it: Material) -> list[str]:
    writer, metrics = it.writer, it.facts.metrics or {}
    say, sentences = writer.say, []
    if chose_model(it):
        corrected = metrics.get("corrected_top1")
        chosen = chosen_text(it)
        sentences.append(
            say(
                f"{chosen[0]} was chosen on these images, so the figure is slightly optimistic"
                + ("." if corrected is None else f"; corrected for this choice, top-1 is {writer.percent(corrected)}."),
                f"{chosen[1]}由这些图像选出，因此数值略偏乐观"
                + ("。" if corrected is None else f"；扣除选择的影响后，top-1 约为 {writer.percent(corrected)}。"),
            )
        )
        if corrected is not None:
            sentences.append(
                say(
                    f"The correction chooses the epoch anew on resampled images and measures it on the rest "
                    f"{writer.cite('efron1983')}.",
                    f"修正方法是在重采样图像上重新选择轮次，并在其余图像上测量 {writer.cite('efron1983')}。",
                )
            )
    if metrics.get("seen_in_training"):
        seen = writer.count(metrics["seen_in_training"])
        sentences.append(
            say(
                f"{seen} of the images were seen in training, so the figure is too favourable.",
                f"其中 {seen} 张在训练中出现过，因此数值偏高。",
            )
        )
    return sentences


def _submitted(it: Material) -> list[str]:
    """Return what is known of the accuracy of the submission, where it averages other models than those evaluated."""
    writer, models, frontier = it.writer, it.facts.submitted, it.findings.frontier
    evaluated = (it.facts.metrics or {}).get("checkpoints") or [{"sha256": ""}]
    if len(models) < 2 or {model["sha256"] for model in models} == {model.get("sha256") for model in evaluated}:
        return []
    count = writer.count(len(models))
    if frontier is None or frontier.submitted is None:
        return [
            writer.say(
                f"The submission averages {count} models; the accuracy of their average was not measured.",
                f"提交结果为 {count} 个模型的平均；该平均的准确率未测量。",
            )
        ]
    top1, see = writer.percent(frontier.submitted.top1), it.see(tables=["front"])
    if frontier.images:
        bounds = writer.interval(wilson_interval(round(frontier.submitted.top1 * frontier.images), frontier.images))
        top1 += writer.say(f" (95% interval {bounds})", f"（95% 区间 {bounds}）")
    return [
        writer.say(
            f"The submission averages {count} models, whose average reaches a top-1 of {top1} on the images of the "
            f"latency budget{see}.",
            f"提交结果为 {count} 个模型的平均，在测量时延预算的图像上 top-1 为 {top1}{see}。",
        )
    ]


def _intervals(it: Material) -> str:
    cited = it.writer.cite("wilson1927")
    return it.writer.say(
        f"Intervals of accuracies are Wilson's {cited}: they say how much the figure would vary on other images of the "
        "same kind, not after another training.",
        f"准确率的区间采用 Wilson 方法 {cited}，反映换一批同类图像时数值的波动，不包含重新训练带来的波动。",
    )


def _table(it: Material) -> Table:
    writer, metrics = it.writer, it.facts.metrics or {}
    say = writer.say
    names = {
        "top1": "top-1",
        "top5": "top-5",
        "macro_f1": say("macro F1", "宏平均 F1"),
        "balanced_accuracy": say("balanced accuracy", "平衡准确率"),
        "calibration_error": say("calibration error", "校准误差"),
    }
    rows = [
        (name, writer.percent(metrics[key]), _bounds(it, metrics.get(f"{key}_interval")))
        for key, name in names.items()
        if key in metrics and not (key == "top5" and _top5_is_sure(it))
    ]
    groups = metrics.get("groups") or {}
    for key, (english, chinese) in {
        "many": ("classes with many training images", "训练图像多的类别"),
        "medium": ("classes with fewer", "训练图像较少的类别"),
        "few": ("classes with few", "训练图像很少的类别"),
    }.items():
        if key in groups:
            rows.append((say(english, chinese), writer.percent(groups[key]["balanced_accuracy"]), ""))
    images, part = writer.count(metrics["images"]), measured_part(it)
    caption = say(f"Results on {images} {part}", f"{images} {part}上的结果")
    return Table(
        caption, (say("metric", "指标"), say("value", "数值"), say("95% interval", "95% 区间")), rows, key="results"
    )


def _bounds(it: Material, interval: Any) -> str:
    return "" if interval is None else it.writer.interval(interval)


def _comparison(it: Material) -> list[Block]:
    compared = it.findings.comparisons
    if not compared:
        return []
    say = it.writer.say
    listed = say("{runs} lists the runs.", "各次实验见{runs}。")
    sentences = [listed, *(_compared(it, other) for other in compared if other.gain is not None)]
    if len(sentences) > 1:
        cited = it.writer.cite("agresti2005")
        sentences.append(
            say(
                f"The difference is paired, image by image {cited}, which is sharper than comparing two intervals.",
                f"差异按图像配对计算 {cited}，比直接比较两个区间更灵敏。",
            )
        )
    return [
        Subheading(say("Beside other runs", "与其他实验的比较")),
        Paragraph(it.writer.sentences(sentences)),
        _table_of_runs(it),
    ]


def _compared(it: Material, other: Comparison) -> str:
    assert other.gain is not None
    name = it.writer.name(other.name)
    change, verdict = difference_text(other.gain, it.writer), verdict_text(other.gain, it.writer)
    return it.writer.say(
        f"On the same images, this run differs from “{name}” by {change}; {verdict}.",
        f"在相同图像上，本次实验与“{name}”相差 {change}，{verdict}。",
    )


def _table_of_runs(it: Material) -> Table:
    writer, metrics = it.writer, it.facts.metrics or {}
    say = writer.say
    own = (
        writer.name(it.facts.name),
        say("this report", "本文"),
        writer.share_with_interval(metrics["top1"], metrics.get("top1_interval")),
        "",
    )
    rows = [own, *[_row(it, other) for other in it.findings.comparisons]]
    header = (
        say("run", "实验"),
        say("what differs", "不同之处"),
        say("top-1 (95% interval)", "top-1（95% 区间）"),
        say("this run against it, points", "本实验与之相差（百分点）"),
    )
    return Table(say("Runs", "各次实验"), header, rows, wide=True, key="runs")


def _row(it: Material, other: Comparison) -> tuple[str, ...]:
    writer = it.writer
    differs = shown_keys(other.differs, writer)
    top1 = "" if other.top1 is None else writer.share_with_interval(other.top1, other.interval)
    gain = "" if other.gain is None else writer.points(other.gain.value)
    if other.gain is not None:
        bounds = writer.signed_interval((other.gain.low, other.gain.high))
        gain = writer.say(f"{gain} ({bounds})", f"{gain}（{bounds}）")
    return writer.name(other.name), differs, top1, gain
