"""Invented facts of a whole run: a tiny network with random weights, drawn images, and answers to them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from common.classes import ImageClass
from competition.report.run_record import Answer
from configs.compose import compose
from configs.schema import Config
from evaluation.intervals import wilson_interval
from models.checkpoint import Checkpoint, make_checkpoint
from models.classifier import build_classifier, parameter_count
from tests.conftest import TINY, stripes, write_picture

SIDE = 32

LONG_NAMES = ("hard-leaved pocket orchid", "Yellow_flag/iris.with-many,signs=and_no_space_at_all", "花毛茛（波斯毛茛）")


def classes_of(count: int) -> list[ImageClass]:
    """Classes with sparse ids; many names are long, some Chinese, and two have signs of formulas."""
    names = [f"{LONG_NAMES[label % 3]} {label}" if label % 2 else f"rose {label}" for label in range(count)]
    names[1], names[2] = "$a_b^$ & <b>", r"\frac{1} $"
    return [ImageClass(label, str(164 + 17 * label), name) for label, name in enumerate(names)]


def tiny_config(root: Path, *overrides: str) -> Config:
    return compose("config", [*TINY, f"dataset.root={root}", *overrides])


def tiny_checkpoint(config: Config, classes: list[ImageClass]) -> Checkpoint:
    torch.manual_seed(0)
    model = build_classifier(config.model.architecture, len(classes), config.model.input_size, head=config.model.head)
    table = {
        "classes": classes,
        "class_counts": [8 + label % 5 for label in range(len(classes))],
        "split": {"train": [], "val": [], "test": []},
        "corrections": {},
    }
    return make_checkpoint(config, model, table, {}, epoch=7)


def facts_of(folder: Path, count: int, *overrides: str) -> Any:
    """Facts of a run with `count` classes whose images are written to `folder`."""
    classes, config = classes_of(count), tiny_config(folder, *overrides)
    checkpoint = tiny_checkpoint(config, classes)
    answers = _answers(folder, checkpoint, count)
    (folder / "train.csv").write_text(
        "image_id,label\n" + "".join(f"{answer.image_id},{answer.label}\n" for answer in answers), encoding="utf-8"
    )
    (folder / "classes.csv").write_text(
        "label,category_id,name\n" + "".join(f"{it.label},{it.category_id},x\n" for it in classes), encoding="utf-8"
    )
    return SimpleNamespace(
        checkpoint=checkpoint,
        config=config,
        trained=True,
        parameters=parameter_count(checkpoint.build_model()),
        history=_history(12, 1.0),
        others=[SimpleNamespace(name="an older run with a name that is long, no warm-up", history=_history(9, 1.3))],
        metrics={"image_dir": str(folder / "train"), "views": ["identity", "hflip"], "checkpoints": [{}]},
        answers=answers,
        per_class=[_class_row(answers, it, checkpoint) for it in classes],
        recipe=None,
        ablation=[
            {"variant": name, "difference": gain, "low_95": low, "high_95": high}
            for name, gain, low, high in (
                ("base", "0", "0", "0"),
                ("without ema", "-0.021", "-0.035", "-0.008"),
                ("with cutmix and a name that nobody can shorten_because_it_is_one", "0.004", "-0.012", "0.02"),
                ("with head_init", "0.13", "0.11", "0.15"),
            )
        ],
        budget=_budget(),
        tune=[
            {
                "trial": str(k),
                "val_top1": f"{0.8 + 0.01 * (k * 7 % 11)}",
                "state": "stopped" if k % 4 == 3 else "finished",
            }
            for k in range(15)
        ],
    )


def _answers(folder: Path, checkpoint: Checkpoint, count: int) -> list[Answer]:
    """Three answers a class; the first two dozen are those of the network, so that it can be asked again."""
    (folder / "train").mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    images = [stripes(k % 4, k)[:SIDE, :SIDE] for k in range(3 * count)]
    for place, image in enumerate(images):
        write_picture(folder / "train" / f"{place}.png", image)
    batch = torch.from_numpy(np.stack(images[:24])).permute(0, 3, 1, 2)
    with torch.no_grad():
        own = checkpoint.build_model()(batch).argmax(dim=1).tolist()
    answers = []
    for place in range(3 * count):
        label, confidence = place % count, float(generator.uniform(0.2, 1))
        predicted = label if generator.random() < confidence else (label + 1 + place % 2) % count
        if place < len(own):
            predicted = own[place]
            label = predicted if place % 2 else label
        answers.append(Answer(f"{place}.png", label, predicted, confidence))
    return answers


def _class_row(answers: list[Answer], image_class: ImageClass, checkpoint: Checkpoint) -> dict[str, str]:
    own = [answer for answer in answers if answer.label == image_class.label]
    correct = sum(answer.predicted == answer.label for answer in own)
    low, high = wilson_interval(correct, len(own))
    return {
        "label": str(image_class.label),
        "category_id": image_class.category_id,
        "name": image_class.name,
        "training_images": str(checkpoint.class_counts[image_class.label]),
        "images": str(len(own)),
        "correct": str(correct),
        "low_95": f"{low}",
        "high_95": f"{high}",
    }


def _history(epochs: int, loss: float) -> list[dict[str, str]]:
    return [
        {
            "epoch": str(epoch),
            "train_loss": f"{loss + 3 / epoch:.4f}",
            "val_loss": f"{loss + 2.5 / epoch:.4f}",
            "val_top1": f"{0.95 - 0.5 / epoch:.4f}",
            "val_top5": f"{0.99 - 0.3 / epoch:.4f}",
        }
        for epoch in range(1, epochs + 1)
    ]


def _budget() -> dict[str, Any]:
    choices = [
        {
            "models": "results/run one/best_model.pt" + (" b/best_model.onnx" if place > 3 else ""),
            "runtime": ("torch", "onnx")[place % 2],
            "precision": "fp32",
            "views": ("identity", "identity,hflip", "identity,hflip,vflip,hvflip")[place % 3],
            "top1": 0.9 + 0.01 * place * (1 if place % 3 else -1),
            "p95_ms": 12.0 * 1.6**place,
            "front": place % 3 > 0 or place == 0,
        }
        for place in range(7)
    ]
    return {"limits": {"p95_ms": 100.0}, "choices": choices, "best": choices[4]}
