"""The training strategy: what each ingredient is for, the augmentation, and how training went."""

from competition.report.document import Block, Paragraph, Subheading, Table
from competition.report.findings.course import Course
from competition.report.ingredients import sentences_of
from competition.report.sections.material import Material, difference_text, verdict_text
from configs.options import OUT_OF_FOLD

_PARTS = (
    ("start", ("Initialisation", "初始化")),
    ("optimizer", ("Optimisation", "优化")),
    ("loss", ("Loss and sampling", "损失与采样")),
    ("regularisation", ("Regularisation", "正则化")),
    ("last_epochs", ("Last epochs", "收尾阶段")),
    ("averaging", ("Averaging of weights", "权重平均")),
    ("teacher", ("Distillation", "知识蒸馏")),
)

# epochs after which a course is called steady, or rising
_STEADY = 2


def strategy(it: Material) -> list[Block]:
    """Why each ingredient is there, the table of the recipe, the augmentation and the course."""
    if not it.facts.trained:
        return [_classifier_alone(it)]
    return [*_ingredients(it), _recipe(it), *_augmentation(it), *_course(it)]


def _classifier_alone(it: Material) -> Paragraph:
    writer, checkpoint = it.writer, it.facts.checkpoint
    images, source = writer.count(len(checkpoint.split["train"])), writer.cite("kumar2022")
    sentences = [
        writer.say(
            f"The network is not trained. Logistic regression on its features of {images} images gives the classifier: "
            f"a linear probe {source}. Each class has the same weight in total, and cross-validation chose the "
            "strength of the L2 penalty.",
            f"骨干网络不做训练。分类器由 {images} 张图像的特征经逻辑回归得到，即线性探测{source}。"
            "各类别的总权重相同，L2 惩罚的强度由交叉验证选定。",
        )
    ]
    # a model that was kept at another size has lost it
    if OUT_OF_FOLD in checkpoint.metrics:
        top1 = writer.percent(checkpoint.metrics[OUT_OF_FOLD])
        sentences.append(
            writer.say(
                f"On images that the classifier was not fitted on (out of fold), its top-1 is {top1}.",
                f"在未参与拟合的图像（折外）上，top-1 为 {top1}。",
            )
        )
    return Paragraph(writer.sentences(sentences))


def _ingredients(it: Material) -> list[Block]:
    blocks: list[Block] = []
    for part, title in _PARTS:
        sentences = sentences_of(part, it.facts, it.writer)
        if part == "optimizer":
            sentences.append(it.writer.say("{recipe} lists the main settings.", "主要设置见{recipe}。"))
        if sentences:
            lead = it.writer.say(*title)
            text = it.writer.sentences(sentences)
            blocks.append(Paragraph(it.writer.say(f"{lead}. {text}", f"{lead}。{text}")))
    return blocks


