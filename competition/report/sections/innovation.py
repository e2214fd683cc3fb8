"""Innovation: the team's own text; where it is unwritten, candidates with the evidence of the run, to be edited."""

from competition.report.document import Block, Draft
from competition.report.findings.difference import Verdict
from competition.report.innovation import innovation_blocks, is_written
from competition.report.sections.architecture import probed_models
from competition.report.sections.material import Material, difference_text, variant_text, verdict_text


def innovation(it: Material, text: str) -> list[Block]:
    """Return the team's text, or drafts of what is unusual in this run."""
    if is_written(text):
        return innovation_blocks(text)
    say = it.writer.say
    drafts = [draft for candidate in _CANDIDATES for draft in candidate(it)]
    lead = say(
        "Write in innovation.txt: keep what is your own, say why you did it, and delete the rest.",
        "请写入 innovation.txt：保留属于你们自己的工作，说明这样做的理由，并删去其余内容。",
    )
    return [Draft(lead), *[Draft(draft) for draft in drafts]]


def _probe_start(it: Material) -> list[str]:
    if it.facts.config.training.head_init != "probe" or not it.facts.trained:
        return []
    return [
        it.writer.say(
            "Two-stage start. The classifier is fitted on frozen features before the network is fine-tuned, so that "
            f"fine-tuning begins near a good solution.{_evidence(it, 'head_init')}",
            "两阶段初始化。先在冻结特征上拟合分类器，再微调整个网络，使微调从较好的解出发。"
            f"{_evidence(it, 'head_init')}",
        )
    ]


def _start_mix(it: Material) -> list[str]:
    share = it.facts.checkpoint.metrics.get("start_share")
    writer, course = it.writer, it.findings.course
    # what did not raise the accuracy is no candidate
    if not share or (course and course.mixed and course.mixed[1] <= course.mixed[0]):
        return []
    shown = writer.general(share)
    measured = ""
    if course and course.mixed:
        without, mixed = (writer.percent(top1) for top1 in course.mixed)
        measured = writer.say(
            f" Validation top-1 went from {without} to {mixed}.", f"验证 top-1 由 {without} 变为 {mixed}。"
        )
    return [
        writer.say(
            f"Interpolated weights. A share of {shown} of the weights before fine-tuning is mixed into the submitted "
            f"model, at no cost in latency or size.{measured}{_evidence(it, 'start_mix')}",
            f"权重插值。提交的模型混入占 {shown} 的微调前权重，不增加时延与体积。"
            f"{measured}{_evidence(it, 'start_mix')}",
        )
    ]


def _second_order(it: Material) -> list[str]:
    if it.facts.config.model.head != "second_order":
        return []
    return [
        it.writer.say(
            "Second-order head. The classifier reads how channels vary together, beside averages and maxima of all "
            f"stages, which suits classes that differ in texture.{_evidence(it, 'head')}",
            "二阶统计分类头。除各阶段的均值与最大值外，分类器还利用通道之间的协方差，适合区分纹理不同的类别。"
            f"{_evidence(it, 'head')}",
        )
    ]


def _budgeted_views(it: Material) -> list[str]:
    frontier, writer = it.findings.frontier, it.writer
    if frontier is None or frontier.best is None:
        return []
    measured, limit = writer.count(frontier.measured), writer.general(frontier.limit_ms)
    top1, latency = writer.percent(frontier.best.top1), writer.decimal(frontier.best.p95_ms, 1)
    same = it.facts.recipe is None or frontier.submitted is frontier.best
    other = "" if same else writer.say(" The submission predicts in another way.", "提交结果采用的是另一种方案。")
    return [
        writer.say(
            f"Accuracy bought within the latency limit. {measured} ways to predict were measured; the most accurate "
            f"within {limit} ms reaches {top1} at {latency} ms.{other}",
            f"在时延预算内换取准确率。我们测量了 {measured} 种推理方案，"
            f"其中 {limit} ms 以内最准确的一种为 {top1}，{latency} ms。{other}",
        )
    ]


