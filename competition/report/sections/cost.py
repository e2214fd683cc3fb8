"""What the system costs: size, latency, training time; and the proof that the archive keeps the rules."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from competition.report.document import Block, Paragraph, Table
from competition.report.sections.material import Material, hardware_text


def cost(it: Material) -> list[Block]:
    """Size, latency and training time in words, the proof of the ZIP, and the models that answer."""
    answering = it.writer.say("{models} names the weights that answer.", "参与预测的权重见{models}。")
    models = _models(it)
    sentences = [_size(it), *_training(it), _latency(it), *([answering] if models else [])]
    return [Paragraph(it.writer.sentences(sentences)), *_proof(it), *models]


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
        speed = writer.say(f" at a median of {images} images per second", f"，速度中位数为每秒 {images} 张图像")
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
        hardware = hardware_text(frontier.hardware, writer)
        return writer.say(
            f"With a single view an image takes {latency} ms (95th percentile, limit {limit} ms) on {hardware}, "
            "which is not the judges' hardware.",
            f"单视图推理一张图像耗时 {latency} ms（第 95 百分位，上限 {limit} ms），"
            f"测量环境为 {hardware}，并非评审硬件。",
        )
    latency = facts.proof["latency_ms"]
    median, p95 = writer.decimal(latency["median_ms"], 1), writer.decimal(latency["p95_ms"], 1)
    exceeded = ""
    if facts.is_too_slow:
        exceeded = writer.say(", which the system exceeds on this machine", "，系统在本机超出该上限")
    hardware = hardware_text(latency["hardware"], writer)
    caveat = writer.say(", which is not the judges' hardware", "，并非评审硬件") if latency["on_cpu"] else ""
    return writer.say(
        f"From the file to the answer an image takes {median} ms (median) and {p95} ms (95th percentile) with all "
        f"models and views; the limit is {limit} ms{exceeded}. This was measured on {hardware}{caveat}.",
        f"从读取文件到给出结果，含全部模型与视图，单张图像中位耗时 {median} ms，第 95 百分位 {p95} ms，上限为 "
        f"{limit} ms{exceeded}；测量环境为 {hardware}{caveat}。",
    )


def _proof(it: Material) -> list[Block]:
    proof, writer = it.facts.proof, it.writer
    if proof is None:
        return []
    say = writer.say
    passed = writer.count(sum(check["passed"] is True for check in proof["checks"]))
    see, kinds = it.see(tables=["proof"]), _kinds(it, proof)
    apart = say(" Latency is not among these checks.", "时延不在这些检查之内。") if it.facts.is_too_slow else ""
    text = say(
        "The archive was proven before it was submitted: it was unpacked into a folder of its own and run there, "
        f"without network, as the judges do, and its answers were compared row by row with ours{see}; {passed} checks "
        f"passed ({kinds}).{apart}",
        f"提交前我们对压缩包做了验证：解压到独立目录，在断网条件下按评审方式运行，并逐行比对结果{see}；共通过 {passed} "
        f"项检查（{kinds}）。{apart}",
    )
    return [Paragraph(text), *_proof_table(it, proof)]


# what the first word of a rule is about, in English and Chinese
_KINDS = {"ZIP": ("the archive", "压缩包结构"), "code": ("the code", "代码"), "CSV": ("the table of answers", "结果表")}


def _kinds(it: Material, proof: Mapping[str, Any]) -> str:
    """Return how many of the checks that passed are about what: `2 of the archive and 9 of the table of answers`."""
    kinds = [
        _KINDS.get(check["rule"].split()[0], ("the models and the runs", "模型与运行")) for check in proof["checks"]
    ]
    counts = Counter(kind for kind, check in zip(kinds, proof["checks"], strict=True) if check["passed"] is True)
    say = it.writer.say
    return it.writer.listed(
        [say(f"{it.writer.count(n)} of {en}", f"{zh} {it.writer.count(n)} 项") for (en, zh), n in counts.items()]
    )


def _proof_table(it: Material, proof: Mapping[str, Any]) -> list[Block]:
    """Return what the proof measured; submission_proof.json has all checks in English."""
    say = it.writer.say
    figures = {check["rule"]: check["figure"] for check in proof["checks"]}
    rows = [*_limits(it, proof, figures), *_runs(it, proof), *_agreement(it, figures)]
    header = (say("rule", "规则"), say("measured", "实测"), say("limit", "要求"))
    return [Table(say("The proof of the archive", "提交包验证结果"), header, rows, key="proof")]


def _limits(it: Material, proof: Mapping[str, Any], figures: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of what the contest limits by a number."""
    writer, limits = it.writer, it.facts.config.competition
    say, latency = writer.say, writer.decimal(proof["latency_ms"]["p95_ms"], 1)
    name = say("an image, 95th percentile", "单张耗时，第 95 百分位")
    exceeded = say(", exceeded here", "，本机超出") if it.facts.is_too_slow else ""
    yield name, f"{latency} ms", f"{writer.general(limits.max_latency_ms)} ms{exceeded}"
    for rule, name, limit in (
        ("size of all models", say("size of all models", "全部模型体积"), f"{writer.general(limits.max_model_mb)} MB"),
        ("parameters", say("parameters", "参数量"), f"{writer.decimal(limits.max_parameters, 0, 1e-6)} M"),
    ):
        if match := re.match(r"[\d.]+ MB?", figures.get(rule, "")):
            yield name, writer.name(match[0]), limit


def _runs(it: Material, proof: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the runs of the archive's code."""
    writer = it.writer
    for run in proof.get("runs", []):
        images, seconds = writer.count(run["images"]), writer.decimal(run["seconds"], 1)
        measured = writer.say(f"{images} images in {seconds} s", f"{images} 张图像，{seconds} s")
        yield _translated(it, run["where"], _PLACES), measured, writer.say("no error, no network", "无错误、不联网")


def _agreement(it: Material, figures: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of answers that were compared."""
    for rule, figure in figures.items():
        match = re.match(r"(\d+) labels equal", figure)
        if match and rule.startswith(tuple(_COMPARISONS)):
            equal = it.writer.count(int(match[1]))
            measured = it.writer.say(f"{equal} labels equal", f"{equal} 个标签一致")
            yield _translated(it, rule, _COMPARISONS), measured, it.writer.say("all", "全部")


# what a proof writes, in English and Chinese; what follows names another Python
_PLACES = {
    "from the ZIP's root": ("run from its root", "从根目录运行"),
    "from code/": ("run from code/", "从 code/ 运行"),
}

_COMPARISONS = {
    "from code/ = from the root": ("both runs agree", "两次运行一致"),
    "from the root = the kit's predictions": ("agrees with our answers", "与我们的结果一致"),
    "from the root = the CSV in the ZIP": ("agrees with the archive's table", "与压缩包中的结果表一致"),
}


def _translated(it: Material, text: str, words: Mapping[str, tuple[str, str]]) -> str:
    """Return the text with its known start in the report's language."""
    for start, shown in words.items():
        if text.startswith(start):
            rest = text.removeprefix(start).strip()
            return it.writer.say(*shown) + (f" ({it.writer.name(rest.removeprefix('under '))})" if rest else "")
    return it.writer.name(text)


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
    return [Table(title, (say("file", "文件"), say("weight", "权重"), "SHA-256"), rows, key="models")]
