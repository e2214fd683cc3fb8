"""Everything needed to turn an image into class probabilities: checkpoints, TTA views, device.

The same object is evaluated, timed and packed.
"""

import dataclasses
import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from common.classes import ImageClass, reordering
from common.device import (
    Precision,
    choose_device,
    choose_inference_precision,
    choose_precision,
    configure_algorithms,
)
from common.errors import InputError, check_choice, print_warning
from common.files import as_paths
from common.memory import cap_device_memory, tune_cpu_memory
from common.progress import progress
from common.torch_files import sha256
from configs.compose import from_plain
from configs.schema import Config
from data.dataloader import eval_reader
from data.dataset import ImageDataset
from data.images import read_image
from data.inputs import Inputs
from data.transforms import EvalTransform
from models.checkpoint import Checkpoint, load_checkpoint
from prediction.fast_model import prepared
from prediction.forward import ForwardPass, overflow_note
from prediction.logits import calibrated, compute_logits
from prediction.options import (
    AUTO_RUNTIME,
    AVERAGES,
    DEFAULTS,
    OVERRIDABLE_KEYS,
    PRECISIONS,
    RUNTIMES,
    PredictionOptions,
    weight_shares,
)
from prediction.runtime_packages import SUFFIXES, files_of
from prediction.runtimes import choose_runtime, converted, load_exported
from prediction.view_names import parse_views
from prediction.views import ViewAverage


@dataclass(frozen=True)
class Member:
    """One checkpoint; `output_of_class` int64 (C,) gives the output that belongs to each class of the pipeline.

    `weight` is its share in the average of all members.
    """

    path: Path
    sha256: str
    checkpoint: Checkpoint
    model: ViewAverage
    output_of_class: np.ndarray
    weight: float


@dataclass(frozen=True)
class Pipeline:
    """Members that share classes, views and device; `config` is that of the first checkpoint, with overrides.

    `asked_precision` is the key of `PRECISIONS` that they compute in if it was given by hand, None if the device chose.
    """

    members: list[Member]
    config: Config
    classes: list[ImageClass]
    fallback_label: int
    views: tuple[str, ...]
    average: str
    device: torch.device
    precision: Precision
    asked_precision: str | None = None

    @property
    def runtime(self) -> str:
        """The runtime of the members; different ones are joined by `+`."""
        names = [getattr(member.model.classifier, "runtime", "torch") for member in self.members]
        return "+".join(dict.fromkeys(names))

    @property
    def computed_in(self) -> str:
        """The precision of the members; different ones are joined by `+`."""
        names = [getattr(member.model.classifier, "precision", str(self.precision)) for member in self.members]
        return "+".join(dict.fromkeys(names))


@dataclass(frozen=True)
class PredictedProbabilities:
    """Probabilities float64 (N, C), zeros for an unreadable image; why images are unreadable; damaged images."""

    probabilities: np.ndarray
    unreadable: dict[int, str]
    recovered: list[int]

    @property
    def readable(self) -> np.ndarray:
        """The rows int64 (M,) of the images that could be read."""
        return np.array([row for row in range(len(self.probabilities)) if row not in self.unreadable], dtype=np.int64)

    @property
    def first_problem(self) -> str:
        """Why the first unreadable image is one."""
        return self.unreadable[min(self.unreadable)]


def load_pipeline(
    checkpoints: str | Path | Sequence[str | Path],
    options: PredictionOptions = DEFAULTS,
    overrides: Sequence[str] = (),
    keys: Collection[str] = OVERRIDABLE_KEYS,
) -> Pipeline:
    """Load one or several checkpoints in evaluation mode, each wrapped in the average over its views.

    `keys` are the config keys that `overrides` may change. Raises InputError for a word in the options that is not
    known, if the checkpoints have different classes, the number of weights is wrong, or the device does not support the
    precision.
    """
    paths = as_paths(checkpoints, "checkpoints")
    views = parse_views(options.views)
    _check_words(options)
    shares = weight_shares(options.weights, len(paths))
    loaded = [
        load_exported(path) if path.suffix.lower() in SUFFIXES else (load_checkpoint(path), None) for path in paths
    ]
    first = loaded[0][0]
    config = from_plain(first.config, overrides, keys, str(paths[0]))
    # exported models run on the CPU
    device = choose_device("cpu" if any(model for _, model in loaded) else config.device)
    if device.type == "cpu":
        tune_cpu_memory()
    cap_device_memory(device)
    # the judges' copy computes products in float32 too
    configure_algorithms(device, allow_tf32=False)
    classes = first.classes
    runtime = choose_runtime(options.runtime, device)
    if options.precision not in (None, "fp32") and (runtime != "torch" or any(model for _, model in loaded)):
        raise InputError(
            f"precision {options.precision}: only torch chooses it when it runs; "
            "'python cli/flower_cli.py export' writes models of other runtimes in it."
        )
    precision = _choose_precision(device, config, options.precision)
    members = []
    for path, (checkpoint, model), share in zip(paths, loaded, shares, strict=True):
        outputs = _output_of_class(checkpoint, classes, path, paths[0])
        model = model or _classifier(checkpoint, runtime, device, precision)
        averaged = ViewAverage(model, views, options.average, checkpoint.fit).eval()
        members.append(Member(path, sha256(*files_of(path)), checkpoint, averaged, outputs, share))
    return Pipeline(
        members=members,
        config=config,
        classes=classes,
        fallback_label=int(np.argmax(first.class_counts)),
        views=views,
        average=options.average,
        device=device,
        precision=precision,
        asked_precision=None if options.precision is None else short_name(precision),
    )


