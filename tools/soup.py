"""Model soups: one model of the averaged weights of several (Wortsman et al. 2022, arXiv:2203.05482)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from common.errors import InputError, RunError
from evaluation.labelled_images import choose_images, correct_answers, images_new_to, training_batches
from evaluation.metrics import gain_interval
from models.checkpoint import Checkpoint, save_checkpoint
from prediction.pipeline import Pipeline, require_torch, with_checkpoint

# training images whose statistics a soup's batch normalisation gets
STATISTICS_IMAGES = 2000

_SAME = ("architecture", "input_size", "crop_pct", "classes")


def soup(pipeline: Pipeline, data: Path | None, output: Path) -> list[str]:
    """Average the members' weights, all of them and greedily; write the better soup if validation gains; return lines.

    Greedy: from the best member on, each further one stays in if top-1 does not fall. Measured on the validation images
    (or `data`) that no member was trained on. Raises InputError for models that differ in more than their weights, and
    RunError if neither soup is better than the best member; then nothing is written.
    """
    checkpoints = [member.checkpoint for member in pipeline.members]
    require_torch(pipeline, "soup")
    _check_alike(pipeline)
    images = images_new_to(pipeline, choose_images(pipeline, "val", data))

    def correct(checkpoint: Checkpoint, name: str) -> np.ndarray:
        return correct_answers(with_checkpoint(pipeline, checkpoint), images, name)

    own = [correct(checkpoint, f"model {number}") for number, checkpoint in enumerate(checkpoints, start=1)]
    lines = [f"{len(own[0])} images ({images.source})"]
    lines += [
        f"model {number}     {100 * hits.mean():.2f} %  {member.path}"
        for number, (hits, member) in enumerate(zip(own, pipeline.members, strict=True), start=1)
    ]
    ranked = sorted(range(len(own)), key=lambda place: -own[place].mean())
    best = own[ranked[0]]
    found = {"uniform": (averaged(pipeline, range(len(own))), list(range(len(own))))}
    kept, greedy_hits, greedy = ranked[:1], best, checkpoints[ranked[0]]
    for place in ranked[1:]:
        mixed = averaged(pipeline, [*kept, place])
        hits = correct(mixed, f"with model {place + 1}")
        if hits.mean() >= greedy_hits.mean():
            kept, greedy_hits, greedy = [*kept, place], hits, mixed
    found["greedy"] = (greedy, kept)
    results = {
        name: (greedy_hits if name == "greedy" else correct(checkpoint, name))
        for name, (checkpoint, _) in found.items()
    }
    for name, (_, places) in found.items():
        gain, (low, high) = 100 * (results[name].mean() - best.mean()), gain_interval(results[name], best)
        lines.append(
            f"{name:<11} {100 * results[name].mean():.2f} %  models {', '.join(str(place + 1) for place in places)}; "
            f"{gain:+.2f} against the best (95 %: {low:+.2f} to {high:+.2f})"
        )
    winner = max(results, key=lambda name: results[name].mean())
    if results[winner].mean() <= best.mean():
        table = "\n".join(lines)
        raise RunError(f"No soup is better than the best model alone: nothing was written.\n{table}")
    top1 = float(results[winner].mean())
    save_checkpoint(dataclasses.replace(found[winner][0], metrics={"val_top1": top1}), output)
    return [*lines, f"Wrote {output}: the {winner} soup"]


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
    mixed = dataclasses.replace(first, state_dict=weights, split=split, epoch=0)
    if _own_statistics(checkpoints):
        model = mixed.build_model().to(device=pipeline.device, memory_format=torch.channels_last)
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
