"""Where a run starts: anew, with an older run moved out of the way, or from a saved state."""

from pathlib import Path
from typing import Any

from configs.compose import leaf_keys, to_plain
from configs.errors import InputError
from engine.checkpoint import load_training_state, save_training_state
from engine.setup import Run, build_model, check_same_data, describe_table
from engine.state import TrainingState, new_state
from models.pretrained import WeightsReport, load_pretrained

# A run may go on with other values of these: they change how or how long it runs, not what it computes.
_FREE_KEYS = (
    "device",
    "output_dir",
    "experiment_name",
    "dataset.root",
    "dataset.train_csv",
    "dataset.train_dir",
    "dataset.num_workers",
    "model.pretrained",
    "model.weights",
    "training.name",
    "training.epochs",
    "training.compile",
    "training.resume",
    "training.checkpoint_every_minutes",
    "training.early_stopping.patience",
    "training.early_stopping.min_delta",
    "competition.name",
    "competition.max_model_mb",
    "competition.max_parameters",
)


def save_state(run: Run, state: TrainingState) -> None:
    """Write last.pt."""
    facts = {"config": to_plain(run.config), "split": describe_table(run)["split"]}
    save_training_state({**facts, "state": state.to_dict()}, run.folder.last)


def resume_file(run: Run) -> Path | None:
    """Return the state file that `training.resume` asks for, or None for a new run."""
    wanted = run.config.training.resume
    if wanted is None or (wanted == "auto" and not run.folder.last.is_file()):
        return None
    return run.folder.last if wanted == "auto" else Path(wanted)


def resume_run(run: Run, path: Path) -> tuple[TrainingState, list[str]]:
    """Return the state saved in `path` and what to tell the user. Raises InputError if it belongs to another run."""
    saved = load_training_state(path)
    for part in ("config", "split", "state"):
        if not isinstance(saved.get(part), dict):
            raise InputError(f"{path}: damaged: '{part}' is missing. Start anew with training.resume=null.")
    current = to_plain(run.config)
    changed = [key for key in leaf_keys() if _value(saved["config"], key) != _value(current, key)]
    refused = [f"{key} (was {_value(saved['config'], key)})" for key in changed if key not in _FREE_KEYS]
    if refused:
        raise InputError(
            f"{path}: its run had other values of {', '.join(refused)}. "
            "Give the same values, or start anew with training.resume=null."
        )
    check_same_data(run, saved["split"])
    state = new_state(build_model(run), run.config.training, run.device, run.precision)
    state.load_dict(saved["state"])
    notes = [f"resumed from {path}: {state.epoch} epochs and {state.step} steps are done"]
    if "training.epochs" in changed:
        was = _value(saved["config"], "training.epochs")
        notes.append(
            f"training.epochs is {run.config.training.epochs}, was {was}: the learning-rate schedule is recomputed"
        )
    return state, notes


def start_run(run: Run) -> tuple[TrainingState, WeightsReport | None, list[str]]:
    """Return the state of a new run and what to tell the user; an older run is moved away once this one can start."""
    model, report = build_model(run), None
    if run.config.model.pretrained:
        category_ids = [image_class.category_id for image_class in run.table.classes]
        report = load_pretrained(model, run.config.model.weights, category_ids)
    state = new_state(model, run.config.training, run.device, run.precision)
    archived = run.folder.archive()
    return state, report, [] if archived is None else [f"the older run moved to {archived}"]


def _value(plain: dict[str, Any], key: str) -> Any:
    value: Any = plain
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
