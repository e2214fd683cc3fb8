"""Input size: top-1 of a trained model at other sizes (Touvron et al. 2019, arXiv:1906.06423)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import InputError
from common.files import as_path, check_writable
from evaluation.epoch_choice import flattery
from evaluation.intervals import Gain, paired_gain
from evaluation.labelled_images import LabelledImages, choose_images, correct_answers
from models.checkpoint import Checkpoint, save_checkpoint
from models.classifier import check_sizes
from prediction.pipeline import Pipeline, require_torch
from tools.calibrate_checkpoint import recalibrated


def resized(checkpoint: Checkpoint, size: int) -> Checkpoint:
    """Return the checkpoint for images of `size` pixels. Raises InputError if its architecture does not take them."""
    check_sizes(checkpoint.architecture, checkpoint.input_size, [size])
    arguments = {**checkpoint.architecture_arguments, "input_size": size}
    return dataclasses.replace(checkpoint, input_size=size, architecture_arguments=arguments)


@dataclasses.dataclass(frozen=True)
class SizeScore:
    """Top-1 (a share) at an input size in pixels, and the gain over the checkpoint's own size."""

    size: int
    top1: float
    gain: Gain


@dataclasses.dataclass(frozen=True)
class SizeComparison:
    """A model at several input sizes, smallest first; `best` has the highest top-1, of equal ones the smallest size.

    `flattery` is by how much its top-1 (a share) is expected to be too high, because these images chose it.
    """

    scores: list[SizeScore]
    own_size: int
    best: int
    images: int
    source: str
    flattery: float


def compare_sizes(
    pipeline: Pipeline,
    sizes: Sequence[int],
    split: str | None = None,
    data: str | Path | None = None,
    keep: str | Path | None = None,
) -> SizeComparison:
    """Measure top-1 at each of `sizes` and at the checkpoint's own; with `keep`, write the best as a checkpoint.

    Raises InputError for several checkpoints, models of other runtimes, or a size that the model does not take.
    """
    target = None if keep is None else as_path(keep)
    if target is not None:
        check_writable(target, [member.path for member in pipeline.members], ".pt")
    if len(pipeline.members) > 1:
        raise InputError("Input sizes are compared for one checkpoint; each model of an ensemble has its own.")
    require_torch(pipeline, "comparing input sizes")
    own = pipeline.members[0].checkpoint
    images = choose_images(pipeline, split, data)
    correct = {size: _correct(pipeline, resized(own, size), images) for size in sorted({*sizes, own.input_size})}
    scores = [
        SizeScore(size, float(hits.mean()), paired_gain(hits, correct[own.input_size]))
        for size, hits in correct.items()
    ]
    best = max(scores, key=lambda score: (score.top1, -score.size)).size
    if target is not None:
        kept = own
        if best != own.input_size:
            kept = recalibrated(pipeline, images, resized(own, best), float(correct[best].mean()))
        save_checkpoint(kept, target)
    return SizeComparison(
        scores, own.input_size, best, len(correct[best]), images.source, flattery(np.stack(list(correct.values())))
    )


def _correct(pipeline: Pipeline, checkpoint: Checkpoint, images: LabelledImages) -> np.ndarray:
    member = dataclasses.replace(pipeline.members[0], checkpoint=checkpoint)
    return correct_answers(dataclasses.replace(pipeline, members=[member]), images, f"{checkpoint.input_size} px")
