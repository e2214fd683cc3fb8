"""Sections of the report, in English and Chinese, made from recorded facts; no figure without a measurement."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from competition.report.document import HTML, PDF, Block, Code, Document, Heading, Paragraph, Picture, Say, Table
from competition.report.innovation import innovation_blocks
from competition.report.run_record import Facts
from evaluation.intervals import wilson_interval

WORST_CLASSES = 10

Pictures = Mapping[str, Path]


def build_document(
    facts: Facts, pictures: Pictures, innovation: str, language: str, dropped: Sequence[str]
) -> Document:
    """Return the report; `pictures` are files by name, `innovation` the team's text, `dropped` names of sections."""

    def say(english: str, chinese: str) -> str:
        return chinese if language == "zh" else english

    blocks: list[Block] = []
    for name, write in SECTIONS.items():
        written = innovation_blocks(innovation, say) if name == "innovation" else write(facts, pictures, say)
        if written and name not in dropped:
            blocks += [Heading(_titles(say)[name], name), *written]
    checkpoint = facts.checkpoint
    return Document(
        title=say("Flower recognition: technical report", "花卉识别：技术报告"),
        subtitle=f"{facts.config.experiment_name}, {checkpoint.architecture}, {len(checkpoint.classes)} "
        + say("classes", "类"),
        language=language,
        blocks=blocks,
    )


def _titles(say: Say) -> dict[str, str]:
    return {
        "summary": say("Summary", "摘要"),
        "innovation": say("Innovation", "创新点"),
        "model": say("Model", "模型"),
        "training": say("Data and training", "数据与训练"),
        "augmentation": say("Augmentation", "数据增强"),
        "results": say("Results", "实验结果"),
        "confusions": say("Where it errs", "错误分析"),
        "attention": say("Where it looks", "可解释性"),
        "limits": say("Latency and size", "时延与体积"),
        "ablation": say("Ablation", "消融实验"),
        "reproduce": say("How to reproduce", "复现方法"),
    }


def summary(facts: Facts, pictures: Pictures, say: Say) -> list[Block]:
    """The figures that a judge looks for first."""
    proof, metrics = facts.proof, facts.metrics
    unknown = say("not measured", "未测量")
    return [
        Table(
            say("The submission in figures", "核心指标"),
            (say("what", "项目"), say("figure", "数值")),
            [
                (say("model", "模型"), facts.checkpoint.architecture),
                (
                    say("top-1 on held-back images", "留出集 top-1"),
                    _share(metrics, "top1") if metrics else unknown,
                ),
                (say("size of all models", "全部模型体积"), _size_of_all(facts, say)),
                (
                    say("latency of one image, p95", "单张时延 p95"),
                    f"{proof['latency_ms']['p95_ms']:.1f} ms ({proof['latency_ms']['hardware']})" if proof else unknown,
                ),
            ],
        )
    ]


def _size_of_all(facts: Facts, say: Say) -> str:
    limit = facts.config.competition.max_model_mb
    for check in (facts.proof or {}).get("checks", []):
        if check["rule"] == "size of all models":
            return say(f"{check['figure']}, limit {limit:g} MB", f"{check['figure']}，上限 {limit:g} MB")
    return say(f"{facts.megabytes:.1f} MB (one model, fp32)", f"{facts.megabytes:.1f} MB（单模型，fp32）")


def model(facts: Facts, pictures: Pictures, say: Say) -> list[Block]:
    """Architecture, parameters, size, operations."""
    checkpoint, config = facts.checkpoint, facts.config.model
    weights = (config.weights or "hub") if config.pretrained else say("none (random start)", "无（随机初始化）")
    averaged = (
        say("averaged over the last steps", "指数滑动平均") if checkpoint.averaged_weights else say("raw", "原始")
    )
    epoch = say(f"epoch {checkpoint.epoch}", f"第 {checkpoint.epoch} 轮")
    rows = [
        (say("architecture (timm)", "结构（timm）"), checkpoint.architecture),
        (say("pretrained weights from", "预训练权重来源"), weights),
        (say("parameters", "参数量"), f"{facts.parameters / 1e6:.2f} M"),
        (say("size, fp32 / fp16", "体积，fp32 / fp16"), f"{facts.megabytes:.1f} / {facts.megabytes / 2:.1f} MB"),
        (
            say("operations for one image", "单张计算量"),
            f"{facts.gflops:.2f} GFLOPs" if facts.gflops else say("not measured", "未测量"),
        ),
        (say("input", "输入"), f"{checkpoint.input_size} x {checkpoint.input_size}"),
        (say("weights that are shipped", "提交的权重"), f"{averaged}, {epoch}"),
    ]
    about = say(
        "The normalisation is the first layer of the network, so that training, evaluation and the judges' copy see "
        "the same numbers. A multiply-add counts as two operations.",
        "归一化是网络的第一层，因此训练、评估与评审端看到完全一致的输入。一次乘加计为两次运算。",
    )
    return [Table(say("The network", "网络"), (say("what", "项目"), say("value", "数值")), rows), Paragraph(about)]


