"""The only place that reaches into the kit: what a command line cannot do. Imports torch."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from configs.compose import compose
from configs.schema import Config
from data.dataset import Batch
from data.table import ImageClass
from models.checkpoint import make_checkpoint, save_checkpoint
from models.classifier import Classifier, build_classifier
from prediction.latency import Latency, measure_latency
from prediction.options import PredictionOptions
from prediction.pipeline import load_pipeline, with_views
from training.freezing import set_trainable
from training.memory_estimate import training_memory
from training.run import Run, set_up_run
from training.start import fresh_state
from training.state import TrainingState
from training.step import take_step


def config_of(keys: list[str]) -> Config:
    """Return the config of a command line."""
    return compose("config", keys)


@dataclass(frozen=True)
class SyntheticRun:
    """A run that trains again and again on the first batch of its own loader."""

    run: Run
    state: TrainingState
    batch: Batch

    def step(self) -> None:
        """Take one optimizer step."""
        take_step(self.run, self.state, self.state.model, [self.batch])


def synthetic_run(keys: list[str]) -> SyntheticRun:
    """Return a run before its first step."""
    run = set_up_run(config_of(keys))
    state, _ = fresh_state(run)
    set_trainable(state.model, run.config)
    return SyntheticRun(run, state, next(iter(run.train_loader)))


def memory_by_info(keys: list[str], classes: int) -> Callable[[int], int]:
    """Return the function that `info` has for 16-bit training of this config: batch size to bytes."""
    return training_memory(config_of(keys), classes, torch.bfloat16).total


def write_random_checkpoint(keys: list[str], classes: int, path: Path) -> None:
    """Write a best_model.pt with random weights."""
    config = config_of(keys)
    model = build_classifier(config.model.architecture, classes, config.model.input_size)
    facts = {
        "classes": [ImageClass(number, str(number), str(number)) for number in range(classes)],
        "class_counts": [1] * classes,
        "split": {"train": [], "val": [], "test": []},
        "corrections": {},
    }
    save_checkpoint(make_checkpoint(config, model, facts, {}, 1), path)


def latencies(checkpoint: Path, precision: str, view_sets: list[tuple[str, ...]], images: list[Path]) -> list[Latency]:
    """Return the latency for each set of views in one precision."""
    pipeline = load_pipeline(checkpoint, PredictionOptions(precision=precision))
    return [measure_latency(with_views(pipeline, views), images) for views in view_sets]


def is_training_pass(module: torch.nn.Module) -> bool:
    """Say whether `module` is a whole classifier that is being trained."""
    return isinstance(module, Classifier) and module.training


def train_here(keys: list[str]) -> int:
    """Run train.py in this process, so that its passes can be watched, and return its exit code."""
    import train as script
    from cli.entry import run_script

    sys.argv = ["train.py", *keys]
    try:
        run_script(script.main)
    except SystemExit as end:
        return int(end.code or 0)
