"""Error analysis: what is confused with what, which classes fare worst, and what goes with errors."""

from competition.report.document import HTML, Block, Paragraph, Table
from competition.report.figures.errors import MOST_CLASSES
from competition.report.findings.errors import Confusion, Errors
from competition.report.sections.material import Material
from evaluation.intervals import wilson_interval
from evaluation.rank_correlation import RankCorrelation

# confusions in words
_NAMED = 3


def errors(it: Material) -> list[Block]:
    """The confusions, the worst classes, correlations, and where the network looks."""
    found = it.findings.errors
    if found is None:
        return []
    if not found.wrong:
        text = it.writer.say("No evaluated image was classified wrongly.", "评估图像全部分类正确。")
        return [Paragraph(text), *_pictures(it)]
    return [
        Paragraph(it.writer.sentences([*_confusions(it, found), *_classes(it, found)])),
        # a wide one first: a column's figure that waits for a free column would be shown after it
        *it.picture(
            "pairs",
            it.writer.say("Confused photographs beside the class they were taken for", "混淆样例与被误认的类别"),
            wide=True,
        ),
        *_correlations(it, found),
        *_worst_table(it, found),
        *_all_classes(it),
        *_pictures(it),
    ]


def _confusions(it: Material, found: Errors) -> list[str]:
    writer, say = it.writer, it.writer.say
    wrong, images = writer.count(found.wrong), writer.count(found.images)
    sentences = [
        say(
            f"{wrong} of {images} images are classified wrongly.",
            f"{images} 张图像中有 {wrong} 张分类错误。",
        )
    ]
    frequent = _frequent(found)
    if not frequent:
        return [
            *sentences,
            say(
                "No pair of classes is confused more than once, so the errors show no pattern between classes.",
                "没有任何一对类别被混淆超过一次，错误在类别之间未见规律。",
            ),
        ]
    named = writer.listed([_confusion_text(it, confusion) for confusion in frequent])
    see = it.see("pairs", "confusion_matrix")
    if len(found.most_frequent) > _NAMED:
        # the three that are named are no more frequent than the others
        pairs, times = writer.count(len(found.most_frequent)), writer.count(frequent[0].count)
        sentences.append(
            say(
                f"The most frequent confusions occur {times} times each, which {pairs} pairs of classes do{see}, among "
                f"them {named}.",
                f"最常见的混淆各出现 {times} 次，共有 {pairs} 对类别{see}，例如：{named}。",
            )
        )
    else:
        sentences.append(say(f"Most frequent{see}: {named}.", f"最常见的混淆{see}：{named}。"))
    repeated = writer.percent(found.repeated / found.wrong, 0)
    sentences.append(
        say(
            f"Confusions that occur at least twice make up {repeated} of the errors.",
            f"出现两次及以上的混淆占全部错误的 {repeated}。",
        )
    )
    mutual = [confusion for confusion in frequent if confusion.back > 1]
    if mutual:
        first = mutual[0]
        back = writer.count(first.back)
        pair = it.class_name(first.label), it.class_name(first.predicted)
        sentences.append(
            say(
                f"The confusion of {pair[0]} and {pair[1]} goes both ways ({back} the other way), which points to "
                "truly similar classes rather than to a bias for one of them.",
                f"{pair[0]} 与 {pair[1]} 的混淆是双向的（反向 {back} 次），更可能是两类本身相似，"
                "而非模型偏向其中一类。",
            )
        )
    return sentences


def _frequent(found: Errors) -> list[Confusion]:
    """Return the confusions to name; those that others equal only where nothing is more frequent."""
    frequent = [confusion for confusion in found.confusions if confusion.count > 1]
    if len(frequent) <= _NAMED:
        return frequent
    sure = [confusion for confusion in frequent[:_NAMED] if confusion.count > frequent[_NAMED].count]
    return sure or frequent[:_NAMED]


