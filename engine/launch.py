"""Training as a user starts it: what will run is said first, then it runs, then where the results are."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from configs.compose import compose, expand_sweep, to_yaml
from configs.errors import InputError, RunError
from configs.schema import Config
from data.files import write_text
from engine.hardware import describe_device
from engine.resume import resume_file, resume_run, start_run
from engine.setup import Run, set_up_run
from engine.state import TrainingState
from engine.trainer import TrainingResult, fit, stops_early
from models.classifier import parameter_count, size_in_bytes
from models.pretrained import WeightsReport


def train(config: Config) -> TrainingResult:
    """Train one run and print its course. Raises InputError before anything is written if it cannot work."""
    run = set_up_run(config)
    path = resume_file(run)
    if path is None:
        state, report, notes = start_run(run)
    else:
        state, notes = resume_run(run, path)
        report = None
    for line in [*describe_run(run, state, report), *notes]:
        print(line, flush=True)
    if state.epoch >= config.training.epochs or stops_early(run, state):
        print(f"Nothing to do: the run is complete after {state.epoch} epochs.")
    write_text(run.folder.config, to_yaml(config))
    result = fit(run, state)
    for line in describe_result(run, result, len(state.skipped)):
        print(line)
    return result


def train_sweep(config_name: str, overrides: Sequence[str]) -> int:
    """Train one run after the other, each in `<output_dir>/sweeps/<time>/<number>`; return the exit code.

    A run that fails does not stop the others; the exit code is then 1.
    """
    jobs = expand_sweep(overrides)
    configs = [compose(config_name, job) for job in jobs]
    folder = Path(configs[0].output_dir) / "sweeps" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    failures = 0
    for number, (job, config) in enumerate(zip(jobs, configs, strict=True)):
        print(f"\nrun {number + 1} of {len(jobs)}: {' '.join(job)}", flush=True)
        try:
            train(dataclasses.replace(config, output_dir=str(folder / str(number))))
        except (InputError, RunError) as error:
            failures += 1
            print(f"failed: {error}", flush=True)
    print(f"\n{len(jobs) - failures} of {len(jobs)} runs finished; their results are in {folder}")
    return 1 if failures else 0


def describe_run(run: Run, state: TrainingState, report: WeightsReport | None) -> list[str]:
    """Return the lines that say what will run."""
    config = run.config
    split, classes = run.split, len(run.table.classes)
    singles = sum(int((run.table.labels == label).sum() == 1) for label in range(classes))
    validation = f"{len(split.val)} for validation" if len(split.val) else "none held back, so no early stopping"
    megabytes = size_in_bytes(state.model) / 1e6
    limit = config.competition.max_model_mb
    memory = ", freed memory is kept in the process" if run.memory_tuned else ""
    training = config.training
    lines = [
        f"data      {len(split.train)} images for training, {validation}, {classes} classes ({run.table.image_dir})",
        f"model     {config.model.architecture} at {config.model.input_size} px, "
        f"{parameter_count(state.model) / 1e6:.1f} M parameters, {megabytes:.1f} MB of {limit:g} MB",
        f"weights   {_describe_weights(config, report)}" if state.step == 0 else "weights   from the saved state",
        f"device    {describe_device(run.device)}, {run.precision}{memory}",
        f"training  {training.epochs} epochs of {run.steps_per_epoch} steps, "
        f"batch {config.dataset.batch_size} x {training.accumulation_steps}, {training.optimizer}, "
        f"{training.loss_function}, augmentation {config.augmentation.name}",
        f"output    {run.folder.root}",
    ]
    if megabytes > limit:
        lines.append(f"note      over the limit in float32; float16 weights would be {megabytes / 2:.1f} MB")
    if run.precision.note:
        lines.append(f"note      training.amp_dtype: {run.precision.note}")
    if singles and len(split.val):
        lines.append(f"note      {singles} classes have one image, which is used for training")
    wanted = round(training.warmup_epochs * run.steps_per_epoch)
    if run.schedule.warmup_steps < wanted:
        lines.append(
            f"note      training.warmup_epochs={training.warmup_epochs:g} does not fit into {training.epochs} epochs: "
            f"the warm-up is cut to {run.schedule.warmup_steps} of {run.schedule.total_steps} steps"
        )
    return lines


def describe_result(run: Run, result: TrainingResult, skipped: int) -> list[str]:
    """Return the closing lines: the best epoch, what was left out, where things are, what to type next."""
    lines = []
    if result.stopped_early:
        patience = run.config.training.early_stopping.patience
        lines.append(f"Stopped after {result.epochs} epochs: no gain in validation top-1 for {patience} epochs.")
    if result.best_top1 is not None:
        lines.append(f"Best validation top-1: {100 * result.best_top1:.2f} % in epoch {result.best_epoch}.")
    if skipped:
        lines.append(f"{skipped} images could not be read and were left out: {run.folder.skipped_images}")
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
