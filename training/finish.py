"""The end of a run: the temperature of its best model, and how much the choice of the best epoch flatters."""

import dataclasses
from collections.abc import Sequence
from math import exp, log
from pathlib import Path

import numpy as np
import torch

from common import distributed
from common.progress import progress
from evaluation.calibration import FEWEST_IMAGES, Calibration, calibrate
from evaluation.epoch_choice import CORRECTED, flattery
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.classifier import on_device
from training.run import Run
from training.state import TrainingState
from training.trainer import validation_logits

# of the checkpoint's metrics
BEFORE, AFTER = "val_calibration_error_before", "val_calibration_error"


def finish_best(run: Run, state: TrainingState) -> list[str]:
    """Write into best_model.pt what only a finished run knows, and return a line on each.

    That is the temperature, and the top-1 to expect on new images. Without validation images the temperature is that of
    the teacher, or 1. A model that has one already keeps it.
    """
    found = load_checkpoint(run.folder.best) if distributed.is_main() else None
    checkpoint = distributed.gather(found)[0]
    if AFTER in checkpoint.metrics or checkpoint.temperature != 1:
        return []
    if run.val_loader is None:
        return _take_from_teacher(run, checkpoint)
    with progress("calibration", len(run.split.val)) as advance:
        outputs = validation_logits(run, on_device(checkpoint.build_model(), run.device), advance)
    known = np.isfinite(outputs.logits).all(axis=1)
    fitted = calibrate(outputs.logits[known], outputs.labels[known], run.config.seed)
    metrics, lines = _correction(run, state, checkpoint)
    if fitted is None:
        if metrics:
            _write(run, checkpoint, 1.0, metrics)
        return [
            *lines,
            f"Calibration: {int(known.sum())} validation images are too few to fit a temperature, which needs "
            f"{FEWEST_IMAGES}; probabilities stay as they are.",
        ]
    metrics |= {BEFORE: fitted.error_before, AFTER: fitted.error_after}
    _write(run, checkpoint, fitted.temperature, metrics)
    return [*lines, describe_calibration(fitted)]


def _correction(run: Run, state: TrainingState, checkpoint: Checkpoint) -> tuple[dict[str, float], list[str]]:
    """Return the corrected top-1 as a metric, and the line on it; nothing if no epoch was chosen."""
    hits, raw = state.validation_hits, checkpoint.metrics.get("val_top1")
    if state.epoch < 2 or raw is None:
        return {}, []
    if len(hits) != state.epoch or len({len(epoch) for epoch in hits}) > 1:
        return {}, [
            "The choice of the best epoch flatters its top-1; by how much is unknown, because the answers of some "
            "epochs were not kept, or are of other images."
        ]
    corrected = raw - flattery(torch.stack(hits).cpu().numpy(), run.config.training.early_stopping.min_delta)
    return {CORRECTED: corrected}, [
        f"Validation top-1, corrected for the choice of the epoch: {100 * corrected:.2f} % "
        f"(measured: {100 * raw:.2f} %)."
    ]


def describe_calibration(found: Calibration) -> str:
    """Return the line on a fitted temperature."""
    return (
        f"Calibration error: {100 * found.error_before:.2f} % before, {100 * found.error_after:.2f} % with the "
        f"temperature {found.temperature:.3f}, which was fitted on {found.images} images and changes no label."
    )


def _take_from_teacher(run: Run, checkpoint: Checkpoint) -> list[str]:
    temperatures = _temperatures_of(run.config.training.teacher)
    if not temperatures:
        return [
            "Calibration: there are no validation images to fit a temperature on; probabilities stay as they are. "
            "'python cli/flower_cli.py calibrate' fits it on other labelled images, or takes that of folds."
        ]
    temperature = exp(sum(map(log, temperatures)) / len(temperatures))
    _write(run, checkpoint, temperature, {})
    return [f"Calibration: no validation images, so the temperature is that of training.teacher, {temperature:.3f}."]


def _temperatures_of(teacher: str | Sequence[str] | None) -> list[float]:
    """Return the temperatures of a teacher's checkpoints; none for saved probabilities."""
    paths = [] if teacher is None else [teacher] if isinstance(teacher, str) else list(teacher)
    return [load_checkpoint(path).temperature for path in map(Path, paths) if path.suffix != ".npz"]


def _write(run: Run, checkpoint: Checkpoint, temperature: float, metrics: dict[str, float]) -> None:
    if distributed.is_main():
        metrics = checkpoint.metrics | metrics
        save_checkpoint(dataclasses.replace(checkpoint, temperature=temperature, metrics=metrics), run.folder.best)
    distributed.wait_for_all()
