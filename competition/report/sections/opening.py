"""Title, abstract and keywords, and the task with its limits."""

from competition.report.document import Block, Paragraph
from competition.report.findings.difference import Verdict
from competition.report.sections.material import Material, measured_part, variant_text


def abstract(it: Material) -> str:
    """Return about 150 words on the task, the method, the result, what mattered, and the cost."""
    return it.writer.sentences([*_task_and_method(it), *_result(it), *_analysis(it), *_cost(it), _close(it)])


def _task_and_method(it: Material) -> list[str]:
    writer, config, checkpoint = it.writer, it.facts.config, it.facts.checkpoint
    say, limits = writer.say, config.competition
    classes, size = writer.count(len(checkpoint.classes)), writer.count(checkpoint.input_size)
    megabytes, latency = writer.general(limits.max_model_mb), writer.general(limits.max_latency_ms)
    architecture = writer.name(checkpoint.architecture.split(".")[0])
    parts = []
    if config.training.head_init == "probe":
        parts.append(say("a classifier that starts from a linear probe", "线性探测初始化"))
    if config.model.head == "second_order":
        parts.append(say("a second-order head", "二阶统计分类头"))
    if config.training.ema_decay:
        parts.append(say("averaged weights", "权重滑动平均"))
    if checkpoint.metrics.get("start_share"):
        parts.append(say("interpolation towards the initial weights", "初始权重插值"))
    named = writer.listed(parts)
    kind = say("pretrained ", "预训练的 ") if config.model.pretrained else ""
    method = say(
        f"We fine-tune a {kind}{architecture} at {size} pixels a side" + (f", with {named}." if parts else "."),
        f"我们以 {size} 像素的输入微调{kind}{architecture}" + (f"，并采用{named}。" if parts else "。"),
    )
    if not config.model.pretrained:
        method = say(
            f"We train a {architecture} from scratch at {size} pixels a side" + (f", with {named}." if parts else "."),
            f"我们以 {size} 像素的输入从零训练 {architecture}" + (f"，并采用{named}。" if parts else "。"),
        )
    if not it.facts.trained:
        head = say(" with a second-order head", "并采用二阶统计分类头") if config.model.head == "second_order" else ""
        method = say(
            f"We fit a linear classifier on the features of a {kind}{architecture} at {size} pixels a side{head}, "
            "without training the network.",
            f"我们在{kind}{architecture}（输入 {size} 像素）的特征上拟合线性分类器{head}，不训练骨干网络。",
        )
    return [
        say(
            f"This report describes a system that assigns photographs of flowers to {classes} classes. The contest "
            f"allows {megabytes} MB for all models and {latency} ms per image.",
            f"本文介绍一个花卉细粒度识别系统，将照片划分为 {classes} 个类别。"
            f"竞赛限制为全部模型不超过 {megabytes} MB，单张图像推理不超过 {latency} ms。",
        ),
        method,
    ]


def _result(it: Material) -> list[str]:
    metrics, writer = it.facts.metrics, it.writer
    if metrics is None:
        return []
    images, part = writer.count(metrics["images"]), measured_part(it)
    top1, interval = writer.percent(metrics["top1"]), writer.interval(metrics["top1_interval"])
    f1 = writer.percent(metrics["macro_f1"])
    seen = writer.say("Part of them were seen in training.", "其中部分图像在训练中出现过。")
    return [
        writer.say(
            f"On {images} {part} it reaches a top-1 accuracy of {top1} (95% confidence interval {interval}) and a "
            f"macro F1 of {f1}.",
            f"在 {images} {part}上，top-1 准确率为 {top1}（95% 置信区间 {interval}），宏平均 F1 为 {f1}。",
        ),
        seen if metrics.get("seen_in_training") else "",
    ]


def _analysis(it: Material) -> list[str]:
    writer, found = it.writer, it.findings
    say, sentences = writer.say, []
    if found.ablation:
        clear = [effect for effect in found.ablation.variants if effect.difference.verdict is not Verdict.CHANCE]
        count = writer.count(len(found.ablation.variants))
        beyond = writer.count(len(clear))
        strongest = ("", "")
        if clear:
            effect = max(clear, key=lambda effect: abs(effect.difference.value))
            name, points = variant_text(effect.variant, writer), writer.points(effect.difference.value)
            strongest = (
                f"; “{name}” changes top-1 most ({points} points)",
                f"，影响最大的是“{name}”（{points} 个百分点）",
            )
        sentences.append(
            say(
                f"In an ablation of {count} variant{_s(len(found.ablation.variants))}, the effect of {beyond} is "
                f"beyond chance{strongest[0]}.",
                f"消融实验考察了 {count} 个变体，其中 {beyond} 个的影响超出随机波动{strongest[1]}。",
            )
        )
    kept = found.confidence.most if found.confidence else None
    if kept:
        coverage, right = writer.percent(kept.coverage, 0), writer.percent(kept.right)
        sentences.append(
            say(
                f"If only the {coverage} most confident answers are kept, {right} of them are right.",
                f"若只保留置信度最高的 {coverage} 的回答，其准确率为 {right}。",
            )
        )
    if found.errors and len(found.errors.most_frequent) == 1 and found.errors.confusions[0].count > 1:
        (worst,) = found.errors.most_frequent
        pair = it.class_name(worst.label), it.class_name(worst.predicted)
        sentences.append(
            say(
                f"The most frequent confusion is {pair[0]} taken for {pair[1]}.",
                f"最常见的混淆是把 {pair[0]} 误认为 {pair[1]}。",
            )
        )
    return sentences


