"""The data: how many images, how they were cleaned, and how they were split."""

from pathlib import Path

from competition.report.document import Block, Paragraph, Table
from competition.report.run_record import images_of
from competition.report.sections.material import Material, measured_part, own_part
from evaluation.calibration import is_of_validation_images


def data(it: Material) -> list[Block]:
    """The images, their faults, the corrections, and the split."""
    sentences = [
        [*_amount(it), *_sizes(it), *_faults(it), *_measured(it)],
        _corrections(it),
        _split(it),
    ]
    blocks: list[Block] = [Paragraph(it.writer.sentences(part)) for part in sentences if part]
    return [*blocks, *_table(it)]


def _amount(it: Material) -> list[str]:
    writer, facts = it.writer, it.facts
    counts = facts.checkpoint.class_counts
    images, classes = writer.count(images_of(facts.checkpoint)), writer.count(len(counts))
    low, high = writer.count(min(counts)), writer.count(max(counts))
    cited = f" {writer.cite('nilsback2008')}" if facts.config.dataset.source == "flowers102" else ""
    same = min(counts) == max(counts)
    return [
        writer.say(
            f"The data set of this run holds {images} labelled photographs in {classes} classes{cited}; "
            + (f"each class has {low} training images." if same else f"a class has {low} to {high} training images."),
            f"本次实验的数据集含 {classes} 个类别、共 {images} 张带标签照片{cited}，"
            + (f"每类有 {low} 张训练图像。" if same else f"每类有 {low} 至 {high} 张训练图像。"),
        )
    ]


def _measured(it: Material) -> list[str]:
    """Say which images measure the model, if they are none of those that the run split."""
    writer, metrics = it.writer, it.facts.metrics or {}
    if not metrics.get("images_from") or own_part(metrics):
        return []
    images, part = writer.count(metrics["images"]), measured_part(it)
    unseen = ("", "") if metrics.get("seen_in_training") else (", none of which was trained on", "，均未参与训练")
    return [
        writer.say(
            f"The model is measured on {images} {part}{unseen[0]}.",
            f"评估使用 {images} {part}{unseen[1]}。",
        )
    ]


def _sizes(it: Material) -> list[str]:
    prepared, writer = it.facts.prepared, it.writer
    if not prepared or "sizes" not in prepared:
        return []
    sizes = prepared["sizes"]
    low, high = writer.count(sizes["shorter_side_min"]), writer.count(sizes["shorter_side_max"])
    sentences = []
    if prepared["images"] != images_of(it.facts.checkpoint):
        whole = writer.count(prepared["images"])
        sentences.append(
            writer.say(
                f"They belong to a prepared collection of {whole} images, which the following figures describe.",
                f"它们来自整理后的 {whole} 张图像，以下统计针对该集合。",
            )
        )
    sentences.append(
        writer.say(
            f"The shorter side of the photographs measures {low} to {high} pixels.",
            f"照片短边为 {low} 至 {high} 像素。",
        )
    )
    if it.facts.checkpoint.fit == "crop" and "centre_crop" in prepared:
        lost = writer.percent(prepared["centre_crop"]["mean"], 0)
        sentences.append(
            writer.say(
                f"A square cut from the centre loses {lost} of the area on average.",
                f"居中裁成正方形平均损失 {lost} 的面积。",
            )
        )
    return sentences


def _faults(it: Material) -> list[str]:
    prepared, facts, writer = it.facts.prepared, it.facts, it.writer
    say, sentences = writer.say, []
    if prepared:
        unreadable, recovered = len(prepared.get("unreadable", ())), len(prepared.get("recovered", ()))
        copies = len(prepared.get("duplicates", ()))
        if unreadable or recovered:
            gone, saved = writer.count(unreadable), writer.count(recovered)
            sentences.append(
                say(
                    f"When the data were prepared, files that could not be read were left out ({gone}), and damaged "
                    f"ones were recovered as far as they could be decoded ({saved}).",
                    f"数据整理时剔除了 {gone} 个无法读取的文件，并尽可能恢复了 {saved} 个损坏的文件。",
                )
            )
        else:
            sentences.append(say("All files could be read without damage.", "所有文件均完好可读。"))
        if copies:
            shown = writer.count(copies)
            sentences.append(
                say(f"Groups of files with identical content: {shown}.", f"发现 {shown} 组内容完全相同的文件。")
            )
    if facts.skipped_images:
        skipped = writer.count(facts.skipped_images)
        sentences.append(
            say(f"Unreadable images that training skipped: {skipped}.", f"训练时跳过了 {skipped} 张无法读取的图像。")
        )
    return sentences