def _recipe(it: Material) -> Table:
    writer, config = it.writer, it.facts.config
    recipe, say = config.training, it.writer.say
    batch = writer.general(config.dataset.batch_size)
    if recipe.accumulation_steps > 1:
        batch += f" × {writer.count(recipe.accumulation_steps)}"
    rows = [
        (
            say("optimizer", "优化器"),
            say(
                f"{writer.name(recipe.optimizer)}, weight decay {writer.general(recipe.weight_decay)}",
                f"{writer.name(recipe.optimizer)}，权重衰减 {writer.general(recipe.weight_decay)}",
            ),
        ),
        (say("peak learning rate", "峰值学习率"), writer.general(recipe.learning_rate)),
        (
            say("schedule", "学习率调度"),
            say(
                f"{writer.name(recipe.scheduler)}, warm-up epochs: {writer.general(recipe.warmup_epochs)}",
                f"{writer.name(recipe.scheduler)}，预热 {writer.general(recipe.warmup_epochs)} 轮",
            ),
        ),
        (
            say("epochs, batch size", "轮数，批大小"),
            say(f"{writer.general(recipe.epochs)}, {batch}", f"{writer.general(recipe.epochs)}，{batch}"),
        ),
        (say("loss", "损失函数"), writer.name(recipe.loss_function)),
    ]
    optional = [
        (say("label smoothing", "标签平滑"), recipe.loss_function != "cross_entropy" and recipe.label_smoothing),
        (say("layer decay", "逐层衰减"), recipe.layer_decay != 1 and recipe.layer_decay),
        ("mixup α", recipe.mixup_alpha),
        ("CutMix α", recipe.cutmix_alpha),
        ("drop path", config.model.drop_path_rate),
        ("dropout", config.model.drop_rate),
        (say("EMA decay", "EMA 衰减"), recipe.ema_decay),
        (say("frozen share of layers", "冻结层比例"), recipe.freeze_layers),
        (say("gentle last epochs", "末段温和增强轮数"), recipe.final_epochs),
        (say("seed", "随机种子"), config.seed),
    ]
    rows += [(name, writer.general(value)) for name, value in optional if value or name in ("seed", "随机种子")]
    return Table(say("The recipe", "训练配置"), (say("setting", "项目"), say("value", "取值")), rows, key="recipe")


def _augmentation(it: Material) -> list[Block]:
    writer, augmentation = it.writer, it.facts.config.augmentation
    say = writer.say
    names = writer.listed([writer.name(name) for name in augmentation.train])
    sentences = sentences_of("augmentation", it.facts, writer)
    first = say(
        f"Option {writer.name(augmentation.name)}: training images are varied anew in each epoch by {names}, in this "
        f"order{it.see('augmentation')}.",
        f"采用选项 {writer.name(augmentation.name)}：每一轮都对训练图像重新做随机变换，依次为 "
        f"{names}{it.see('augmentation')}。",
    )
    caption = say(
        "Each row: a training image as evaluation sees it, then as it appears in successive epochs",
        "每行：评估时所见的训练图像，以及它在各轮次中的样子",
    )
    return [
        Subheading(say("Augmentation", "数据增强")),
        Paragraph(writer.sentences([first, *sentences])),
        *it.picture("augmentation", caption),
    ]


def _course(it: Material) -> list[Block]:
    course, say = it.findings.course, it.writer.say
    if course is None:
        return []
    sentences = [
        *_length(it, course),
        *_convergence(it, course),
        *_last_epochs(it, course),
        *_start_share(it, course),
    ]
    caption = say("Losses and validation accuracy by epoch", "各轮次的损失与验证准确率")
    return [
        Subheading(say("Course of the training", "训练过程")),
        Paragraph(it.writer.sentences(sentences)),
        *it.picture("curves", caption),
    ]


def _length(it: Material, course: Course) -> list[str]:
    writer = it.writer
    epochs, hours = writer.count(course.epochs), course.hours
    spent = course.training_hours if hours is None else hours
    shown = (
        writer.say(f"{writer.decimal(spent, 1)} hours", f"{writer.decimal(spent, 1)} 小时")
        if spent >= 1
        else writer.say(f"{writer.decimal(spent, 1, 60)} minutes", f"{writer.decimal(spent, 1, 60)} 分钟")
    )
    counted = writer.say(
        "" if hours is not None else ", validation excluded", "" if hours is not None else "（不含验证）"
    )
    sentences = [
        writer.say(
            f"The run took {shown}{counted} for {epochs} epoch{'' if course.epochs == 1 else 's'}{it.see('curves')}.",
            f"训练共 {epochs} 轮，用时 {shown}{counted}{it.see('curves')}。",
        )
    ]
    limit = it.facts.config.training.max_minutes
    if course.epochs < course.planned and limit is not None:
        planned, minutes = writer.general(course.planned), writer.general(limit)
        sentences.append(
            writer.say(
                f"The others of the {planned} epochs planned were skipped, so that it ended within {minutes} minutes.",
                f"计划共 {planned} 轮，其余轮次被跳过，以便在 {minutes} 分钟内结束。",
            )
        )
    elif course.epochs < course.planned:
        planned = writer.general(course.planned)
        sentences.append(
            writer.say(f"It ended before the {planned} epochs planned.", f"未跑满计划的 {planned} 轮即结束。")
        )
    return sentences


