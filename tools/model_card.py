"""The model card of an exported folder: only what the checkpoint and its evaluation recorded."""

from typing import Any

from configs.options import UNTRAINED
from configs.timm_models import pretrained_config
from models.checkpoint import Checkpoint

_RECIPE = ("epochs", "optimizer", "learning_rate", "weight_decay", "loss_function", "mixup_alpha", "cutmix_alpha")

_FIGURES = {"top1": "top-1", "top5": "top-5", "macro_f1": "macro F1", "balanced_accuracy": "balanced accuracy"}

_USE = """```python
import timm
import torch
from PIL import Image

model = timm.create_model("local-dir:<this folder>", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
image = Image.open("photograph.jpg").convert("RGB")
with torch.no_grad():
    probabilities = model(transform(image)[None]).softmax(dim=1)
```"""


def model_card(checkpoint: Checkpoint, metrics: dict[str, Any] | None) -> str:
    """Return README.md with the front matter of the Hugging Face hub; `metrics` are those of an evaluation."""
    sections = {
        "Data": _data(checkpoint),
        "Recipe": _recipe(checkpoint),
        "Figures": _figures(metrics),
        "Limits": [
            f"- It answers with one of {len(checkpoint.classes)} classes, whatever the photograph shows.",
            "- The kit resizes by area (cubic when it enlarges); timm's transform resizes otherwise, so single answers "
            "may differ from those of the kit.",
            _calibration(checkpoint),
        ],
        "Use": [_USE],
    }
    body = "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items())
    front = "---\nlibrary_name: timm\npipeline_tag: image-classification\ntags:\n- timm\n- image-classification\n---"
    return f"{front}\n\n# {checkpoint.architecture}, {len(checkpoint.classes)} classes\n\n{body}\n"


def _data(checkpoint: Checkpoint) -> list[str]:
    parts = {"train": "training", "val": "validation", "test": "a test"}
    split = ", ".join(
        f"{len(checkpoint.split[part])} for {word}" for part, word in parts.items() if checkpoint.split.get(part)
    )
    counts = checkpoint.class_counts
    lines = [f"- {len(checkpoint.classes)} classes, with {min(counts)} to {max(counts)} training images each"]
    return [*lines, f"- images: {split}"] if split else lines


def _recipe(checkpoint: Checkpoint) -> list[str]:
    model, training = (checkpoint.config.get(group, {}) for group in ("model", "training"))
    lines = [f"- network: {checkpoint.architecture} of timm, {checkpoint.input_size} pixels a side"]
    if model.get("pretrained"):
        if model.get("weights") in (None, "hub"):
            licence = pretrained_config(checkpoint.architecture).license
            lines.append("- started from timm's weights" + (f", licence {licence}" if licence else ""))
        else:
            lines.append(f"- started from weights: {model['weights']}")
    elif "pretrained" in model:
        lines.append("- started from random weights")
    if training.get("name") == UNTRAINED:
        lines.append("- a linear classifier on the frozen network, without training (`flower_cli.py instant`)")
    else:
        lines += [f"- training.{key}: {training[key]}" for key in _RECIPE if training.get(key) is not None]
        augmentation = checkpoint.config.get("augmentation", {}).get("name")
        lines += [f"- augmentation: {augmentation}"] if augmentation else []
    # a soup of several runs has none
    lines += [f"- best epoch: {checkpoint.epoch}"] if checkpoint.epoch else []
    return [*lines, f"- versions: {', '.join(f'{name} {text}' for name, text in checkpoint.versions.items())}"]


def _figures(metrics: dict[str, Any] | None) -> list[str]:
    if metrics is None:
        return ["Not evaluated."]
    lines = [f"On {metrics['images']} images ({metrics['images_from']}), with 95 % intervals:", ""]
    for key, name in _FIGURES.items():
        interval = metrics.get(f"{key}_interval")
        told = f" ({100 * interval[0]:.2f} to {100 * interval[1]:.2f})" if interval else ""
        lines.append(f"- {name}: {100 * metrics[key]:.2f} %{told}")
    return lines


def _calibration(checkpoint: Checkpoint) -> str:
    if not checkpoint.temperature_source:
        return "- Its probabilities are not calibrated."
    return f"- Its temperature {checkpoint.temperature:.4g} ({checkpoint.temperature_source}) is in its last layer."
