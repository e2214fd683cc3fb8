"""Model soups: one model of the averaged weights of several (Wortsman et al. 2022, arXiv:2203.05482)."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from common.errors import InputError, RunError
from common.files import as_path, check_writable
from configs.options import UNTRAINED
from evaluation.intervals import Gain, paired_gain
from evaluation.labelled_images import (
    choose_images,
    correct_answers,
    images_new_to,
    training_batches,
)
from models.checkpoint import Checkpoint, save_checkpoint
from models.classifier import on_device
from prediction.pipeline import Pipeline, require_torch, with_checkpoint
from tools.calibrate_checkpoint import recalibrated

# training images whose statistics a soup's batch normalisation gets
STATISTICS_IMAGES = 2000

_SAME = ("architecture", "input_size", "crop_pct", "fit", "classes")


@dataclasses.dataclass(frozen=True)
class Soup:
    """Averaged weights of some members (places from 0): their top-1 (a share) and the gain over the best member."""

    kind: str
    members: list[int]
    top1: float
    gain: Gain


@dataclasses.dataclass(frozen=True)
class SoupComparison:
    """Top-1 (shares) of each member alone and of both soups on the same images.

    `written` is the better soup's kind, `temperature` the one fitted for it on these images, 1 if they are too few.
    """

    images: int
    source: str
    paths: list[Path]
    top1_of_members: list[float]
    soups: list[Soup]
    written: str | None = None
    temperature: float = 1.0


def soup(pipeline: Pipeline, data: str | Path | None, output: str | Path) -> SoupComparison:
    """Average the members' weights, all of them and greedily; write the better soup to `output` if validation gains.

    Greedy: from the best member on, each further one stays in if top-1 does not fall. Measured on the validation images
    (or `data`) that no member was trained on. Raises InputError for models that differ in more than their weights, and
    RunError, with the comparison, if neither soup is better than the best member; then nothing is written.
    """
    output = as_path(output)
    check_writable(output, [member.path for member in pipeline.members], ".pt")
    require_torch(pipeline, "soup")
    _check_alike(pipeline)
    images = images_new_to(pipeline, choose_images(pipeline, None, data))

    def correct(checkpoint: Checkpoint, name: str) -> np.ndarray:
        return correct_answers(with_checkpoint(pipeline, checkpoint), images, name)

    own = [correct(member.checkpoint, f"model {number}") for number, member in enumerate(pipeline.members, start=1)]
    best = max(own, key=np.mean)
    everyone = list(range(len(own)))
    uniform = averaged(pipeline, everyone)
    greedy, kept, greedy_hits = _greedy(pipeline, own, correct)
    candidates = {
        "uniform": (uniform, everyone, correct(uniform, "uniform")),
        "greedy": (greedy, kept, greedy_hits),
    }
    found = SoupComparison(
        images=len(best),
        source=images.source,
        paths=[member.path for member in pipeline.members],
        top1_of_members=[float(hits.mean()) for hits in own],
        soups=[
            Soup(kind, members, float(hits.mean()), paired_gain(hits, best))
            for kind, (_, members, hits) in candidates.items()
        ],
    )
    winner = max(found.soups, key=lambda candidate: candidate.top1)
    if winner.top1 <= best.mean():
        raise RunError("No soup is better than the best model alone: nothing was written.", found)
    checkpoint = recalibrated(pipeline, images, candidates[winner.kind][0], winner.top1)
    save_checkpoint(checkpoint, output)
    return dataclasses.replace(found, written=winner.kind, temperature=checkpoint.temperature)


def _greedy(
    pipeline: Pipeline, own: Sequence[np.ndarray], correct: Callable[[Checkpoint, str], np.ndarray]
) -> tuple[Checkpoint, list[int], np.ndarray]:
    """Return the greedy soup, its members in the order in which they joined, and which of its predictions are right."""
    ranked = sorted(range(len(own)), key=lambda place: -own[place].mean())
    kept, mixed, hits = ranked[:1], pipeline.members[ranked[0]].checkpoint, own[ranked[0]]
    for place in ranked[1:]:
        candidate = averaged(pipeline, [*kept, place])
        candidate_hits = correct(candidate, f"with model {place + 1}")
        if candidate_hits.mean() >= hits.mean():
            kept, mixed, hits = [*kept, place], candidate, candidate_hits
    return mixed, kept, hits


def averaged(pipeline: Pipeline, places: Sequence[int]) -> Checkpoint:
    """Return a checkpoint of the mean weights of some members.

    Batch normalisation gets the statistics that the mean weights give on training images, unless all members share
    theirs, as after `training.freeze_batchnorm`.
    """
    checkpoints = [pipeline.members[place].checkpoint for place in places]
    first = checkpoints[0]
    weights = {
        name: torch.stack([checkpoint.state_dict[name].float() for checkpoint in checkpoints])
        .mean(dim=0)
        .to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in first.state_dict.items()
    }
    trained = sorted(set().union(*(checkpoint.split["train"] for checkpoint in checkpoints)))
    split = {**first.split, "train": trained, "val": sorted(set(first.split["val"]) - set(trained))}
    # with one trained member the mean is of trained weights too
    config = next(
        (own.config for own in checkpoints if own.config.get("training", {}).get("name") != UNTRAINED), first.config
    )
    mixed = dataclasses.replace(first, state_dict=weights, split=split, epoch=0, config=config)
    if _own_statistics(checkpoints):
        model = on_device(mixed.build_model(), pipeline.device)
        _recompute_statistics(model, pipeline)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        mixed = dataclasses.replace(mixed, state_dict=weights)
    return mixed


def _own_statistics(checkpoints: Sequence[Checkpoint]) -> bool:
    first = checkpoints[0].state_dict
    names = [name for name in first if name.endswith(("running_mean", "running_var"))]
    return any(
        not torch.equal(checkpoint.state_dict[name], first[name]) for checkpoint in checkpoints[1:] for name in names
    )


@torch.no_grad()
def _recompute_statistics(model: nn.Module, pipeline: Pipeline) -> None:
    """Set the statistics of batch normalisation to their means over training images, as evaluation sees these."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # None: the mean of all batches
        norm.momentum = None
        norm.train()
    for batch in training_batches(pipeline, STATISTICS_IMAGES):
        if len(batch.images) > 1:
            model(batch.images.to(pipeline.device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _check_alike(pipeline: Pipeline) -> None:
    first = pipeline.members[0]
    for member in pipeline.members[1:]:
        for name in _SAME:
            if getattr(member.checkpoint, name) != getattr(first.checkpoint, name):
                raise InputError(
                    f"{member.path}: its {name.replace('_', ' ')} is not that of {first.path}. Only weights of "
                    "one architecture, input size and class table can be averaged; ensemble.py averages any answers."
                )
        if set(member.checkpoint.state_dict) != set(first.checkpoint.state_dict):
            raise InputError(f"{member.path}: its weights have other names than those of {first.path}.")
