"""A trained model at other input sizes: which one validation prefers (Touvron et al. 2019, arXiv:1906.06423)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import InputError
from evaluation.labelled_images import LabelledImages, choose_images, correct_answers
from evaluation.metrics import gain_interval
from models.checkpoint import Checkpoint, save_checkpoint
from models.classifier import check_sizes
from prediction.pipeline import Pipeline, require_torch


def resized(checkpoint: Checkpoint, size: int) -> Checkpoint:
    """Return the checkpoint for images of `size` pixels. Raises InputError if its architecture does not take them."""
    check_sizes(checkpoint.architecture, checkpoint.input_size, [size])
    arguments = {**checkpoint.architecture_arguments, "input_size": size}
    return dataclasses.replace(checkpoint, input_size=size, architecture_arguments=arguments)


def compare_sizes(
    pipeline: Pipeline, sizes: Sequence[int], split: str | None, data: Path | None, keep: Path | None
) -> list[str]:
    """Return a table of top-1 at each of `sizes`, against the checkpoint's own; with `keep`, write the best of them.

    The smallest of equally good sizes is the best. Raises InputError for several checkpoints, models of other runtimes,
    or a size that the model does not take.
    """
    if len(pipeline.members) > 1:
        raise InputError("--input-sizes: give one checkpoint; each model of an ensemble has a size of its own.")
    require_torch(pipeline, "--input-sizes")
    own = pipeline.members[0].checkpoint
    images = choose_images(pipeline, split or "val", data)
    correct = {size: _correct(pipeline, resized(own, size), images) for size in sorted({*sizes, own.input_size})}
    lines = ["size  top-1 %   gain  95 % interval"]
    for size, right in correct.items():
        gain = 100 * (right.mean() - correct[own.input_size].mean())
        low, high = gain_interval(right, correct[own.input_size])
        note = "as trained" if size == own.input_size else f"{gain:+.2f}  {low:+.2f} to {high:+.2f}"
        lines.append(f"{size:>4}  {100 * right.mean():>7.2f}  {note}")
    best = max(correct, key=lambda size: (correct[size].mean(), -size))
    lines.append(f"best  {best} px, of {len(correct[best])} images ({images.source})")
    if keep is not None:
        save_checkpoint(resized(own, best), keep)
        lines.append(f"Wrote {keep} for {best} px")
    return lines


def _correct(pipeline: Pipeline, checkpoint: Checkpoint, images: LabelledImages) -> np.ndarray:
    member = dataclasses.replace(pipeline.members[0], checkpoint=checkpoint)
    return correct_answers(dataclasses.replace(pipeline, members=[member]), images, f"{checkpoint.input_size} px")