def _confusion_text(it: Material, confusion: Confusion) -> str:
    label, other = it.class_name(confusion.label), it.class_name(confusion.predicted)
    count, images = it.writer.count(confusion.count), it.writer.count(confusion.images)
    return it.writer.say(
        f"{label} taken for {other} ({count} of {images})", f"{label} 误认为 {other}（{images} 张中 {count} 张）"
    )


def _classes(it: Material, found: Errors) -> list[str]:
    writer = it.writer
    if not found.measured:
        return []
    perfect, measured = writer.count(found.perfect), writer.count(found.measured)
    see = it.see("per_class", tables=["worst"])
    sentences = [
        writer.say(
            f"{perfect} of {measured} classes are recognised without an error{see}."
            if found.perfect
            else f"Each of the {measured} classes has an error{see}.",
            f"{measured} 个类别中有 {perfect} 个完全没有错误{see}。"
            if found.perfect
            else f"{measured} 个类别均有错误{see}。",
        )
    ]
    if found.confidence_right is not None and found.confidence_wrong is not None:
        right, wrong = writer.percent(found.confidence_right, 0), writer.percent(found.confidence_wrong, 0)
        sentences.append(
            writer.say(
                f"The mean confidence is {right} where the answer is right and {wrong} where it is wrong.",
                f"回答正确时平均置信度为 {right}，错误时为 {wrong}。",
            )
        )
    return sentences


def _correlations(it: Material, found: Errors) -> list[Block]:
    writer, say = it.writer, it.writer.say
    sentences = [
        _correlation_sentence(it, name, found.correlations[name]) for name in _CONDITIONS if name in found.correlations
    ]
    counts = it.facts.checkpoint.class_counts
    if min(counts) == max(counts):
        sentences.append(
            say(
                "All classes have the same number of training images, so these cannot explain differences between "
                "classes.",
                "各类训练图像数相同，因此类别间的差异无法用训练图像数来解释。",
            )
        )
    if not sentences:
        return []
    if any(found.correlations[name].is_clear for name in found.correlations if name != "confidence"):
        sentences.append(
            say(
                "These are associations, not causes, and of several that are tested one may stand out by chance.",
                "以上只是相关而非因果；由于同时考察了多个因素，个别结果也可能出于偶然。",
            )
        )
    lead = say(
        "Which properties go with errors? The following rank correlations (Spearman's ρ, bootstrap 95% intervals) "
        "relate whether an answer is right to properties of the image and its class"
        f"{it.see('correlations')}.",
        "错误与哪些因素有关？下面用 Spearman 秩相关系数 ρ（自助法 95% 区间）考察回答是否正确与图像及类别属性的关系"
        f"{it.see('correlations')}。",
    )
    caption = say("Share of errors by confidence", "各置信度下的错误率")
    if min(counts) < max(counts):
        caption = say(
            "Above: accuracy of the classes by training images; below: share of errors by confidence",
            "上：各类准确率与训练图像数；下：各置信度下的错误率",
        )
    return [Paragraph(writer.sentences([lead, *sentences])), *it.picture("correlations", caption)]


# name: (subject, what a positive correlation means, what a negative one means), in English and Chinese
_CONDITIONS = {
    "confidence": (
        ("the confidence", "low confidence marks errors", "errors are made with high confidence"),
        ("置信度", "置信度低时更易出错", "错误往往伴随高置信度"),
    ),
    "training_images": (
        (
            "the number of training images of the class",
            "classes with few training images are recognised less well",
            "classes with many training images are recognised less well",
        ),
        ("该类训练图像数", "训练图像少的类别识别得更差", "训练图像多的类别反而识别得更差"),
    ),
    "shorter_side": (
        (
            "the shorter side of the photograph in pixels",
            "photographs with a short side of few pixels are recognised less well",
            "photographs with a short side of many pixels are recognised less well",
        ),
        ("图像短边的像素数", "短边像素少的图像更易出错", "短边像素多的图像更易出错"),
    ),
    "cropped": (
        (
            "the part that the square crop cuts off",
            "photographs far from a square are recognised better",
            "photographs far from a square are recognised less well",
        ),
        ("居中裁剪损失的比例", "长宽比大的照片反而识别得更好", "长宽比大的照片更易出错"),
    ),
}


