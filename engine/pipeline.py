"""All that answers for an image: one or more checkpoints, the views, the device. It is measured and shipped whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from configs.compose import from_plain
from configs.errors import InputError
from configs.schema import Config
from data.dataset import ImageDataset
from data.images import read_image
from data.inputs import Inputs
from data.progress import progress
from data.table import ImageClass
from data.transforms import EvalTransform, eval_image
from engine.checkpoint import Checkpoint, load_checkpoint, sha256
from engine.hardware import Precision, choose_device, choose_precision, configure_algorithms, tune_cpu_memory
from engine.metrics import softmax
from engine.predictor import predict
from engine.setup import eval_reader
from engine.tta import PLAIN, ViewAverage

PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
OVERRIDABLE_KEYS = (
    "device",
    "dataset.test_dir",
    "dataset.batch_size",
    "dataset.num_workers",
    "competition.max_latency_ms",
    "competition.input_size",
)


@dataclass(frozen=True)
class Member:
    """One checkpoint; `order` (C,) says which of its outputs belongs to each class of the pipeline."""

    path: Path
    sha256: str
    checkpoint: Checkpoint
    model: ViewAverage
    order: np.ndarray


@dataclass(frozen=True)
class Pipeline:
    """The members share classes, views and device; `config` is the first checkpoint's, with overrides."""

    members: list[Member]
    config: Config
    classes: list[ImageClass]
    fallback_label: int
    views: tuple[str, ...]
    average: str
    device: torch.device
    precision: Precision


@dataclass(frozen=True)
class Answers:
    """Probabilities float64 (N, C), zeros for an unreadable image; why images are unreadable; which are damaged."""

    probabilities: np.ndarray
    unreadable: dict[int, str]
    recovered: list[int]


def load_pipeline(
    paths: Sequence[Path],
    views: tuple[str, ...] = PLAIN,
    average: str = "probabilities",
    precision: str | None = None,
    overrides: Sequence[str] = (),
    keys: Sequence[str] = OVERRIDABLE_KEYS,
) -> Pipeline:
    """Load checkpoints, in evaluation mode on the device, with the views' average around each.

    `precision` is one of `PRECISIONS`, or None for what the first checkpoint was trained with, where the device is
    CUDA. `keys` are the config keys that `overrides` may change. Raises InputError if the checkpoints have different
    classes, or the device does not compute the precision.
    """
    checkpoints = [load_checkpoint(path) for path in paths]
    config = from_plain(checkpoints[0].config, overrides, keys, str(paths[0]))
    device = choose_device(config.device)
    if device.type == "cpu":
        tune_cpu_memory()
    configure_algorithms(device)
    classes = checkpoints[0].classes
    members = []
    for path, checkpoint in zip(paths, checkpoints, strict=True):
        order = _class_order(checkpoint, classes, path, paths[0])
        model = checkpoint.build_model().to(device=device, memory_format=torch.channels_last)
        members.append(Member(path, sha256(path), checkpoint, ViewAverage(model, views, average).eval(), order))
    return Pipeline(
        members=members,
        config=config,
        classes=classes,
        fallback_label=int(np.argmax(checkpoints[0].class_counts)),
        views=views,
        average=average,
        device=device,
        precision=_choose_precision(device, config, precision),
    )


def answer_all(pipeline: Pipeline, inputs: Inputs, description: str = "prediction") -> Answers:
    """Return the probabilities of all inputs, averaged over members and views, with a progress bar."""
    config, count = pipeline.config.dataset, len(inputs.paths)
    total = np.zeros((count, len(pipeline.classes)))
    unreadable: dict[int, str] = {}
    recovered: list[int] = []
    with progress(description, count * len(pipeline.members)) as advance:
        for member in pipeline.members:
            view = EvalTransform(member.checkpoint.input_size, member.checkpoint.crop_pct)
            images = ImageDataset(Path(), [str(path) for path in inputs.paths], np.zeros(count, np.int64), view)
            loader = eval_reader(images, range(count), config, pipeline.device)
            predictions = predict(
                member.model, loader, len(pipeline.classes), pipeline.device, pipeline.precision, advance
            )
            total[predictions.indices] += softmax(predictions.logits)[:, member.order] / len(pipeline.members)
            unreadable, recovered = dict(predictions.skipped), predictions.recovered
    return Answers(total, unreadable, recovered)


@torch.inference_mode()
def answer_one(pipeline: Pipeline, path: Path) -> np.ndarray:
    """Return the probabilities (C,) of one image file: decoded once, resized for each member, batch 1."""
    pixels = read_image(path).pixels
    total = np.zeros(len(pipeline.classes))
    for member in pipeline.members:
        view = eval_image(pixels, member.checkpoint.input_size, member.checkpoint.crop_pct)
        batch = torch.from_numpy(np.ascontiguousarray(view))[None].permute(0, 3, 1, 2).to(pipeline.device)
        with pipeline.precision.context():
            logits = member.model(batch)
        total += softmax(logits.float().cpu().numpy())[0, member.order] / len(pipeline.members)
    return total


def _class_order(checkpoint: Checkpoint, classes: list[ImageClass], path: Path, first: Path) -> np.ndarray:
    place = {image_class.category_id: image_class.label for image_class in checkpoint.classes}
    if set(place) != {image_class.category_id for image_class in classes}:
        raise InputError(f"{path}: its classes are not those of {first}; only models of the same classes are averaged.")
    return np.array([place[image_class.category_id] for image_class in classes], dtype=np.int64)


def _choose_precision(device: torch.device, config: Config, name: str | None) -> Precision:
    if name is None:
        return choose_precision(device, config.training.use_amp, config.training.amp_dtype)
    if name == "fp32":
        return Precision(device.type, None)
    precision = choose_precision(device, True, PRECISIONS[name])
    if precision.note:
        raise InputError(f"--precision {name}: {precision.note}. Leave the flag out, or give --precision fp32.")
    return precision
