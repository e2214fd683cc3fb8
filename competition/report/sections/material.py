"""What every section is written from, and wording that several of them share."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from competition.report.document import Picture
from competition.report.findings import Findings
from competition.report.findings.difference import Difference, Verdict
from competition.report.run_record import Facts
from competition.report.writer import Writer


@dataclass(frozen=True)
class Material:
    """The facts of a run, what follows from them, the pictures by name, and the writer of the report's language."""

    facts: Facts
    findings: Findings
    pictures: Mapping[str, Path]
    writer: Writer

    def picture(self, name: str, caption: str, width: float = 1.0, wide: bool = False) -> list[Picture]:
        """Return the picture of this name with its caption, nothing if it was not drawn."""
        return [Picture(self.pictures[name], caption, width, wide)] if name in self.pictures else []

    def class_name(self, label: int) -> str:
        """Return the name of a class, else its category id."""
        image_class = self.facts.checkpoint.classes[label]
        name = " ".join(image_class.name.split())
        return self.writer.name(name or image_class.category_id)


def measured_part(material: Material) -> str:
    """Return which images were measured, in words: `validation images`."""
    say = material.writer.say
    metrics = material.facts.metrics or {}
    source = metrics.get("images_from", "")
    part = source.split(" ")[0]
    if part == "val":
        return say("validation images", "张验证图像")
    # the part that `compete.py` holds back until the end
    if part == "test" or "part_test" in source:
        return say("held-back test images", "张留出的测试图像")
    if part == "train":
        return say("training images", "张训练图像")
    if metrics.get("seen_in_training"):
        return say("labelled images", "张带标签图像")
    return say("labelled images outside the training set", "张训练集以外的带标签图像")


def is_validation(material: Material) -> bool:
    """Say whether the evaluated images chose the best epoch."""
    return (material.facts.metrics or {}).get("images_from", "").startswith("val ")


def difference_text(difference: Difference, writer: Writer) -> str:
    """Return a difference in points with its interval: `+1.25 points (95% interval +0.10 to +2.40)`."""
    value = writer.points(difference.value)
    bounds = writer.signed_interval((difference.low, difference.high))
    return writer.say(f"{value} percentage points (95% interval {bounds})", f"{value} 个百分点（95% 区间 {bounds}）")


def verdict_text(difference: Difference, writer: Writer) -> str:
    """Return what may be said of a difference, as the end of a sentence."""
    words = {
        Verdict.GAIN: ("the increase is beyond chance", "提升超出随机波动"),
        Verdict.LOSS: ("the decrease is beyond chance", "下降超出随机波动"),
        Verdict.CHANCE: ("the difference is within chance", "差异在随机波动范围内"),
    }
    return writer.say(*words[difference.verdict])