def training(facts: Facts, pictures: Pictures, say: Say) -> list[Block]:
    """Data, split, optimizer, schedule, regularisation, and the curves."""
    checkpoint, config = facts.checkpoint, facts.config
    recipe, split, counts = config.training, checkpoint.split, checkpoint.class_counts
    sizes = [len(split.get(part, [])) for part in ("train", "val", "test")]
    off, frozen = say("off", "关闭"), f"{recipe.freeze_layers:g} / {str(recipe.freeze_batchnorm).lower()}"
    minutes = sum(float(row["seconds"]) for row in facts.history) / 60
    rows = [
        (say("images: train / validation / test", "图像：训练 / 验证 / 测试"), " / ".join(map(str, sizes))),
        (say("training images per class", "每类训练图像"), f"{min(counts)}-{max(counts)}"),
        (say("unreadable images left out", "剔除的不可读图像"), str(facts.skipped_images)),
        (say("optimizer", "优化器"), f"{recipe.optimizer}, weight decay {recipe.weight_decay:g}"),
        (
            say("learning rate", "学习率"),
            f"{recipe.learning_rate:g}, {recipe.scheduler}, warm-up {recipe.warmup_epochs:g}, "
            f"layer decay {recipe.layer_decay:g}",
        ),
        (
            say("epochs, batch", "轮数，批大小"),
            f"{len(facts.history)} / {recipe.epochs:g}, {config.dataset.batch_size} x {recipe.accumulation_steps}",
        ),
        (say("loss", "损失函数"), f"{recipe.loss_function}, label smoothing {recipe.label_smoothing:g}"),
        ("mixup / cutmix", f"{recipe.mixup_alpha or off} / {recipe.cutmix_alpha or off}"),
        ("drop path / dropout", f"{config.model.drop_path_rate:g} / {config.model.drop_rate:g}"),
        (say("averaged weights (EMA)", "权重滑动平均（EMA）"), str(recipe.ema_decay or off)),
        (say("start of the classifier", "分类头初始化"), recipe.head_init),
        (
            say("frozen layers / BatchNorm statistics", "冻结层 / BN 统计量"),
            frozen,
        ),
        (say("last gentle epochs", "末段轻增强轮数"), str(recipe.final_epochs)),
        (say("minutes of training, validation excluded", "训练分钟数（不含验证）"), f"{minutes:.1f}"),
    ]
    blocks: list[Block] = [
        Paragraph(
            say(
                "The split is stratified by class and keeps near-duplicates, found by a perceptual hash, on one side. "
                "All randomness is a function of the seed, so that a resumed run gives the same weights.",
                "数据按类别分层划分，感知哈希找到的近重复图像始终在同一侧。所有随机性都是种子的函数，中断后续训得到相同的权重。",
            )
        ),
        Table(say("The recipe", "训练配置"), (say("what", "项目"), say("value", "数值")), rows),
    ]
    if "curves" in pictures:
        blocks.append(Picture(pictures["curves"], say("Losses and validation accuracy by epoch", "各轮损失与验证精度")))
    return blocks


def augmentation(facts: Facts, pictures: Pictures, say: Say) -> list[Block]:
    """The transforms in order, and a contact sheet of them."""
    names = ", ".join(facts.config.augmentation.train)
    option = facts.config.augmentation.name
    text = say(f"Option {option}, in this order: {names}.", f"选项 {option}，依次为：{names}。")
    blocks: list[Block] = [Paragraph(text)]
    if "augmentation" in pictures:
        caption = say(
            "Each row: a training image as evaluation sees it, then as five epochs do",
            "每行：评估时的训练图像，以及五个轮次中的增强结果",
        )
        blocks.append(Picture(pictures["augmentation"], caption, 0.75))
    return blocks