def _measured_backbone(it: Material) -> list[str]:
    probed = probed_models(it)
    if not probed:
        return []
    count, images = it.writer.count(len(probed)), it.writer.count(probed[0]["probe_images"])
    return [
        it.writer.say(
            f"Backbone chosen by measurement. Before any training, {count} backbones within the limits were compared "
            f"on {images} training images by their frozen features; no validation or test image took part.",
            f"由实测选择骨干网络。训练前在体积与时延限制内，用 {images} 张训练图像的冻结特征比较了 {count} 个骨干网络，"
            "未使用验证与测试图像。",
        )
    ]


def _abstention(it: Material) -> list[str]:
    found, writer = it.findings.confidence, it.writer
    if found is None or found.most is None or found.most.right <= found.mean - found.gap:
        return []
    coverage, right = writer.percent(found.most.coverage, 0), writer.percent(found.most.right)
    accuracy = writer.percent((it.facts.metrics or {})["top1"])
    return [
        writer.say(
            f"Knowing when to ask a person. Withholding the least confident answers raises the share of right ones "
            f"from {accuracy} of all to {right} of the {coverage} kept.",
            f"知道何时交由人工判断。拒绝回答置信度最低的图像后，准确率由全部图像的 {accuracy} 升至所保留 {coverage} 的 "
            f"{right}。",
        )
    ]


def _calibration(it: Material) -> list[str]:
    found, writer = it.findings.confidence, it.writer
    if found is None or found.temperature is None or found.before is None or found.before <= found.error:
        return []
    before, after = writer.percent(found.before), writer.percent(found.error)
    ensemble = len((it.facts.metrics or {}).get("checkpoints", ())) > 1
    title = (
        writer.say("Calibrated ensemble", "经过校准的集成")
        if ensemble
        else writer.say("Calibrated confidences", "经过校准的置信度")
    )
    return [
        writer.say(
            f"{title}. The confidences of this run are calibrated: the calibration error went from {before} to "
            f"{after}.",
            f"{title}。本实验的置信度经过校准，校准误差由 {before} 变为 {after}。",
        )
    ]


def _proof(it: Material) -> list[str]:
    if it.facts.proof is None:
        return []
    checks = it.writer.count(sum(check["passed"] is True for check in it.facts.proof["checks"]))
    return [
        it.writer.say(
            "Proven submission. The archive was run in an empty folder without network before it was submitted, and "
            f"its answers equal ours (checks passed: {checks}).",
            f"可验证的提交。提交前在空目录、断网条件下运行压缩包，其结果与我们的一致，共通过 {checks} 项检查。",
        )
    ]


def _corrections(it: Material) -> list[str]:
    corrections = it.facts.checkpoint.corrections
    if not corrections:
        return []
    changed, dropped = (it.writer.count(corrections[name]) for name in ("changed", "dropped"))
    return [
        it.writer.say(
            f"Cleaned labels. Doubtful labels were reviewed (changed: {changed}, images dropped: {dropped}).",
            f"标签清洗。复核可疑标签：修改 {changed} 个，剔除 {dropped} 张图像。",
        )
    ]


_CANDIDATES = (
    *(_measured_backbone, _probe_start, _start_mix, _second_order, _budgeted_views, _calibration, _abstention),
    *(_corrections, _proof),
)


def _evidence(it: Material, ingredient: str) -> str:
    """Return what the ablation shows of an ingredient, an empty text if it was not in it."""
    study, writer = it.findings.ablation, it.writer
    for effect in study.variants if study else []:
        if effect.variant in (f"without {ingredient}", f"with {ingredient}"):
            change = difference_text(effect.difference, writer)
            name, verdict = variant_text(effect.variant, writer), verdict_text(effect.difference, writer, effect.seeds)
            caution = effect.difference.verdict is Verdict.CHANCE
            text = writer.say(
                f" In the ablation the variant “{name}” changed top-1 by {change}; {verdict}",
                f"消融实验中，变体“{name}”使 top-1 变化 {change}，{verdict}",
            )
            return text + (
                writer.say(", so do not claim a gain.", "，因此不宜声称有提升。") if caution else writer.say(".", "。")
            )
    return ""