def _convergence(it: Material, course: Course) -> list[str]:
    writer, say = it.writer, it.writer.say
    if course.best_top1 is None or course.first_top1 is None or course.best_epoch is None:
        return [say("No image was held back to follow its progress.", "训练未留出图像来跟踪进展。")]
    first, best = writer.percent(course.first_top1), writer.percent(course.best_top1)
    epoch = writer.count(course.best_epoch)
    if course.best_epoch == 1:
        sentences = [
            say(
                f"Validation top-1 was highest after the first epoch ({best}); the further epochs did not raise it.",
                f"验证 top-1 在第一轮后即达最高（{best}），之后未再提升。",
            )
        ]
    else:
        sentences = [
            say(
                f"Validation top-1 rose from {first} after the first epoch to {best} in epoch {epoch}, whose weights "
                "were kept.",
                f"验证 top-1 由第一轮后的 {first} 升至第 {epoch} 轮的 {best}，该轮权重被保留。",
            )
        ]
    # a last epoch or two alone show nothing
    if course.settled is not None and 1 < course.settled <= course.last - _STEADY:
        settled = writer.count(course.settled)
        sentences.append(
            say(
                f"From epoch {settled} on it stayed within one point of the best, so the run had converged.",
                f"自第 {settled} 轮起，其与最高值的差距不再超过一个百分点，可认为训练已经收敛。",
            )
        )
    elif course.best_epoch == course.last > 1:
        sentences.append(
            say(
                "The best epoch is the last one: more epochs might have gained more.",
                "最佳轮次就是最后一轮，继续训练可能还有提升。",
            )
        )
    if course.lowest_loss is not None and course.lowest_loss <= course.last - _STEADY:
        lowest = writer.count(course.lowest_loss)
        sentences.append(
            say(
                f"The validation loss was lowest in epoch {lowest} and rose afterwards, which suggests growing "
                "confidence in wrong answers.",
                f"验证损失在第 {lowest} 轮最低，此后回升，可能说明模型对错误回答的置信度在增加。",
            )
        )
    return sentences


def _last_epochs(it: Material, course: Course) -> list[str]:
    if course.last_epochs is None:
        return []
    change, verdict = difference_text(course.last_epochs, it.writer), verdict_text(course.last_epochs, it.writer)
    return [
        it.writer.say(
            f"Against the best epoch before, the gentle last epochs changed validation top-1 by {change}; {verdict}.",
            f"与此前最佳轮次相比，末段温和增强使验证 top-1 变化 {change}，{verdict}。",
        )
    ]


def _start_share(it: Material, course: Course) -> list[str]:
    if course.mixed is None or course.start_share is None:
        return []
    writer = it.writer
    without, mixed = (writer.percent(top1) for top1 in course.mixed)
    share, images = writer.general(course.start_share), writer.count(course.images)
    if course.mixed[0] == course.mixed[1]:
        return [
            writer.say(
                f"Mixing a share of {share} of the initial weights into the final ones left top-1 on the {images} "
                f"validation images at {mixed}.",
                f"在最终权重中混入占 {share} 的初始权重后，{images} 张验证图像上的 top-1 仍为 {mixed}。",
            )
        ]
    return [
        writer.say(
            f"Mixing a share of {share} of the initial weights into the final ones took top-1 from {without} to "
            f"{mixed} on the {images} validation images.",
            f"在最终权重中混入占 {share} 的初始权重后，{images} 张验证图像上的 top-1 由 {without} 变为 {mixed}。",
        )
    ]
