"""The limits of the work, and how to reproduce it."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from competition.report.document import Block, Code, Paragraph
from competition.report.run_record import Facts
from competition.report.sections.material import Material, chose_model, chosen_text, own_part
from training.run_folder import RunFolder


def limitations(it: Material) -> list[Block]:
    """What the measurements do not show, honestly."""
    return [Paragraph(it.writer.sentences([*_measurement(it), *_experiments(it), *_hardware(it)]))]


def _measurement(it: Material) -> list[str]:
    facts, say = it.facts, it.writer.say
    if facts.metrics is None:
        return [say("No accuracy was measured on held-back images.", "尚未在留出图像上测量准确率。")]
    source, root = facts.metrics.get("images_from", ""), Path(facts.config.dataset.root)
    sentences = []
    if own_part(facts.metrics) or Path(source).parent.name == root.name:
        sentences.append(
            say(
                "The evaluated photographs come from the same source as those of training; photographs of other "
                "cameras, places or seasons may be recognised less well.",
                "评估照片与训练照片来源相同；对其他相机、地点或季节拍摄的照片，识别效果可能下降。",
            )
        )
    if len(facts.submitted) > 1 and len(facts.metrics.get("checkpoints") or [1]) == 1:
        sentences.append(
            say(
                "The errors, the calibration and the heat maps are those of one model; they were not measured for the "
                "submitted average.",
                "错误分析、校准与热力图均针对单个模型，未对提交的平均模型测量。",
            )
        )
    if chose_model(it):
        chosen = chosen_text(it)
        sentences.append(
            say(
                f"{chosen[0]} was chosen on the images that were evaluated; a test part that no choice has seen "
                "would give a cleaner figure.",
                f"用于评估的图像同时用于选择{chosen[1]}；若另有未参与任何选择的测试集，结果会更可靠。",
            )
        )
    images, classes = facts.metrics["images"], len(facts.checkpoint.classes)
    if images < 20 * classes:
        shown = it.writer.decimal(images / classes, 0 if images % classes == 0 else 1)
        sentences.append(
            say(
                f"With {shown} evaluated images per class on average, accuracies of single classes are rough.",
                f"平均每类仅有 {shown} 张评估图像，单个类别的准确率只能作粗略参考。",
            )
        )
    return sentences


def _experiments(it: Material) -> list[str]:
    study, say = it.findings.ablation, it.writer.say
    if study is None:
        return [
            say(
                "No ablation was run, so the contribution of single ingredients rests on the literature cited above.",
                "本次未做消融实验，各组成部分的作用以所引文献为依据。",
            )
        ]
    if study.base.seeds < 3:
        return [
            say(
                "The ablation has fewer than three seeds, so it cannot tell the effect of an ingredient from that of a "
                "lucky training.",
                "消融实验的种子数不足三个，无法完全区分某项设置的作用与训练本身的偶然性。",
            )
        ]
    return []


def _hardware(it: Material) -> list[str]:
    proof, say = it.facts.proof, it.writer.say
    if proof is None and it.findings.frontier is None:
        return []
    on_cpu = proof is not None and proof["latency_ms"]["on_cpu"]
    where = (
        say("the CPU of our own machine", "我们自己机器的 CPU ") if on_cpu else say("our own machine", "我们自己的机器")
    )
    return [
        say(
            f"Latency was measured on {where}; the judges' hardware will give other figures.",
            f"时延在{where}上测得，评审硬件上的数值会有所不同。",
        )
    ]


def reproduce(it: Material) -> list[Block]:
    """The environment, and the commands from training to the archive."""
    writer, facts = it.writer, it.facts
    versions = writer.name(", ".join(f"{name} {version}" for name, version in facts.checkpoint.versions.items()))
    seed = writer.count(facts.config.seed)
    text = writer.say(
        f"The run used {versions} and the seed {seed}. Every random draw is a function of the seed, so that a run "
        "which was interrupted and resumed gives the same weights as one that was not. config.yaml beside the model "
        "holds every key, the transforms included. The following commands train, evaluate, predict and pack.",
        f"实验环境为 {versions}，随机种子为 {seed}。所有随机数都由种子决定，因此中断后续训得到的权重与不间断训练一致。"
        "模型旁的 config.yaml 保存了全部配置项，包括数据增强。以下命令依次完成训练、评估、预测与打包。",
    )
    if not facts.trained:
        text = writer.say(
            f"The run used {versions} and the seed {seed}, which decides every random draw. config.yaml beside the "
            "model holds every key. The following commands fit the classifier, evaluate, predict and pack.",
            f"实验环境为 {versions}，所有随机数都由种子 {seed} 决定。模型旁的 config.yaml 保存了全部配置项。"
            "以下命令依次完成分类器拟合、评估、预测与打包。",
        )
    elif not facts.checkpoint.epoch:
        text += writer.say(
            " The model was made of trained ones afterwards (averaged, or kept at another size); that step is not "
            "among the commands.",
            "该模型由训练好的模型另行得到（权重平均，或换用其他输入尺寸），该步骤未列入以下命令。",
        )
    models = _models(facts.recipe, facts.metrics)
    runs = _run_names(models)
    trainings, missing = _trainings(facts, models, runs)
    if missing:
        named = writer.listed([writer.name(name) for name in missing])
        text += writer.say(
            f" How {named} was trained is not shown: config.yaml is missing there or cannot be read.",
            f"{named} 的 config.yaml 缺失或无法读取，其训练命令未列出。",
        )
    commands = [
        *trainings,
        _answering("evaluate", facts.metrics, runs, **_measured(facts.metrics)),
        _answering("inference", facts.recipe, runs),
        "python prepare_submission.py --predictions results/predictions.csv",
    ]
    return [Paragraph(text), Code("\n".join(commands))]


def _models(*records: Mapping[str, Any] | None) -> dict[str, Path]:
    """Return the path of each model that records name, by its hash; the same weights may lie in several places."""
    entries = [entry for record in records for entry in (record or {}).get("checkpoints", [])]
    return {_key(entry): Path(entry["path"]) for entry in reversed(entries)}


def _key(entry: Mapping[str, Any]) -> str:
    return entry.get("sha256") or entry["path"]


def _run_names(models: Mapping[str, Path]) -> dict[str, str]:
    """Return a name for the folder of the run of each model, by its hash; none where all are of one run."""
    folders = {key: path.parent.parent for key, path in models.items()}
    different = set(folders.values())
    if len(different) < 2:
        return {}
    longest = max(len(folder.parts) for folder in different)
    for length in range(1, longest + 1):
        names = {key: Path(*folder.parts[-length:]).as_posix() for key, folder in folders.items()}
        if len(set(names.values())) == len(different):
            return names
    return {key: folder.as_posix() for key, folder in folders.items()}


def _trainings(facts: Facts, models: Mapping[str, Path], runs: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the commands that train the runs, each into the folder of its name, and the names of the others."""
    if not runs:
        return [facts.train_command if facts.trained else _into("results", facts.train_command)], []
    known = {facts.sha256: facts.train_command, **facts.member_commands}
    commands = {runs[key]: known[key] for key in models if key in known}
    missing = [name for name in dict.fromkeys(runs.values()) if name not in commands]
    return [_into(name, command) for name, command in commands.items()], missing