def _correlation_sentence(it: Material, name: str, correlation: RankCorrelation) -> str:
    writer = it.writer
    english, chinese = _CONDITIONS[name]
    rho = writer.signed(correlation.rho, 2)
    bounds = writer.signed_interval((correlation.low, correlation.high), factor=1)
    if not correlation.is_clear:
        return writer.say(
            f"No relation with {english[0]} is visible (ρ = {rho}, {bounds}).",
            f"与{chinese[0]}之间未见明显关系（ρ = {rho}，{bounds}）。",
        )
    place = 1 if correlation.rho > 0 else 2
    meaning = english[place]
    return writer.say(
        f"{meaning[0].upper()}{meaning[1:]} (ρ = {rho}, {bounds}).",
        f"{chinese[place]}（与{chinese[0]}：ρ = {rho}，{bounds}）。",
    )


def _worst_table(it: Material, found: Errors) -> list[Block]:
    writer, say = it.writer, it.writer.say
    rows = [
        (
            it.class_name(row.label),
            writer.count(row.training_images),
            f"{writer.count(row.correct)} / {writer.count(row.images)}",
            writer.interval(row.interval, 0),
        )
        for row in found.worst
    ]
    header = (say("class", "类别"), say("training", "训练"), say("right", "正确"), say("95% interval", "95% 区间"))
    more = ""
    if found.like_the_last:
        count = writer.count(found.like_the_last)
        more = say(f"; {count} more are as low as the last", f"（另有 {count} 类与最后一行相同）")
    title = say(f"The classes with the lowest accuracy{more}", f"准确率最低的类别{more}")
    return [Table(title, header, rows, key="worst")]


def _all_classes(it: Material) -> list[Block]:
    """Return all classes, for the page alone, which has room."""
    writer, say, rows = it.writer, it.writer.say, []
    for row in it.facts.per_class:
        images, correct = int(row["images"]), int(row["correct"])
        if images:
            label = f"{it.writer.name(row['category_id'])} {it.class_name(int(row['label']))}"
            right = f"{writer.count(correct)} / {writer.count(images)}"
            interval = writer.interval(wilson_interval(correct, images), 0)
            rows.append((label, writer.count(int(row["training_images"])), right, interval))
    header = (say("class", "类别"), say("training", "训练"), say("right", "正确"), say("95% interval", "95% 区间"))
    return [Table(say("All classes", "全部类别"), header, rows, only=HTML)] if rows else []


def _pictures(it: Material) -> list[Block]:
    say = it.writer.say
    matrix = say("Confusion matrix", "混淆矩阵")
    if len(it.facts.checkpoint.classes) > MOST_CLASSES:
        matrix = say("Confusion matrix of the classes that are confused most", "混淆最多的类别之间的混淆矩阵")
    blocks: list[Block] = [*it.picture("confusion_matrix", matrix)]
    classes = it.picture("per_class", say("Accuracy of the classes", "各类别的准确率"))
    caption = say(
        "Photographs, the places that speak for the answer, and the five most probable classes. Left: right answers "
        "from the most to the least confident; right: the most confident wrong ones. Green is the true class",
        "照片、支持预测结果的区域与概率最高的五个类别。左：由高到低各置信度的正确预测；右：置信度最高的错误预测。绿色为真实类别",
    )
    predictions = it.picture("predictions", caption, wide=True)
    if predictions:
        cited, see = it.writer.cite("selvaraju2017"), it.see("predictions")
        text = say(
            f"Grad-CAM {cited} marks the places that speak for the answer of the network{see}; bright ones speak most.",
            f"Grad-CAM {cited} 显示支持预测结果的区域{see}，越亮表示支持越强。",
        )
        blocks += [Paragraph(text), *predictions]
    return [*blocks, *classes]
