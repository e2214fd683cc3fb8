"""The files that the config of a training names, looked for before torch is imported."""

from pathlib import Path
from typing import Any

from common.checkpoint_file import check_checkpoint
from configs.schema import Config
from models.weight_file import check_weight_file
from prediction.recorded import check_probabilities


def check_named_files(config: Config) -> None:
    """Raise InputError if a state to resume, a teacher or a file of weights is missing, or by its outside is none."""
    resume, model = config.training.resume, config.model
    weights = None if not model.pretrained or resume is not None else model.weights
    if resume not in (None, "auto"):
        check_checkpoint(Path(resume))
    for path in teacher_files(config.training.teacher):
        (check_probabilities if path.suffix == ".npz" else check_checkpoint)(path)
    # a run that goes on has its weights
    if weights not in (None, "hub", "pip") and not Path(weights).is_dir():
        check_weight_file(Path(weights))


def teacher_files(source: Any) -> list[Path]:
    """Return the files of `training.teacher`, which is None, ema, a file or a list of files."""
    if source in (None, "ema"):
        return []
    return [Path(path) for path in (source if isinstance(source, list) else [source])]