def _into(folder: str, command: str) -> str:
    """Return a command of training that writes to `folder`, which `instant` takes by a flag."""
    words, folder = command.split(" "), shlex.quote(folder)
    if words[2] == "instant":
        return " ".join([f"python cli/flower_cli.py instant --output {folder}", *words[3:]])
    return f"{command} output_dir={folder}"


def _answering(script: str, record: Mapping[str, Any] | None, runs: Mapping[str, str], **options: str) -> str:
    """Return the command whose models and views are those of a record; the run's own model where it has none."""
    views = (record or {}).get("views") or ["identity"]
    if len(views) > 1:
        options["tta"] = ",".join(views)
    flags = [f"--{name} {shlex.quote(value)}" for name, value in options.items()]
    best = RunFolder(Path()).best
    files = [
        Path(runs.get(_key(entry), "results")) / best.with_name(Path(entry["path"]).name)
        for entry in (record or {}).get("checkpoints") or []
    ] or ["results" / best]
    return " ".join([f"python {script}.py --checkpoint", *(shlex.quote(file.as_posix()) for file in files), *flags])


def _measured(metrics: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the option of `evaluate.py` that says which images measured; none for its validation images."""
    source, part = (metrics or {}).get("images_from"), own_part(metrics)
    if not source or part == "val":
        return {}
    return {"split": part} if part else {"data": source}