def _corrections(it: Material) -> list[str]:
    corrections, writer = it.facts.checkpoint.corrections, it.writer
    if not corrections:
        return []
    changed, dropped, kept = (writer.count(corrections[name]) for name in ("changed", "dropped", "kept"))
    cited = writer.cite("northcutt2021")
    return [
        writer.say(
            f"Label errors distort measurement {cited} and mislead training, so doubtful labels were reviewed "
            f"(changed: {changed}, images dropped: {dropped}, confirmed as they were: {kept}).",
            f"标签错误会使评估失真 {cited}，也会误导训练，因此我们复核了可疑标签："
            f"修改 {changed} 个，剔除图像 {dropped} 张，确认无误 {kept} 个。",
        )
    ]


def _split(it: Material) -> list[str]:
    writer, facts = it.writer, it.facts
    say, split = writer.say, facts.checkpoint.split
    if not split["val"] and not split.get("test"):
        return [say("All images are used for training; none is held back.", "全部图像均用于训练，未留出验证集。")]
    if _has_own_validation_table(it):
        return [
            say(
                "Validation has images of its own, which were set apart before the training ({parts}).",
                "验证集在训练前已单独划出（{parts}）。",
            )
        ]
    cited = writer.cite("barz2020")
    sentences = [
        say(
            "The split is stratified by class ({parts}). Near-duplicates, such as two frames of the same flower, "
            f"would make the measurement too favourable if they lay on both sides {cited}; a perceptual hash finds "
            "them, and each group stays on one side of the split.",
            "数据按类别分层划分（{parts}）。若近重复图像（如同一朵花的连拍）同时出现在训练与评估两侧，测量结果会偏高"
            f" {cited}；我们用感知哈希找出近重复图像，并保证同一组始终位于同一侧。",
        )
    ]
    if facts.near_duplicates is not None:
        count = writer.count(facts.near_duplicates)
        sentences.append(
            say(
                f"{count} images have such a near-duplicate."
                if facts.near_duplicates
                else "No such pair was found among the images for training and validation.",
                f"共有 {count} 张图像存在近重复。" if facts.near_duplicates else "训练与验证图像中未发现近重复图像。",
            )
        )
    if facts.metrics and not own_part(facts.metrics):
        sentences.append(
            say(
                "The evaluated images, which are others, were not compared with the training images.",
                "评估图像另有来源，未与它们比对。",
            )
        )
    return sentences


def _has_own_validation_table(it: Material) -> bool:
    dataset = it.facts.config.dataset
    given = dataset.val_csv or ((Path(dataset.root) / "val.csv").is_file() and "val.csv")
    return bool(given) and given != "merge" and dataset.fold is None


def _table(it: Material) -> list[Block]:
    writer, split, source = it.writer, it.facts.checkpoint.split, it.facts.checkpoint.temperature_source
    say = writer.say
    measurement = say("measurement", "测量")
    chosen = say("choice of the epoch", "选择轮次") if it.facts.trained else measurement
    names = {
        "train": (
            say("training", "训练集"),
            say("weights", "学习权重") if it.facts.trained else say("classifier", "拟合分类器"),
        ),
        "val": (
            say("validation", "验证集"),
            chosen + (say(", temperature", "、拟合温度") if is_of_validation_images(source) else ""),
        ),
        "test": (say("test", "测试集"), measurement),
    }
    rows = [(*names[part], writer.count(len(split[part]))) for part in names if split.get(part)]
    if _measured(it) and not (it.facts.metrics or {}).get("seen_in_training"):
        rows.append((say("evaluation", "评估集"), names["test"][1], writer.count((it.facts.metrics or {})["images"])))
    header = (say("part", "部分"), say("images", "图像数"), say("used for", "用途"))
    return (
        [
            Table(
                say("The parts of the data", "数据划分"),
                header,
                [(row[0], row[2], row[1]) for row in rows],
                key="parts",
            )
        ]
        if (len(rows) > 1)
        else []
    )
