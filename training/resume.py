"""Resuming: last.pt holds the state of a run; training continues from it as if it had never stopped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.torch_files import FORMAT_VERSION, load_payload, save_payload
from configs.compose import compose, leaf_keys, to_plain
from configs.schema import Config
from configs.validate import auto_keys
from training.auto_settings import with_values
from training.run import Run, check_same_data
from training.run_folder import RunFolder
from training.start import Start, build_model, mixes_start, state_of

STATE_FORMAT = "flower-kit-training-state"

# Keys that may change on resume: they decide how or how long a run works, not what it computes.
_FREE_KEYS = (
    "device",
    "output_dir",
    "experiment_name",
    "dataset.root",
    "dataset.train_csv",
    "dataset.train_dir",
    "dataset.val_csv",
    "dataset.test_dir",
    "dataset.num_workers",
    "dataset.loader_timeout",
    "dataset.max_bad_fraction",
    "model.pretrained",
    "model.weights",
    "model.finetune_learning_rate",
    "training.name",
    "training.epochs",
    "training.max_minutes",
    "training.compile",
    "training.allow_tf32",
    "training.resume",
    "training.resume_force",
    "training.max_bad_steps",
    "training.checkpoint_every_minutes",
    "training.early_stopping.patience",
    "training.early_stopping.min_delta",
)
# Keys that follow from `training.max_minutes`.
PLANNED_KEYS = (
    "training.epochs",
    "training.warmup_epochs",
    "training.backbone_warmup_epochs",
    "training.freeze_epochs",
    "training.mix_off_epochs",
    "training.final_epochs",
    "training.early_stopping.patience",
)

# Training reads no key of these sections.
_FREE_SECTIONS = ("competition.",)

# Keys that always change on resume, or have a line of their own.
_NOT_SAID = ("training.resume", "training.resume_force", "training.epochs", "training.max_minutes", "output_dir")


def resume_files(config: Config) -> list[Path]:
    """Return the state files named by `training.resume`, newest first; empty for a new run."""
    wanted, folder = config.training.resume, RunFolder(Path(config.output_dir))
    if wanted == "auto":
        return [path for path in (folder.last, folder.previous) if path.is_file()]
    return [] if wanted is None else [Path(wanted)]


def with_saved_choices(config: Config) -> tuple[Config, list[str]]:
    """Return the config of a resumed run with what its first start chose, and its sentences.

    It chose in place of `auto`, and the epochs that fit into `training.max_minutes`.
    """
    keys = [*auto_keys(config), *([] if config.training.max_minutes is None else PLANNED_KEYS)]
    paths = resume_files(config) if keys else []
    if not paths:
        return config, []
    _, whole, _ = _first_whole(paths)
    saved = whole["config"]
    if config.training.max_minutes is not None and _value(saved, "training.max_minutes") is None:
        raise InputError(
            f"training.max_minutes={config.training.max_minutes:g}: the run that is resumed was planned in epochs. "
            "Give training.epochs instead, or start anew with training.resume=null."
        )
    values = {key: _value(saved, key) for key in keys}
    if "dataset.batch_size" in values:
        # both were chosen together
        values["training.accumulation_steps"] = _value(saved, "training.accumulation_steps")
    # files of earlier versions have no sentences
    return with_values(config, values), whole.get("choices", [])


def resume_run(run: Run, paths: Sequence[Path]) -> Start:
    """Return the first complete state of `paths`, with notes on changed keys.

    Raises InputError if no file is complete, or if it belongs to another run.
    """
    path, saved, notes = _first_whole(paths)
    changed = _changed_keys(saved["config"], to_plain(run.config))
    refused = [f"{key} (was {was})" for key, was in changed.items() if not _is_free(key)]
    if refused and not run.config.training.resume_force:
        raise InputError(
            f"{path}: its run had other values of {', '.join(refused)}. Give the same values, start anew with "
            "training.resume=null, or go on regardless with training.resume_force=true."
        )
    check_same_data(run, saved)
    state = state_of(run, build_model(run))
    state.load_dict(saved["state"])
    if mixes_start(run.config) and state.start is None:
        raise InputError(
            f"{path}: lacks the weights of the run's start, which training.start_mix={run.config.training.start_mix} "
            "needs. Give training.start_mix=0, or start anew with training.resume=null."
        )
    notes.append(f"resumed from {path}: {state.epoch} epochs and {state.step} steps are done")
    if refused:
        notes.append(
            f"note: training.resume_force=true, the run goes on with other values of {', '.join(refused)}, which count "
            "from here on"
        )
    notes += _notes_on_precision(run, bool(saved["state"]["scaler"]), state.scaler.is_enabled())
    harmless = [f"{key} (was {was})" for key, was in changed.items() if _is_free(key) and key not in _NOT_SAID]
    if harmless:
        notes.append(f"note: changed since, without effect on the result: {', '.join(harmless)}")
    if run.config.training.max_minutes is not None and "training.max_minutes" in changed:
        was = _value(saved["config"], "training.max_minutes")
        notes.append(
            f"training.max_minutes is {run.config.training.max_minutes:g}, was {was:g}: the epochs stay those of the "
            "first start; a run that would be late is shortened, and more minutes add nothing"
        )
    if "training.epochs" in changed:
        was = _value(saved["config"], "training.epochs")
        notes.append(
            f"training.epochs is {run.config.training.epochs:g}, was {was:g}: the learning-rate schedule is recomputed"
        )
    return Start(state, None, notes)


def _notes_on_precision(run: Run, was_float16: bool, is_float16: bool) -> list[str]:
    """Return a note if the run goes on with float16 gradients that it did not have before, or the other way round."""
    if was_float16 == is_float16:
        return []
    if is_float16:
        return [f"note: the run so far had no float16; it goes on in {run.precision}, with a fresh scale of gradients"]
    return [f"note: the run so far was in mixed float16; it goes on in {run.precision}, without a scale of gradients"]


def _is_free(key: str) -> bool:
    return key in _FREE_KEYS or key.startswith(_FREE_SECTIONS)


def _first_whole(paths: Sequence[Path]) -> tuple[Path, dict[str, Any], list[str]]:
    """Return the first readable file, its content, and a note on each damaged file before it."""
    notes = []
    for path in paths:
        try:
            saved = load_training_state(path)
        except InputError as error:
            if path == paths[-1]:
                raise
            notes.append(f"warning: {error} The state saved before it is taken instead.")
        else:
            return path, saved, notes
    raise ValueError("no paths")


def _changed_keys(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the config keys whose values differ, with their old values; a key that an older file lacks was default."""
    defaults = to_plain(compose())
    was = {key: _value(before, key, default=_value(defaults, key)) for key in leaf_keys()}
    return {key: value for key, value in was.items() if value != _value(now, key)}


def _value(plain: dict[str, Any], key: str, default: Any = None) -> Any:
    value: Any = plain
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return default
        value = value[part]
    return value


def save_training_state(state: dict[str, Any], path: Path, previous: Path) -> None:
    """Write the state atomically; an older file at `path` moves to `previous`."""
    save_payload({"format": STATE_FORMAT, "format_version": FORMAT_VERSION, **state}, path, previous)


def load_training_state(path: Path) -> dict[str, Any]:
    """Read last.pt. Raises InputError if it is missing, damaged, or not of this kit."""
    saved = load_payload(path, STATE_FORMAT)
    for part in ("config", "split", "state"):
        if not isinstance(saved.get(part), dict):
            raise InputError(f"{path}: damaged: '{part}' is missing. Start anew with training.resume=null.")
    return saved