def results(facts: Facts, pictures: Pictures, say: Say) -> list[Block]:
    """Accuracy with intervals, calibration, classes."""
    metrics = facts.metrics
    if metrics is None:
        return [
            Paragraph(
                say(
                    "Not measured: evaluate.py had not been run for this model when the report was written.",
                    "未测量：生成报告时尚未对该模型运行 evaluate.py。",
                )
            )
        ]
    rows = [
        ("top-1", _share(metrics, "top1")),
        ("top-5", _share(metrics, "top5")),
        (say("macro F1", "宏平均 F1"), _share(metrics, "macro_f1")),
        (say("balanced accuracy", "平衡精度"), _share(metrics, "balanced_accuracy")),
        (say("calibration error", "校准误差"), _share(metrics, "calibration_error")),
    ]
    for name, group in metrics["groups"].items():
        low, high = group["training_images"]
        title = say(f"{name}-shot classes ({low}-{high} images)", f"{name}-shot 类（{low}-{high} 张）")
        rows.append((title, f"{100 * group['balanced_accuracy']:.2f} %"))
    source = Path(metrics["image_dir"]).name
    part = metrics["images_from"].split(" of ")[0]
    views, models = "+".join(metrics["views"]), len(metrics["checkpoints"])
    caption = say(
        f"On {metrics['images']} images ({part}, folder {source}), {models} model(s), views {views}; "
        "95 % intervals in brackets",
        f"{metrics['images']} 张图像（{part}，文件夹 {source}），{models} 个模型，视图 {views}；括号内为 95 % 区间",
    )
    blocks: list[Block] = [Table(caption, (say("metric", "指标"), say("value", "数值")), rows)]
    if metrics["images_from"].startswith("val "):
        corrected = metrics.get("corrected_top1")
        text = say(
            "The best epoch was chosen on these images, so expect a little less on new ones"
            + ("." if corrected is None else f": top-1 of about {100 * corrected:.2f} %."),
            "最佳轮次由这些图像选出，在新图像上应略低"
            + ("。" if corrected is None else f"：top-1 约 {100 * corrected:.2f} %。"),
        )
        blocks.append(Paragraph(text))
    if metrics["seen_in_training"]:
        text = say(
            f"{metrics['seen_in_training']} of these images were seen in training; the figures flatter the model.",
            f"其中 {metrics['seen_in_training']} 张在训练中出现过，数值偏高。",
        )
        blocks.append(Paragraph(text))
    if "reliability" in pictures:
        blocks.append(Picture(pictures["reliability"], say("Calibration", "校准曲线"), 0.45))
    return blocks + _class_tables(facts, say)


def _class_tables(facts: Facts, say: Say) -> list[Block]:
    header = [say(*pair) for pair in (("class", "类别"), ("training", "训练"), ("right", "正确"), ("accuracy", "精度"))]
    measured = [row for row in facts.per_class if row["images"] != "0"]

    def line(row: dict[str, str]) -> tuple[str, ...]:
        correct, images = int(row["correct"]), int(row["images"])
        low, high = wilson_interval(correct, images)
        share = f"{100 * correct / images:.1f} % ({100 * low:.0f}-{100 * high:.0f})"
        return f"{row['category_id']} {row['name']}", row["training_images"], f"{correct} / {images}", share

    if not measured:
        return []
    worst = sorted(measured, key=lambda row: int(row["correct"]) / int(row["images"]))[:WORST_CLASSES]
    return [
        Table(say("The classes that fare worst", "精度最低的类别"), header, [line(row) for row in worst], only=PDF),
        Table(say("All classes", "全部类别"), header, [line(row) for row in measured], only=HTML),
    ]


def confusions(facts: Facts, pictures: Pictures, say: Say) -> list[Block]:
    """The confusion matrix, and the worst pairs with photographs."""
    captions = {
        "confusion_matrix": (say("Confusion matrix", "混淆矩阵"), 0.5),
        "pairs": (say("Confused photographs beside the class they were taken for", "混淆样例与被误认的类别"), 0.8),
    }
    return [Picture(pictures[name], *captions[name]) for name in captions if name in pictures]


def attention(facts: Facts, pictures: Pictures, say: Say) -> list[Block]:
    """Class activation maps."""
    if "predictions" not in pictures:
        return []
    text = say(
        "Grad-CAM (Selvaraju et al. 2017): bright places speak for the answer that the model gave.",
        "Grad-CAM（Selvaraju 等，2017）：明亮处支持模型给出的答案。",
    )
    return [Picture(pictures["predictions"], text)]


