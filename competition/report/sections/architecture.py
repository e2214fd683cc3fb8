"""The architecture: from the photograph to calibrated probabilities."""

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
    return it.writer.say("The overview figure shows the whole way.", "整个流程见系统总体框架图。")


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


def _head(it: Material) -> list[Block]:
    sentences = sentences_of("head", it.facts, it.writer)
    return [Paragraph(it.writer.sentences(sentences))] if sentences else []


def _normalisation(it: Material) -> str:
    return it.writer.say(
        "The normalisation of the colours is the first layer of the network itself. So training, evaluation and the "
        "submitted copy cannot disagree about it.",
        "颜色归一化是网络自身的第一层，因此训练、评估与提交的模型不会因预处理不一致而出现偏差。",
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
    rows.append((say("weights submitted", "提交的权重"), say(f"{averaged} {epoch}", f"{averaged} {epoch} 轮")))
    return Table(say("The network", "网络概况"), (say("property", "项目"), say("value", "取值")), rows)