def _check_words(options: PredictionOptions) -> None:
    check_choice(f"average {options.average!r}", options.average, AVERAGES)
    check_choice(f"runtime {options.runtime!r}", options.runtime, (*RUNTIMES, AUTO_RUNTIME))
    if options.precision is not None:
        check_choice(f"precision {options.precision!r}", options.precision, PRECISIONS)


def short_name(precision: Precision) -> str:
    """Return the key of `PRECISIONS` of a precision."""
    dtype = precision.dtype or torch.float32
    return next(name for name, dtype_name in PRECISIONS.items() if getattr(torch, dtype_name) == dtype)


def _classifier(checkpoint: Checkpoint, runtime: str, device: torch.device, precision: Precision) -> nn.Module:
    model = checkpoint.build_model()
    if runtime != "torch":
        return converted(model, checkpoint, runtime)
    return prepared(model, device, precision, checkpoint.input_size)


def with_views(pipeline: Pipeline, views: str | Sequence[str]) -> Pipeline:
    """Return the pipeline with other views. Raises InputError as `parse_views`."""
    views = parse_views(views)
    members = []
    for member in pipeline.members:
        averaged = ViewAverage(member.model.classifier, views, pipeline.average, member.checkpoint.fit).eval()
        members.append(dataclasses.replace(member, model=averaged))
    return dataclasses.replace(pipeline, members=members, views=views)


def only_member(pipeline: Pipeline, member: Member) -> Pipeline:
    """Return the pipeline with one member; classes keep the order of the pipeline."""
    return dataclasses.replace(pipeline, members=[dataclasses.replace(member, weight=1.0)])


