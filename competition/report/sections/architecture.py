"""The architecture: from the photograph to calibrated probabilities."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from competition.report.document import Block, Paragraph, Table
from competition.report.ingredients import sentences_of
from competition.report.sections.material import Material


def architecture(it: Material) -> list[Block]:
    """The way of an image, the backbone, the head, and a table of the network."""
    overview = it.picture(
        "overview",
        it.writer.say("Overview of the system", "系统总体框架"),
        wide=True,
    )
    return [
        Paragraph(it.writer.sentences([_way(it), _overview_sentence(it)])),
        *overview,
        *_backbone(it),
        *_choice(it),
        *_head(it),
        Paragraph(_normalisation(it)),
        _table(it),
    ]


def _way(it: Material) -> str:
    writer, checkpoint = it.writer, it.facts.checkpoint
    side = writer.count(checkpoint.input_size)
    fits = {
        "crop": ("cropped to a square from its centre", "居中裁成正方形"),
        "pad": ("padded to a square with its mirrored borders", "以镜像边缘补成正方形"),
        "stretch": ("stretched to a square", "拉伸为正方形"),
    }
    english, chinese = fits[checkpoint.fit]
    return writer.say(
        f"A photograph is decoded, {english} and resized to {side} × {side} pixels. A backbone turns it into maps of "
        "features, a classifier turns these into one score per class, and a softmax turns the scores into "
        "probabilities.",
        f"照片解码后{chinese}，并缩放到 {side} × {side} 像素；骨干网络提取特征图，分类器据此为每个类别打分，"
        "最后由 softmax 得到各类概率。",
    )


def _overview_sentence(it: Material) -> str:
    if "overview" not in it.pictures:
        return ""
    return it.writer.say("{overview} shows the whole way.", "完整流程见{overview}。")


def _backbone(it: Material) -> list[Block]:
    sentences = sentences_of("backbone", it.facts, it.writer)
    sentences += sentences_of("pretraining", it.facts, it.writer)
    cited = it.writer.cite("wightman2019")
    name = it.writer.name(it.facts.checkpoint.architecture)
    sentences.append(
        it.writer.say(
            f"The implementation is that of timm {cited} under the name {name}.",
            f"具体实现采用 timm {cited} 中的 {name}。",
        )
    )
    return [Paragraph(it.writer.sentences(sentences))]


# what `shortlist` puts a model out by, in English and Chinese
_OUT_BY = {
    "size": ("too large", "体积超限"),
    "weights": ("no weights at hand", "无可用权重"),
    "latency": ("too slow", "时延超限"),
    "speed": ("not trainable here", "无法在本机训练"),
    "probe": ("features not computable", "无法提取特征"),
}


def _choice(it: Material) -> list[Block]:
    """Say among which models the backbone was chosen, if this one was probed among others."""
    facts, writer, probed = it.facts, it.writer, probed_models(it)
    if not probed:
        return []
    models = (facts.shortlist or {})["models"]
    say, best = writer.say, max(probed, key=lambda row: row["probe_top1"])
    tried, kept, images = (writer.count(value) for value in (len(models), len(probed), best["probe_images"]))
    gone = Counter(row["out_by"] for row in models if row["out_by"])
    reasons = writer.listed([f"{say(*_OUT_BY[reason])}: {writer.count(count)}" for reason, count in gone.items()])
    is_best = best["option"] == facts.config.model.name
    return [
        Paragraph(
            say(
                f"The backbone was chosen by measurement ({{backbones}}). Of {tried} pretrained models {kept} can be "
                "used here" + (f" (out: {reasons})" if gone else "") + f". On {images} training images, logistic "
                "regression on their frozen features was measured out of fold; no validation or test image took part. "
                + ("The best of them was taken." if is_best else "This run takes one of them."),
                f"骨干网络由实测选出（{{backbones}}）：候选预训练模型 {tried} 个，其中 {kept} 个可用"
                + (f"（排除原因：{reasons}）" if gone else "")
                + f"。在 {images} 张训练图像上，以冻结特征做逻辑回归并按折外预测评估，未使用验证与测试图像。"
                + ("本文采用其中最好的一个。" if is_best else "本文采用其中之一。"),
            )
        ),
        _candidates(it, probed),
    ]


def probed_models(it: Material) -> list[Mapping[str, Any]]:
    """Return the models that were compared by their frozen features; none if this run's is not among several."""
    models = (it.facts.shortlist or {}).get("models", [])
    probed = [row for row in models if row["in"] and row["probe_top1"] is not None]
    return probed if len(probed) > 1 and it.facts.config.model.name in [row["option"] for row in probed] else []