def limits(facts: Facts, pictures: Pictures, say: Say) -> list[Block]:
    """What was measured of latency, size, and the proof of the ZIP; the predictions; the budget."""
    blocks: list[Block] = []
    if facts.proof is None:
        text = say("Not measured: no ZIP was proven for this run yet.", "未测量：尚未为该模型生成并验证提交包。")
        blocks.append(Paragraph(text))
    else:
        latency, limit = facts.proof["latency_ms"], facts.config.competition.max_latency_ms
        figures = ", ".join(f"{name[:-3]} {latency[name]:.1f} ms" for name in ("median_ms", "p95_ms", "p99_ms"))
        caveat = say("; not the judges' hardware", "；非评审硬件") if latency["on_cpu"] else ""
        text = say(
            f"One image from file to answer, all models and views: {figures}; limit {limit:g} ms. Measured on "
            f"{latency['hardware']}{caveat}.",
            f"单张图像从文件到答案，含全部模型与视图：{figures}；上限 {limit:g} ms。"
            f"测量环境：{latency['hardware']}{caveat}。",
        )
        rows = [(check["rule"], check["figure"], check["limit"]) for check in facts.proof["checks"]]
        header = (say("rule", "规则"), say("measured", "实测"), say("limit", "要求"))
        blocks += [Paragraph(text), Table(say("The proof of the ZIP", "提交包验证结果"), header, rows)]
    if facts.recipe and facts.recipe["checkpoints"]:
        views, models = "+".join(facts.recipe["views"]), facts.recipe["checkpoints"]
        rows = [(Path(entry["path"]).name, f"{entry['weight']:.3g}", entry["sha256"][:12]) for entry in models]
        title = say(f"The models that answer; views {views}", f"参与预测的模型；视图 {views}")
        blocks.append(Table(title, (say("file", "文件"), say("weight", "权重"), "SHA-256"), rows))
    if facts.budget:
        front = [row for row in facts.budget["choices"] if row["front"]]
        rows = [
            (_choice(row), f"{100 * row['top1']:.2f}", f"{row['p95_ms']:.1f}", f"{row['size_mb']:.1f}") for row in front
        ]
        title = say("Best accuracy by latency (Pareto front)", "时延与精度的帕累托前沿")
        blocks.append(Table(title, (say("choice", "方案"), "top-1 %", "p95 ms", "MB"), rows))
    return blocks


def _choice(row: Mapping[str, Any]) -> str:
    names = [Path(name).name for name in row["models"].split()]
    return ", ".join([*names, row["runtime"], row["precision"], row["views"]])


def ablation(facts: Facts, pictures: Pictures, say: Say) -> list[Block]:
    """What each ingredient gives, if `ablate` ran."""
    if not facts.ablation:
        return []

    def line(row: dict[str, str]) -> tuple[str, ...]:
        top1, gain, low, high = (100 * float(row[name]) for name in ("top1", "difference", "low_95", "high_95"))
        change = "" if row["variant"] == "base" else f"{gain:+.2f} ({low:+.2f} / {high:+.2f})"
        return row["variant"], f"{top1:.2f}", change, row["seeds"], row["minutes"]

    header = (
        say("variant", "方案"),
        "top-1 %",
        say("points against the base (95 %)", "相对基线，百分点（95 %）"),
        say("seeds", "种子数"),
        say("minutes", "分钟"),
    )
    return [Table(say("One ingredient changed at a time", "逐项改变"), header, [line(row) for row in facts.ablation])]


def reproduce(facts: Facts, pictures: Pictures, say: Say) -> list[Block]:
    """The environment, and the commands."""
    versions = ", ".join(f"{name} {version}" for name, version in facts.checkpoint.versions.items())
    rest = say(
        "config.yaml beside the model holds every key, the transforms included.",
        "模型旁的 config.yaml 保存了全部配置项（含数据增强）。",
    )
    commands = [
        facts.train_command,
        "python evaluate.py --checkpoint results/checkpoints/best_model.pt",
        "python inference.py --checkpoint results/checkpoints/best_model.pt",
        "python prepare_submission.py --predictions results/predictions.csv",
    ]
    return [
        Paragraph(say(f"Trained with {versions}. {rest}", f"训练环境：{versions}。{rest}")),
        Code("\n".join(commands)),
    ]


def _share(metrics: Mapping[str, Any], name: str) -> str:
    interval = metrics.get(f"{name}_interval")
    if interval is None:
        return f"{100 * metrics[name]:.2f} %"
    low, high = interval
    return f"{100 * metrics[name]:.2f} % ({100 * low:.2f}-{100 * high:.2f})"


# in the report's order; `innovation` is the team's own text
SECTIONS = {
    "summary": summary,
    "innovation": innovation_blocks,
    "model": model,
    "training": training,
    "augmentation": augmentation,
    "results": results,
    "confusions": confusions,
    "attention": attention,
    "limits": limits,
    "ablation": ablation,
    "reproduce": reproduce,
}
