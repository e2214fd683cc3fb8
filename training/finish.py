"""The end of a run: the temperature of its best model, and how much the choice of the best epoch flatters."""

import dataclasses
from collections.abc import Sequence
from math import exp, log
from pathlib import Path

import torch

from common import distributed
from common.errors import as_warning
from common.progress import progress
from evaluation.calibration import FEWEST_IMAGES, Calibration, calibrate, of_validation_images
from evaluation.epoch_choice import CORRECTED, flattery
from models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.classifier import on_device
from training.run import Run
from training.saving import load_best
from training.start_mix import SHARE_FLATTERS
from training.state import TrainingState
from training.validation import validation_logits

# from this share of the loss on, a student's probabilities become those of its teacher
_LEARNT_FROM = 0.5

# of the checkpoint's metrics
BEFORE, AFTER = "val_calibration_error_before", "val_calibration_error"

_UNCHANGED = "probabilities stay as they are. 'python cli/flower_cli.py calibrate' fits it on other labelled images"


def finish_best(run: Run, state: TrainingState) -> list[str]:
    """Write into best_model.pt what only a finished run knows, and return a line on each.

    That is the temperature, and the top-1 to expect on new images. Without validation images the temperature is that of
    the teacher, or 1. A model that has one already keeps it; its top-1 to expect changes with the epochs that followed.
    """
    checkpoint = load_best(run)
    if checkpoint.temperature_source:
        return _correct_again(run, state, checkpoint)
    if run.val_loader is None:
        return _take_from_teacher(run, checkpoint)
    with progress("calibration", len(run.split.val)) as advance:
        outputs = validation_logits(run, on_device(checkpoint.build_model(), run.device), advance)
    fitted = calibrate(outputs.logits, outputs.labels, run.config.seed)
    metrics, lines = _correction(run, state, checkpoint)
    if fitted is None:
        if metrics:
            _write(run, checkpoint, 1.0, "", metrics)
        return [
            *lines,
            f"Calibration: {len(outputs.labels)} validation images are too few to fit a temperature, which needs "
            f"{FEWEST_IMAGES}; {_UNCHANGED}.",
        ]
    metrics |= {BEFORE: fitted.error_before, AFTER: fitted.error_after}
    _write(run, checkpoint, fitted.temperature, of_validation_images(fitted.images), metrics)
    return [*lines, describe_calibration(fitted)]


def _correction(run: Run, state: TrainingState, checkpoint: Checkpoint) -> tuple[dict[str, float], list[str]]:
    """Return the corrected top-1 as a metric, and the line on it; nothing if no epoch was chosen."""
    hits, raw = state.validation_hits, checkpoint.metrics.get("val_top1")
    if len(state.history) < 2 or raw is None:
        return {}, []
    if len(hits) != len(state.history) or len({len(epoch) for epoch in hits}) > 1:
        return {}, [
            "The choice of the best epoch flatters its top-1; by how much is unknown, because the answers of some "
            "epochs were not kept, or are of other images."
        ]
    corrected = raw - flattery(torch.stack(hits).cpu().numpy(), run.config.training.early_stopping.min_delta)
    # nothing unless the share of the start was chosen as well
    corrected -= checkpoint.metrics.get(SHARE_FLATTERS, 0.0)
    chosen = "the epoch and of start_mix" if SHARE_FLATTERS in checkpoint.metrics else "the epoch"
    return {CORRECTED: corrected}, [
        f"Validation top-1, corrected for the choice of {chosen}: {100 * corrected:.2f} % "
        f"(measured: {100 * raw:.2f} %)."
    ]


def _correct_again(run: Run, state: TrainingState, checkpoint: Checkpoint) -> list[str]:
    """Write the top-1 to expect after further epochs, of which none was better, and return the line on it."""
    metrics, lines = _correction(run, state, checkpoint)
    if metrics.get(CORRECTED) in (None, checkpoint.metrics.get(CORRECTED)):
        return []
    _write(run, checkpoint, checkpoint.temperature, checkpoint.temperature_source, metrics)
    return lines


def describe_calibration(found: Calibration) -> str:
    """Return the line on a fitted temperature."""
    return (
        f"Calibration error: {100 * found.error_before:.2f} % before, {100 * found.error_after:.2f} % in {found.folds} "
        f"folds, each with the temperature of the others. That of all {found.images} images is "
        f"{found.temperature:.3f}; it changes no label."
    )


def _take_from_teacher(run: Run, checkpoint: Checkpoint) -> list[str]:
    training = run.config.training
    # a student of hard labels, or of a small share, does not learn the teacher's probabilities
    learns = not training.distillation_hard_labels and training.distillation_weight >= _LEARNT_FROM
    temperatures = _temperatures_of(training.teacher) if learns else []
    if not temperatures:
        return [
            f"Calibration: there are no validation images to fit a temperature on; {_UNCHANGED}, "
            "or takes that of the folds of a cross-validation."
        ]
    temperature = exp(sum(map(log, temperatures)) / len(temperatures))
    _write(run, checkpoint, temperature, "training.teacher", {})
    return [f"Calibration: no validation images, so the temperature is that of training.teacher, {temperature:.3f}."]


def _temperatures_of(teacher: str | Sequence[str] | None) -> list[float]:
    """Return the temperatures of a teacher's calibrated checkpoints; none for `ema` and for saved probabilities.

    A student learns a checkpoint's probabilities without its temperature, so that it needs this temperature as well.
    """
    paths = [] if teacher in (None, "ema") else [teacher] if isinstance(teacher, str) else list(teacher)
    found = []
    for path in map(Path, paths):
        if path.suffix == ".npz":
            continue
        # it was there when training began; its loss must not cost the run
        with as_warning(f"the temperature of {path}"):
            checkpoint = load_checkpoint(path)
            if checkpoint.temperature_source:
                found.append(checkpoint.temperature)
    return found


def _write(run: Run, checkpoint: Checkpoint, temperature: float, source: str, metrics: dict[str, float]) -> None:
    if distributed.is_main():
        metrics = checkpoint.metrics | metrics
        calibrated = dataclasses.replace(
            checkpoint, temperature=temperature, temperature_source=source, metrics=metrics
        )
        save_checkpoint(calibrated, run.folder.best)
    distributed.wait_for_all()