def _candidates(it: Material, probed: Sequence[Mapping[str, Any]]) -> Table:
    writer, say = it.writer, it.writer.say
    rows = [
        (
            writer.name(row["option"]),
            writer.decimal(row["megabytes"], 1),
            "" if row["latency_ms"] is None else writer.decimal(row["latency_ms"], 1),
            writer.share_with_interval(row["probe_top1"], row["probe_interval"]),
        )
        for row in probed
    ]
    header = (say("model", "模型"), "MB", "p95 ms", say("probe top-1 (95%)", "线性探测 top-1（95%）"))
    return Table(say("Backbones that were compared", "骨干网络的比较"), header, rows, key="backbones")


def _head(it: Material) -> list[Block]:
    sentences = sentences_of("head", it.facts, it.writer)
    return [Paragraph(it.writer.sentences(sentences))] if sentences else []


def _normalisation(it: Material) -> str:
    return it.writer.say(
        "The normalisation of the colours is the first layer of the network itself. So training, evaluation and the "
        "submitted copy cannot disagree about it. {network} sums up the network.",
        "颜色归一化是网络自身的第一层，因此训练、评估与提交的模型不会因预处理不一致而出现偏差。网络概况见{network}。",
    )


def _table(it: Material) -> Table:
    writer, facts = it.writer, it.facts
    say, checkpoint = writer.say, facts.checkpoint
    heads = {
        "pooled": say("linear, on the pooled last stage", "末层池化特征 + 线性层"),
        "last_block": say("linear, on mean and maximum of the last stage", "末层均值与最大值 + 线性层"),
        "stages": say("linear, on mean and maximum of all stages", "各阶段均值与最大值 + 线性层"),
        "second_order": say("all stages and covariance of the last", "各阶段特征 + 末层协方差"),
    }
    side = writer.count(checkpoint.input_size)
    size = f"{writer.decimal(facts.megabytes, 1)} / {writer.decimal(facts.megabytes / 2, 1)} MB"
    epoch = writer.count(checkpoint.epoch)
    averaged = say("averaged, of epoch", "滑动平均，第") if checkpoint.averaged_weights else say("of epoch", "第")
    rows = [
        (say("architecture", "结构"), writer.name(checkpoint.architecture)),
        (say("head", "分类头"), heads[facts.config.model.head]),
        (say("input", "输入"), say(f"{side} × {side} pixels", f"{side} × {side} 像素")),
        (say("parameters", "参数量"), f"{writer.decimal(facts.parameters, 2, 1e-6)} M"),
        (say("size, fp32 / fp16", "体积，fp32 / fp16"), size),
    ]
    if facts.gflops:
        # a multiply-add counts as two operations
        rows.append((say("operations per image", "单张计算量"), f"{writer.decimal(facts.gflops, 2)} GFLOPs"))
    weights = say(f"{averaged} {epoch}", f"{averaged} {epoch} 轮")
    if not facts.trained:
        weights = say("unchanged; the classifier is fitted", "骨干不变，仅拟合分类器")
    elif not checkpoint.epoch:
        weights = say("chosen after the training", "训练后选定")
    rows.append((say("weights", "所用权重"), weights))
    return Table(say("The network", "网络概况"), (say("property", "项目"), say("value", "取值")), rows, key="network")
