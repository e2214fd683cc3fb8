"""What every section is written from, and wording that several of them share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from competition.report.document import Picture
from competition.report.findings import Findings
from competition.report.findings.difference import Difference, Verdict
from competition.report.ingredients import variant_name
from competition.report.run_record import Facts, shown_value
from competition.report.writer import Writer

# keys of a comparison that fit into a cell
_MOST_KEYS = 4


@dataclass(frozen=True)
class Material:
    """The facts of a run, what follows from them, the pictures by name, and the writer of the report's language."""

    facts: Facts
    findings: Findings
    pictures: Mapping[str, Path]
    writer: Writer

    def picture(self, name: str, caption: str, width: float = 1.0, wide: bool = False) -> list[Picture]:
        """Return the picture of this name with its caption, nothing if it was not drawn."""
        return [Picture(self.pictures[name], caption, width, wide, key=name)] if name in self.pictures else []

    def see(self, *names: str, tables: Sequence[str] = ()) -> str:
        """Return ` (Figure 3)`: where to look, without the pictures that were not drawn."""
        drawn = [f"{{{name}}}" for name in (*tables, *(name for name in names if name in self.pictures))]
        if not drawn:
            return ""
        return self.writer.say(f" ({', '.join(drawn)})", f"（{'、'.join(drawn)}）")

    def class_name(self, label: int) -> str:
        """Return the name of a class, else its category id."""
        image_class = self.facts.checkpoint.classes[label]
        name = " ".join(image_class.name.split())
        return self.writer.name(name or image_class.category_id)


# what `evaluate.py --split` can take
_PARTS = ("val", "test", "train", "all")


def own_part(metrics: Mapping[str, Any] | None) -> str:
    """Return the part of the run's own split that an evaluation measured; nothing where it measured other images."""
    source = (metrics or {}).get("images_from", "")
    return next((part for part in _PARTS if source.startswith(f"{part} ")), "")


def measured_part(material: Material) -> str:
    """Return which images were measured, in words: `validation images`."""
    say = material.writer.say
    metrics = material.facts.metrics or {}
    source, part = metrics.get("images_from", ""), own_part(metrics)
    if part == "val":
        return say("validation images", "张验证图像")
    # the part that `compete.py` holds back until the end, and the test images of the data set itself
    if part == "test" or Path(source).name in ("part_test.csv", "test.csv"):
        return say("held-back test images", "张留出的测试图像")
    if part == "train":
        return say("training images", "张训练图像")
    if metrics.get("seen_in_training"):
        return say("labelled images", "张带标签图像")
    return say("labelled images outside the training set", "张训练集以外的带标签图像")


def chose_model(material: Material) -> bool:
    """Say whether the evaluated images chose the best epoch, or what was made of trained models."""
    metrics = material.facts.metrics or {}
    # records of earlier versions do not say it
    return metrics.get("chose_model", material.facts.trained and own_part(metrics) == "val")


def chosen_text(material: Material) -> tuple[str, str]:
    """Return what validation chose, in both languages; a soup and a model of another input size have no epoch."""
    return ("The best epoch", "最佳轮次") if material.facts.checkpoint.epoch else ("The model", "模型")


def variant_text(variant: str, writer: Writer) -> str:
    """Return the name of an ablation's variant; one that the team named may have digits."""
    return writer.name(variant_name(variant, writer.say))


_THREADS = re.compile(r"(\d+) thread\(s\)")


def hardware_text(recorded: str, writer: Writer) -> str:
    """Return the name of a processor, as a record has it: `cpu (Xeon, 2 thread(s)), torch computing in float32`."""
    device = recorded.partition(", torch computing in ")[0]
    return writer.name(_THREADS.sub(lambda match: _threads(int(match[1]), writer), device))


def _threads(count: int, writer: Writer) -> str:
    return writer.say(f"{count} thread{'' if count == 1 else 's'}", f"{count} 线程")


def difference_text(difference: Difference, writer: Writer) -> str:
    """Return a difference in points with its interval: `+1.25 points (95% interval +0.10 to +2.40)`."""
    value = writer.points(difference.value)
    bounds = writer.signed_interval((difference.low, difference.high))
    return writer.say(f"{value} percentage points (95% interval {bounds})", f"{value} 个百分点（95% 区间 {bounds}）")


def verdict_text(difference: Difference, writer: Writer, seeds: int | None = None) -> str:
    """Return what may be said of a difference, as the end of a sentence; `seeds`: of trainings with so many seeds."""
    words = {
        Verdict.GAIN: ("the increase is beyond chance", "提升超出随机波动"),
        Verdict.LOSS: ("the decrease is beyond chance", "下降超出随机波动"),
        Verdict.CHANCE: ("the difference is within chance", "差异在随机波动范围内"),
    }
    text = writer.say(*words[difference.verdict])
    if seeds == 1 and difference.verdict is not Verdict.CHANCE:
        text += writer.say(" (over the images; one training each)", "（仅就图像而言，每个变体只训练一次）")
    return text


def shown_keys(differs: Mapping[str, tuple[Any, Any]], writer: Writer) -> str:
    """Return the keys in which another config differs with its values: `epochs=3, seed=1`; `…` stands for more.

    The name of a group stands for the group: `augmentation=medium`.
    """
    keys = list(differs)
    shown = [f"{key.removesuffix('.name').rpartition('.')[2]}={_in_text(differs[key][1])}" for key in keys[:_MOST_KEYS]]
    return writer.name(", ".join([*shown, *(["…"] if len(keys) > _MOST_KEYS else [])]))


def _in_text(value: Any) -> str:
    """Return a value as one types it, of a path its last part."""
    return re.split(r"[/\\]", value)[-1] if isinstance(value, str) else shown_value(value)
