"""Weights between start and end of training (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903): `training.start_mix`.

The shipped weights become (1 - share) * end + share * start. The start are the weights before the first step, with the
classifier that a probe may have given them. One model is shipped, so its latency stays.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from common import distributed
from common.progress import progress
from configs.schema import Config
from evaluation.epoch_choice import flattery
from models.checkpoint import Checkpoint, save_checkpoint
from models.classifier import on_device
from prediction.logits import LoaderOutputs
from training.run import Run
from training.saving import load_best
from training.start import mixes_start
from training.state import TrainingState
from training.validation import validation_logits, validation_metrics

# `auto` tries these, and takes the fallback where no images validate
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
FALLBACK = 0.2

# of `Checkpoint.metrics`: the share, and the validation top-1 with each share that was tried
SHARE, TOP1_WITH = "start_share", "val_top1_with_start_share_{:g}"

# by how much the top-1 of the chosen share is expected to be too high (a fraction), because these images chose it
SHARE_FLATTERS = "start_share_flattery"


@dataclass(frozen=True)
class StartMix:
    """The share of the start in the shipped model, and the validation top-1 (a fraction) with each share tried."""

    share: float
    top1: dict[float, float]


def mix_into_best_model(run: Run, state: TrainingState) -> StartMix | None:
    """Mix the start into best_model.pt at the end of training; return what was chosen, None for a run without mixing.

    All ranks must call this, after best_model.pt is whole. A model that is mixed already stays as it is.
    """
    if not mixes_start(run.config):
        return None
    best = load_best(run)
    if SHARE in best.metrics:
        return _recorded(best.metrics)
    if state.start is None:
        raise ValueError("a run that mixes has no start: training.resume refuses such a state")
    outputs = {share: _validated(run, with_start(best, state.start, share)) for share in _tried(run)}
    found = {share: validation_metrics(of_share) for share, of_share in outputs.items()}
    top1 = {share: metrics["val_top1"] for share, metrics in found.items() if metrics["val_top1"] is not None}
    if top1:
        top1 = {0.0: best.metrics["val_top1"], **top1}
    share = _chosen(run, top1)
    metrics = {**best.metrics, **found.get(share, {}), SHARE: share}
    metrics |= {TOP1_WITH.format(tried): value for tried, value in top1.items()}
    if len(outputs) > 1:
        hits = np.stack([of_share.logits.argmax(axis=1) == of_share.labels for of_share in outputs.values()])
        metrics[SHARE_FLATTERS] = flattery(hits)
    if distributed.is_main():
        save_checkpoint(dataclasses.replace(with_start(best, state.start, share), metrics=metrics), run.folder.best)
    return StartMix(share, top1)


def with_start(checkpoint: Checkpoint, start: Mapping[str, torch.Tensor], share: float) -> Checkpoint:
    """Return `checkpoint` with `share` of the `start` in its weights, BatchNorm's running statistics included.

    Counts, such as those of BatchNorm's batches, stay those of the checkpoint.
    """
    mixed = {
        name: end.lerp(start[name], share) if end.is_floating_point() else end
        for name, end in checkpoint.state_dict.items()
    }
    return dataclasses.replace(checkpoint, state_dict=mixed)


def _tried(run: Run) -> Sequence[float]:
    return () if run.val_loader is None else tried_shares(run.config)


def tried_shares(config: Config) -> Sequence[float]:
    """Return the shares that a run with validation images measures, after those of its best epoch.

    A choice compares them image by image, so that it measures the share 0 again.
    """
    return SHARES if config.training.start_mix == "auto" else (config.training.start_mix,)


def _chosen(run: Run, top1: Mapping[float, float]) -> float:
    """Return the share that ships: the given one, or with `auto` the best, of equal ones the smallest."""
    wanted = run.config.training.start_mix
    if wanted != "auto":
        return wanted
    return max(top1, key=lambda share: (top1[share], -share)) if top1 else FALLBACK


def _validated(run: Run, checkpoint: Checkpoint) -> LoaderOutputs:
    model = on_device(checkpoint.build_model(), run.device)
    with progress("validation of mixed weights", len(run.split.val)) as advance:
        return validation_logits(run, model, advance)


def _recorded(metrics: Mapping[str, float]) -> StartMix:
    """Return what `mix_into_best_model` has written to a checkpoint."""
    shares = (0.0, metrics[SHARE], *SHARES)
    return StartMix(metrics[SHARE], {s: metrics[TOP1_WITH.format(s)] for s in shares if TOP1_WITH.format(s) in metrics})


def describe_mix(config: Config, mix: StartMix) -> str:
    """Return the sentence on the weights that ship."""
    if not mix.top1 and config.training.start_mix == "auto":
        return f"training.start_mix=auto: no validation images could choose; the share {mix.share:g} is taken"
    shown = ", ".join(f"{share:g}: {100 * top1:.2f} %" for share, top1 in sorted(mix.top1.items()))
    tried = f" (validation top-1 by share: {shown}; the images that chose flatter)" if shown else ""
    return f"Weights of the best model: {mix.share:g} from the start, {1 - mix.share:g} from the end{tried}"
