"""The lines printed before a training run starts and after it ends."""

import numpy as np

from common import distributed
from common.device import describe_device
from configs.epochs import epoch_count
from configs.schema import Config
from configs.timm_models import note_on
from models.classifier import parameter_count, size_in_bytes
from models.pretrained import WeightsReport
from training.run import Run
from training.state import TrainingState
from training.trainer import TrainingResult, is_complete


def describe_run(run: Run, state: TrainingState, report: WeightsReport | None) -> list[str]:
    """Return the lines of the plan."""
    config, training = run.config, run.config.training
    held_back = f"{len(run.split.val)} for validation" if len(run.split.val) else "no validation, no early stopping"
    if len(run.split.test):
        held_back += f", {len(run.split.test)} for a test"
    millions, megabytes = parameter_count(state.model) / 1e6, size_in_bytes(state.model) / 1e6
    memory = ", freed memory is kept in the process" if run.memory_tuned else ""
    fit = "" if config.model.fit == "crop" else f", model.fit={config.model.fit}"
    tf32 = " by training.allow_tf32" if run.precision.tf32 else ""
    parts = {
        "data": f"{config.dataset.name}: {len(run.split.train)} images for training, {held_back}, "
        f"{len(run.table.classes)} classes ({run.table.image_dir})",
        "model": f"{config.model.name}: {config.model.architecture} at {config.model.input_size} px{fit}, "
        f"{millions:.1f} M parameters, {megabytes:.1f} MB of {config.competition.max_model_mb:g} MB "
        f"({config.competition.name})",
        "weights": _describe_weights(config, report) if state.step == 0 else "from the saved state",
        "device": f"{describe_device(run.device)}, {run.precision}{tf32}{memory}{_describe_processes()}",
        "training": f"{training.name}: {training.epochs:g} epochs of {run.steps_per_epoch} steps, "
        f"batch {config.dataset.batch_size} x {training.accumulation_steps}, {training.optimizer}, "
        f"{training.loss_function}, peak rate {training.learning_rate:g}, augmentation {config.augmentation.name}",
        "output": str(run.folder.root),
    }
    parts |= {f"note {number}": note for number, note in enumerate(_notes(run, state), start=1)}
    return [f"{name:<9} {text}" for name, text in parts.items()]


def _describe_processes() -> str:
    size = distributed.world_size()
    return f", {size} processes share each batch" if size > 1 else ""


def _notes(run: Run, state: TrainingState) -> list[str]:
    """Return notes on this run that the user should know before it starts."""
    config, schedule, notes = run.config, run.schedule, list(run.choices)
    model_note = note_on(config.model)
    if model_note is not None:
        notes.append(model_note)
    if run.memory_limit is not None:
        notes.append(
            f"this run takes at most {run.memory_limit / 1e9:.1f} GB of the card, less than what is free now, because "
            "the driver would move more to the machine's memory and slow the run down"
        )
    megabytes, limits = size_in_bytes(state.model) / 1e6, config.competition
    if megabytes > limits.max_model_mb:
        notes.append(f"over the limit of size in float32; float16 weights would be {megabytes / 2:.1f} MB")
    if parameter_count(state.model) > limits.max_parameters:
        notes.append(f"over the limit of {limits.max_parameters:g} parameters")
    notes += _notes_on_validation(run)
    if run.teacher is not None:
        copied = len(run.teacher.seen & {run.table.image_ids[row] for row in run.split.val})
        if copied:
            notes.append(
                f"training.teacher was trained on {copied} of the {len(run.split.val)} validation images: what it "
                "passes on makes validation flatter this run. Give both the same seed, or measure on others"
            )
    if run.precision.note:
        notes.append(f"training.amp_dtype: {run.precision.note}")
    singles = int((np.bincount(run.table.labels) == 1).sum())
    if singles and len(run.split.val):
        notes.append(f"{singles} classes have one image, which is used for training")
    for key, steps in (
        ("warmup_epochs", schedule.warmup_steps),
        ("backbone_warmup_epochs", schedule.backbone_warmup_steps),
    ):
        wanted = getattr(config.training, key)
        if steps < round(wanted * run.steps_per_epoch):
            notes.append(
                f"training.{key}={wanted:g} does not fit into {config.training.epochs:g} epochs: "
                f"the warm-up is cut to {steps} of {schedule.total_steps} steps"
            )
    return notes


def _notes_on_validation(run: Run) -> list[str]:
    """Return what a table of validation images means for this run."""
    if run.table.val_rows is None:
        return []
    count = len(run.table.val_rows)
    if run.config.dataset.fold is not None:
        return [f"dataset.fold deals all images into folds, also the {count} of the table of validation images"]
    notes = [
        f"validation is the {count} images of {run.config.dataset.val_csv or 'val.csv'}; dataset.val_split is ignored. "
        "dataset.val_csv=merge splits all images by it"
    ]
    if run.val_copies:
        notes.append(f"{run.val_copies} validation images show a picture of training too, which raises their accuracy")
    return notes


def describe_result(run: Run, result: TrainingResult, state: TrainingState) -> list[str]:
    """Return the closing lines: best epoch, skipped images, paths, the next command."""
    lines = []
    if result.stopped_early and not is_complete(run, state):
        wanted = epoch_count(run.config.training)
        lines.append(f"Stopped after {result.epochs} of {wanted} epochs, as asked by what started the run.")
    elif result.stopped_early:
        patience = run.config.training.early_stopping.patience
        lines.append(f"Stopped after {result.epochs} epochs: no gain in validation top-1 for {patience} epochs.")
    if result.best_top1 is not None:
        lines.append(f"Best validation top-1: {100 * result.best_top1:.2f} % in epoch {result.best_epoch}.")
    if state.skipped_steps:
        lines.append(f"{state.skipped_steps} optimizer steps were skipped: their loss or gradients were not finite.")
    if state.lowered_scales:
        lines.append(
            f"{state.lowered_scales} optimizer steps changed no weights: their float16 gradients overflowed, which "
            "lowered the scale."
        )
    if state.skipped:
        lines.append(f"{len(state.skipped)} images could not be read and were left out: {run.folder.skipped_images}")
    lines.append(f"Best model: {run.folder.best}")
    lines.append(f"Curves: tensorboard --logdir {run.folder.logs}")
    if result.best_top1 is not None:
        lines.append(f"Next: python evaluate.py --checkpoint {run.folder.best}")
    return lines


def _describe_weights(config: Config, report: WeightsReport | None) -> str:
    if report is None:
        return "random (model.pretrained=false)"
    parts = [f"{report.loaded} tensors from {report.source}"]
    if report.matched_classes is not None:
        parts.append(f"{report.matched_classes} classes of the head matched by category id")
    if report.initialised:
        parts.append(f"new: {', '.join(report.initialised)}")
    if report.unexpected:
        parts.append(f"{len(report.unexpected)} tensors of the file not used: {', '.join(report.unexpected[:3])}")
    return "; ".join(parts)
