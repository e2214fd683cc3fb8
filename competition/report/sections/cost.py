"""What the system costs: size, latency, training time; and the proof that the archive keeps the rules."""

from pathlib import Path

from competition.report.document import Block, Paragraph, Table
from competition.report.sections.material import Material


def cost(it: Material) -> list[Block]:
    """Size, latency and training time in words, the proof of the ZIP, and the models that answer."""
    sentences = [_size(it), *_training(it), _latency(it)]
    return [Paragraph(it.writer.sentences(sentences)), *_proof(it), *_models(it)]


def _size(it: Material) -> str:
    writer, facts = it.writer, it.facts
    limit = writer.general(facts.config.competition.max_model_mb)
    megabytes, half = writer.decimal(facts.megabytes, 1), writer.decimal(facts.megabytes / 2, 1)
    share = writer.percent(facts.megabytes / facts.config.competition.max_model_mb, 0)
    return writer.say(
        f"One network takes {megabytes} MB in float32, {share} of the limit of {limit} MB, and {half} MB in float16.",
        f"单个网络以 float32 保存为 {megabytes} MB，占上限 {limit} MB 的 {share}；以 float16 保存为 {half} MB。",
    )


def _training(it: Material) -> list[str]:
    course, writer = it.findings.course, it.writer
    if course is None:
        return []
    hours = course.training_hours if course.hours is None else course.hours
    shown = (
        writer.say(f"{writer.decimal(hours, 1)} hours", f"{writer.decimal(hours, 1)} 小时")
        if hours >= 1
        else writer.say(f"{writer.decimal(hours, 1, 60)} minutes", f"{writer.decimal(hours, 1, 60)} 分钟")
    )
    speed = ""
    if course.images_per_second:
        images = writer.decimal(course.images_per_second, 0)
        speed = writer.say(f" at {images} images per second", f"，速度为每秒 {images} 张图像")
    return [writer.say(f"Training took {shown}{speed}.", f"训练用时 {shown}{speed}。")]


def _latency(it: Material) -> str:
    facts, writer = it.facts, it.writer
    limit = writer.general(facts.config.competition.max_latency_ms)
    if facts.proof is None:
        frontier = it.findings.frontier
        if frontier is None or frontier.plain is None:
            return writer.say(
                "The latency was not measured: no ZIP was proven for this run yet.",
                "时延未测量：尚未为该模型生成并验证提交包。",
            )
        latency = writer.decimal(frontier.plain.p95_ms, 1)
        hardware = writer.name(frontier.hardware)
        return writer.say(
            f"With a single view an image takes {latency} ms (95th percentile, limit {limit} ms) on {hardware}, "
            "which is not the judges' hardware.",
            f"单视图推理一张图像耗时 {latency} ms（第 95 百分位，上限 {limit} ms），"
            f"测量环境为 {hardware}，并非评审硬件。",
        )
    latency = facts.proof["latency_ms"]
    median, p95 = writer.decimal(latency["median_ms"], 1), writer.decimal(latency["p95_ms"], 1)
    hardware = writer.name(latency["hardware"])
    caveat = writer.say(", which is not the judges' hardware", "，并非评审硬件") if latency["on_cpu"] else ""
    return writer.say(
        f"From the file to the answer an image takes {median} ms (median) and {p95} ms (95th percentile) with all "
        f"models and views; the limit is {limit} ms. This was measured on {hardware}{caveat}.",
        f"从读取文件到给出结果，含全部模型与视图，单张图像中位耗时 {median} ms，第 95 百分位 {p95} ms，上限为 "
        f"{limit} ms；测量环境为 {hardware}{caveat}。",
    )


def _proof(it: Material) -> list[Block]:
    proof, writer = it.facts.proof, it.writer
    if proof is None:
        return []
    say = writer.say
    passed, checks = writer.count(sum(check["passed"] is True for check in proof["checks"])), proof["checks"]
    text = say(
        f"The archive was proven before it was submitted: it was unpacked into a folder of its own and run there, "
        f"without network, as the judges do, and its answers were compared row by row with ours; {passed} checks "
        "passed.",
        f"提交前我们对压缩包做了验证：解压到独立目录，在断网条件下按评审方式运行，并逐行比对结果；共通过 {passed} "
        "项检查。",
    )
    rows = [tuple(writer.name(str(check[name])) for name in ("rule", "figure", "limit")) for check in checks]
    header = (say("rule", "规则"), say("measured", "实测"), say("limit", "要求"))
    return [
        Paragraph(text),
        Table(say("The proof of the archive", "提交包验证结果"), header, rows, wide=True),
    ]


def _models(it: Material) -> list[Block]:
    recipe, writer = it.facts.recipe, it.writer
    if not recipe or not recipe.get("checkpoints"):
        return []
    say = writer.say
    rows = [
        (
            writer.name(f"{Path(entry['path']).parents[1].name}/{Path(entry['path']).name}"),
            writer.decimal(entry["weight"], 3),
            writer.name(entry["sha256"][:12]),
        )
        for entry in recipe["checkpoints"]
    ]
    views = writer.name(" + ".join(recipe["views"]))
    title = say(f"The models that answer; views {views}", f"参与预测的模型；视图 {views}")
    return [Table(title, (say("file", "文件"), say("weight", "权重"), "SHA-256"), rows)]