def _cost(it: Material) -> list[str]:
    facts, writer = it.facts, it.writer
    millions, megabytes = writer.decimal(facts.parameters, 1, 1e-6), writer.decimal(facts.megabytes, 1)
    if facts.proof is None:
        return [
            writer.say(
                f"One network has {millions} million parameters and takes {megabytes} MB.",
                f"单个网络含 {millions} M 参数，体积为 {megabytes} MB。",
            )
        ]
    latency, models = writer.decimal(facts.proof["latency_ms"]["p95_ms"], 1), len(facts.proof["checkpoints"])
    over = writer.say(", over the limit on this machine", "，在本机超出上限") if facts.is_too_slow else ""
    averaged = ""
    if models > 1:
        way = it.findings.frontier and it.findings.frontier.submitted
        top1 = f" (top-1 {writer.percent(way.top1)})" if way else ""
        averaged = writer.say(
            f"averages {writer.count(models)} models{top1}, ", f"平均 {writer.count(models)} 个模型{top1}，"
        )
    return [
        writer.say(
            f"One network has {millions} million parameters and takes {megabytes} MB. The submitted archive "
            f"{averaged}takes {latency} ms an image (95th percentile{over}) and was run as the judges do.",
            f"单个网络含 {millions} M 参数，体积为 {megabytes} MB。提交包{averaged}单张图像耗时 {latency} ms"
            f"（第 95 百分位{over}），并已按评审方式实际运行验证。",
        )
    ]


def _close(it: Material) -> str:
    return it.writer.say(
        "All numbers come from the records of the runs; the commands at the end make, evaluate and pack the system "
        "again.",
        "文中数值均来自实验记录；用文末命令可重新得到、评估并打包该系统。",
    )


def keywords(it: Material) -> list[str]:
    """Return the keywords of what was used."""
    config, say = it.facts.config, it.writer.say
    found = [
        say("fine-grained image classification", "细粒度图像分类"),
        say("flower recognition", "花卉识别"),
        say("transfer learning", "迁移学习"),
    ]
    if config.model.head == "second_order":
        found.append(say("second-order pooling", "二阶池化"))
    if config.training.head_init == "probe":
        found.append(say("linear probing", "线性探测"))
    if it.facts.checkpoint.temperature_source:
        found.append(say("confidence calibration", "置信度校准"))
    if config.training.teacher:
        found.append(say("knowledge distillation", "知识蒸馏"))
    return found


def task(it: Material) -> list[Block]:
    """The task, what makes it hard, and the limits of the contest."""
    writer, config = it.writer, it.facts.config
    say, limits = writer.say, config.competition
    classes = writer.count(len(it.facts.checkpoint.classes))
    side = writer.count(limits.input_size)
    megabytes, latency = writer.general(limits.max_model_mb), writer.general(limits.max_latency_ms)
    billions = writer.decimal(limits.max_parameters, 0, 1e-9)
    hundred_millions = writer.decimal(limits.max_parameters, 0, 1e-8)
    columns = writer.listed([writer.name(column) for column in limits.csv_columns])
    return [
        Paragraph(
            say(
                f"Each photograph is to be assigned to one of {classes} classes of flowers. The classes differ in "
                "details, such as the form of petals and stamens, while photographs of one class differ in colour, "
                "distance, light and background: differences within a class can exceed those between classes.",
                f"任务是把每张照片归入 {classes} 个花卉类别之一。不同类别往往只在花瓣、花蕊等细节上有差别，"
                "而同一类别的照片在颜色、远近、光照与背景上变化很大：类内差异可能大于类间差异。",
            )
        ),
        Paragraph(
            say(
                f"The contest limits the system (profile {writer.name(limits.name)}): all models together take at "
                f"most {megabytes} MB and {billions} billion parameters, and one image of {side} × {side} pixels at "
                f"most {latency} ms, from the file to the answer. The submission is a table with the columns "
                f"{columns}.",
                f"竞赛对参赛系统有明确限制（配置 {writer.name(limits.name)}）：全部模型合计不超过 {megabytes} MB、"
                f"参数量不超过 {hundred_millions} 亿；一张 {side} × {side} 像素的图像从读取文件到给出结果不超过 "
                f"{latency} ms。提交结果为一张表，各列为 {columns}。",
            )
        ),
        Paragraph(
            say(
                "The main results have 95% intervals, because differences on a few hundred images are easily "
                "due to chance; a difference whose interval contains zero is called within chance.",
                "主要结果均附 95% 区间，因为在几百张图像上，小的差异很可能只是随机波动；"
                "若差异的区间包含零，本文称其在随机波动范围内。",
            )
        ),
    ]


def _s(count: int) -> str:
    return "" if count == 1 else "s"