def uncalibrated(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline with temperature 1 for each member."""
    return with_temperatures(pipeline, [1.0] * len(pipeline.members), "")


def with_temperatures(pipeline: Pipeline, temperatures: Sequence[float], source: str) -> Pipeline:
    """Return the pipeline with other temperatures of its members, and what gave them, in a few words."""
    members = []
    for member, temperature in zip(pipeline.members, temperatures, strict=True):
        checkpoint = dataclasses.replace(member.checkpoint, temperature=temperature, temperature_source=source)
        members.append(dataclasses.replace(member, checkpoint=checkpoint))
    return dataclasses.replace(pipeline, members=members)


def require_torch(pipeline: Pipeline, what: str) -> None:
    """Raise InputError if a member has another runtime: its weights and input size cannot be changed."""
    if pipeline.runtime != "torch":
        raise InputError(f"{what}: needs best_model.pt in torch; a model of {pipeline.runtime} is fixed.")


def with_checkpoint(pipeline: Pipeline, checkpoint: Checkpoint) -> Pipeline:
    """Return the pipeline with one model of these weights instead of its members; classes stay those of the first."""
    return with_weights(only_member(pipeline, pipeline.members[0]), [checkpoint])


def with_weights(pipeline: Pipeline, checkpoints: Sequence[Checkpoint]) -> Pipeline:
    """Return the pipeline with the weights of `checkpoints`, one for each member."""
    members = []
    for member, checkpoint in zip(pipeline.members, checkpoints, strict=True):
        model = _classifier(checkpoint, "torch", pipeline.device, pipeline.precision)
        averaged = ViewAverage(model, pipeline.views, pipeline.average, checkpoint.fit).eval()
        members.append(dataclasses.replace(member, checkpoint=checkpoint, model=averaged))
    return dataclasses.replace(pipeline, members=members)


def in_float32(pipeline: Pipeline) -> Pipeline:
    """Return a pipeline of torch with the same members, computed in float32 wherever it runs."""
    if pipeline.precision.dtype is None:
        return pipeline
    exact = dataclasses.replace(pipeline, precision=Precision(pipeline.device.type, None), asked_precision="fp32")
    return with_weights(exact, [member.checkpoint for member in pipeline.members])


def reweighted(pipeline: Pipeline, weights: Sequence[float] | None) -> Pipeline:
    """Return the pipeline with other weights of its members. Raises InputError as `weight_shares`."""
    shares = weight_shares(weights, len(pipeline.members))
    members = [
        dataclasses.replace(member, weight=share) for member, share in zip(pipeline.members, shares, strict=True)
    ]
    return dataclasses.replace(pipeline, members=members)


def predict_images(pipeline: Pipeline, inputs: Inputs, description: str = "prediction") -> PredictedProbabilities:
    """Return the probabilities of all inputs, averaged over members and views; shows a progress bar."""
    config, count = pipeline.config.dataset, len(inputs.paths)
    total = np.zeros((count, len(pipeline.classes)))
    unreadable: dict[int, str] = {}
    recovered: list[int] = []
    with progress(description, count * len(pipeline.members)) as advance:
        for member in pipeline.members:
            paths = [str(path) for path in inputs.paths]
            images = ImageDataset(Path(), paths, np.zeros(count, np.int64), _transform(member))
            loader = eval_reader(images, range(count), config, pipeline.device)
            predictions = compute_logits(
                member.model, loader, len(pipeline.classes), pipeline.device, pipeline.precision, advance
            )
            answers = calibrated(predictions.logits, member.checkpoint.temperature)
            total[predictions.indices] += answers[:, member.output_of_class] * member.weight
            unreadable, recovered = unreadable | dict(predictions.skipped), predictions.recovered
    # one that a member of another size could not get is unreadable for all
    total[list(unreadable)] = 0
    return PredictedProbabilities(total, unreadable, recovered)


def predict_file(pipeline: Pipeline, path: Path) -> np.ndarray:
    """Return the probabilities (C,) of one image file: decoded once, resized for each member, batch size 1."""
    return predict_batches(pipeline, to_batches(pipeline, read_image(path).pixels), [path.name])[0]


def to_batches(pipeline: Pipeline, pixels: np.ndarray) -> list[torch.Tensor]:
    """Return uint8 RGB pixels (H, W, 3) as input of each member, on the device: uint8 (1, 3, K * S, S), K squares."""
    views = (_transform(member)(pixels) for member in pipeline.members)
    batches = (torch.from_numpy(np.ascontiguousarray(view))[None].permute(0, 3, 1, 2) for view in views)
    return [batch.to(pipeline.device) for batch in batches]


def _transform(member: Member) -> EvalTransform:
    return EvalTransform(member.checkpoint.input_size, member.checkpoint.crop_pct, member.model.squares)


@torch.inference_mode()
def predict_batches(
    pipeline: Pipeline, batches: Sequence[torch.Tensor], names: list[str] | None = None, may_split: bool = True
) -> np.ndarray:
    """Return averaged probabilities float64 (N, C) of one uint8 batch (N, 3, K * S, S) per member.

    `names` are the images'. Full memory and numbers that are not finite are answered as by `compute_logits`; if
    `may_split` is false, full memory raises the error of the device.
    """
    total = np.zeros((len(batches[0]), len(pipeline.classes)))
    for member, batch in zip(pipeline.members, batches, strict=True):
        forward = ForwardPass(member.model, pipeline.device, pipeline.precision, may_split)
        logits = forward.finish(forward.start(batch), names)
        total += calibrated(logits, member.checkpoint.temperature)[:, member.output_of_class] * member.weight
        if forward.overflowed:
            _warn_once(overflow_note(forward.overflowed, pipeline.precision))
    return total


@functools.cache
def _warn_once(text: str) -> None:
    print_warning(text)


def _output_of_class(checkpoint: Checkpoint, classes: list[ImageClass], path: Path, first: Path) -> np.ndarray:
    outputs = reordering(checkpoint.classes, classes)
    if outputs is None:
        raise InputError(f"{path}: its classes are not those of {first}; only models of the same classes are averaged.")
    return np.array(outputs, dtype=np.int64)


def _choose_precision(device: torch.device, config: Config, name: str | None) -> Precision:
    if name == "fp32":
        return Precision(device.type, None)
    if name is None:
        precision = choose_inference_precision(device, config.training.use_amp, config.training.amp_dtype)
    else:
        precision = choose_precision(device, True, PRECISIONS[name])
    if precision.note and name is not None and precision.dtype is None:
        raise InputError(f"precision {name}: {precision.note}. Choose fp32, or leave it to the device.")
    if precision.note:
        _warn_once(precision.note)
    return precision
