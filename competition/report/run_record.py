"""What a run recorded, read for its report. Missing records are None, and the report says so."""

import csv
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from common.errors import InputError
from configs.compose import compose, from_plain, leaves_of, to_plain
from configs.options import OPEN_MODEL
from configs.schema import Config
from models.checkpoint import Checkpoint, load_checkpoint
from models.classifier import parameter_count, size_in_bytes
from training.run_folder import RunFolder


@dataclass(frozen=True)
class Answer:
    """One row of an evaluation: the true and the predicted label, and the confidence in the latter."""

    image_id: str
    label: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class Facts:
    """All facts of a report; `parameters`, `megabytes` (fp32, 10^6 bytes) and `gflops` are per model."""

    checkpoint: Checkpoint
    config: Config
    parameters: int
    megabytes: float
    gflops: float | None
    history: list[dict[str, str]]
    skipped_images: int
    metrics: dict[str, Any] | None
    answers: list[Answer]
    per_class: list[dict[str, str]]
    proof: dict[str, Any] | None
    recipe: dict[str, Any] | None
    ablation: list[dict[str, str]]
    budget: dict[str, Any] | None
    train_command: str


def read_facts(run: Path) -> Facts:
    """Read the folder of a run. Raises InputError if it has no trained model, or a damaged file."""
    folder = RunFolder(run)
    if not folder.best.is_file():
        raise InputError(f"{run}: no trained run here ({folder.best} is missing). Give the output_dir of train.py.")
    checkpoint = load_checkpoint(folder.best)
    model = checkpoint.meta_model()
    config = from_plain(checkpoint.config, [], [], str(folder.best))
    return Facts(
        checkpoint=checkpoint,
        config=config,
        parameters=parameter_count(model),
        megabytes=size_in_bytes(model) / 1e6,
        gflops=_gflops(model, checkpoint.input_size),
        history=_read_table(folder.history),
        skipped_images=len(_read_table(folder.skipped_images)),
        metrics=_read_json(run / "evaluation" / "metrics.json"),
        answers=[
            Answer(row["image_id"], int(row["label"]), int(row["predicted"]), float(row["confidence"]))
            for row in _read_table(run / "evaluation" / "answers.csv")
        ],
        per_class=_read_table(run / "evaluation" / "per_class.csv"),
        proof=_read_json(run / "submission_proof.json"),
        recipe=_read_json(run / "predictions.json"),
        ablation=_read_table(run / "ablation" / "ablation.csv"),
        budget=_read_json(run / "budget" / "budget.json"),
        train_command=train_command(config),
    )


def train_command(config: Config) -> str:
    """Return the command that trains with this config: its options, and the overrides."""
    groups = {name: getattr(config, name).name for name in ("model", "training", "augmentation", "dataset")}
    words = [f"{group}={option}" for group, option in groups.items()]
    if config.model.name == OPEN_MODEL:
        words.append(f"model.architecture={config.model.architecture}")
    default = dict(leaves_of(to_plain(compose("config", words))))
    for key, value in leaves_of(to_plain(config)):
        # other transforms are in config.yaml, which the report names
        if not key.startswith(("augmentation.", "competition.", "output_dir")) and default.get(key) != value:
            words.append(f"{key}={json.dumps(value) if value is None or isinstance(value, bool) else value}")
    return " ".join(["python train.py", *map(shlex.quote, words)])


def _gflops(model: torch.nn.Module, input_size: int) -> float | None:
    """Return 10^9 floating-point operations per image (a multiply-add counts as two), counted by torch."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.eval()(torch.empty(1, 3, input_size, input_size, device="meta"))
    return counter.get_total_flops() / 1e9 or None


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged. Write it again, or move it away.") from error


def _read_table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
