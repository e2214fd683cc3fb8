"""Calibration: what a confidence means, and what is gained by withholding the least confident answers."""

from competition.report.document import Block, Paragraph
from competition.report.findings.confidence import Confidence
from competition.report.sections.material import Material
from evaluation.calibration import is_of_validation_images


def calibration(it: Material) -> list[Block]:
    """The temperature, the calibration error in words, and abstention."""
    found, say = it.findings.confidence, it.writer.say
    if found is None:
        return []
    texts = [it.writer.sentences(part) for part in (_calibration(it, found), _abstention(it, found)) if part]
    return [
        *[Paragraph(text) for text in texts],
        *it.picture("reliability", say("Reliability: accuracy by confidence", "可靠性图：各置信度下的准确率")),
        *it.picture(
            "risk_coverage",
            say("Error rate of the answers kept, by their share", "保留比例与保留部分错误率的关系"),
        ),
    ]


def _calibration(it: Material, found: Confidence) -> list[str]:
    writer, say = it.writer, it.writer.say
    error = writer.share_with_interval(found.error, found.interval)
    sentences = []
    if found.temperature is not None:
        temperature, source = writer.decimal(found.temperature, 3), writer.cite("guo2017")
        from_validation = is_of_validation_images(it.facts.checkpoint.temperature_source)
        where = say(", fitted on the validation images", "（在验证集上拟合）") if from_validation else ""
        sentences.append(
            say(
                f"The logits are divided by one temperature, {temperature} {source}{where}. This changes no label, "
                "only how far the confidences can be believed.",
                f"logit 统一除以温度 {temperature} {source}{where}。这不会改变预测类别，只影响置信度的可信程度。",
            )
        )
        sentences += [*_smoothed(it, found.temperature), *_of_each_model(it)]
    cited = writer.cite("kumar2019")
    change = (
        ""
        if found.before is None
        else say(
            f", against {writer.percent(found.before)} without the temperature",
            f"，不用温度时为 {writer.percent(found.before)}",
        )
    )
    sentences.append(
        say(
            f"The calibration error, the mean distance between confidence and accuracy corrected for chance {cited}, "
            f"is {error}{change}{it.see('reliability')}.",
            f"校准误差（置信度与准确率的平均差距，已扣除随机波动 {cited}）为 {error}{change}{it.see('reliability')}。",
        )
    )
    mean, gap = writer.percent(found.mean), writer.decimal(abs(found.gap), 2, 100)
    sentences.append(
        say(
            f"The mean confidence is {mean}, {gap} points {'above' if found.gap > 0 else 'below'} the accuracy"
            + (_meaning(found)[0] + "."),
            f"平均置信度为 {mean}，比准确率{'高' if found.gap > 0 else '低'} {gap} 个百分点"
            + (_meaning(found)[1] + "。"),
        )
    )
    return sentences


def _smoothed(it: Material, temperature: float) -> list[str]:
    """Return why a temperature is below 1, where label smoothing lets one expect it."""
    recipe = it.facts.config.training
    if (
        not it.facts.trained
        or temperature >= 1
        or recipe.loss_function != "label_smoothing"
        or not recipe.label_smoothing
    ):
        return []
    return [
        it.writer.say(
            "A temperature below one raises confidences that were too low, which label smoothing can bring about "
            f"{it.writer.cite('muller2019')}.",
            f"温度小于 1 会提高原本偏低的置信度，而标签平滑可能使置信度偏低 {it.writer.cite('muller2019')}。",
        )
    ]


def _of_each_model(it: Material) -> list[str]:
    """Return that each model of the submission has a temperature of its own, where there are several."""
    models = it.facts.submitted
    if len(models) < 2 or not all("temperature" in model for model in models):
        return []
    named = it.writer.listed([it.writer.decimal(model["temperature"], 3) for model in models])
    return [
        it.writer.say(
            f"In the submission each model has a temperature of its own ({named}), applied before the average.",
            f"提交结果中，各模型在平均之前使用各自的温度（{named}）。",
        )
    ]


def _meaning(found: Confidence) -> tuple[str, str]:
    """Return what the gap means, in both languages."""
    if abs(found.gap) < 0.02:
        return (": on average it can be read as the chance of being right", "，平均而言可近似理解为回答正确的概率")
    if found.gap > 0:
        return (": the model is overconfident", "，模型偏于自信")
    return (": the model is underconfident", "，模型偏于保守")


def _abstention(it: Material, found: Confidence) -> list[str]:
    writer, say, sentences = it.writer, it.writer.say, []
    cited = writer.cite("geifman2017") if found.most or found.targets else ""
    if found.most:
        coverage, right = writer.percent(found.most.coverage, 0), writer.percent(found.most.right)
        see = it.see("risk_coverage")
        bounds, threshold = writer.interval(found.most.interval), writer.confidence(found.most.threshold)
        sentences.append(
            say(
                f"Where a wrong answer is costly, the least confident ones can be withheld {cited}{see}: of the "
                f"{coverage} of the answers with a confidence of at least {threshold}, {right} are right (95% "
                f"interval {bounds}).",
                f"若错误代价较高，可以拒绝回答置信度最低的图像 {cited}{see}：保留置信度不低于 {threshold} 的回答（占 "
                f"{coverage}），其准确率为 {right}（95% 区间 {bounds}）。",
            )
        )
    reached = {target: kept for target, kept in found.targets.items() if kept.coverage < 1}
    if reached:
        target = max(reached)
        share, coverage = writer.percent(target, 0), writer.percent(reached[target].coverage, 0)
        sentences.append(
            say(
                f"On these images at least {share} are right among the {coverage} most confident answers.",
                f"在这些图像上，置信度最高的 {coverage} 的回答中至少 {share} 是正确的。",
            )
        )
    return sentences
