"""Checks beyond types: values out of range, and keys that the chosen mode would ignore."""

import dataclasses
import math
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from common.errors import InputError, check_choice
from configs.options import HEADS
from configs.schema import Config, DemoConfig

CHOICES = {
    "device": ("auto", "cuda", "mps", "cpu"),
    "dataset.source": ("folder", "demo", "flowers102"),
    "dataset.sampler": ("shuffle", "balanced", "sqrt"),
    "competition.zip_layout.code": ("template", "kit"),
    "model.head": HEADS,
    "model.fit": ("crop", "pad", "stretch"),
    "training.head_init": ("random", "probe"),
    "training.scheduler": ("cosine", "linear", "constant"),
    "training.amp_dtype": ("auto", "float16", "bfloat16"),
    "training.loss_function": (
        "cross_entropy",
        "label_smoothing",
        "focal",
        "class_balanced_focal",
        "bce",
        "logit_adjusted",
        "balanced_softmax",
    ),
}

# keys that may be `auto`, which training replaces by a value before its first step: their kinds of value
AUTO_KEYS = {
    "dataset.batch_size": (int,),
    "model.grad_checkpointing": (bool,),
    "training.learning_rate": (float, int, type(None)),
    "training.final_input_size": (int, type(None)),
}

# keys whose `auto` is a rule for the end of training, and stays in the config: their kinds of value
RULE_KEYS = {"training.start_mix": (float, int)}

_KINDS = {int: "a whole number", float: "a number", bool: "true, false", type(None): "null"}

# key: (lowest, highest, lowest and highest excluded?)
RANGES = {
    "seed": (0, 2**32 - 1, ""),
    "model.drop_path_rate": (0, 1, "high"),
    "model.drop_rate": (0, 1, "high"),
    "model.input_size": (16, 4096, ""),
    "model.crop_pct": (0, 1, "low"),
    "dataset.val_split": (0, 1, "high"),
    "dataset.num_folds": (2, 1000, ""),
    "dataset.fold": (0, 999, ""),
    "dataset.batch_size": (1, 65536, ""),
    "dataset.num_workers": (0, 256, ""),
    "dataset.loader_timeout": (0, 86400, ""),
    "dataset.max_bad_fraction": (0, 1, ""),
    "dataset.demo.classes": (2, 100, ""),
    "dataset.demo.images_per_class": (2, 100000, ""),
    "dataset.demo.image_size": (32, 1024, ""),
    "dataset.demo.seed": (0, 2**32 - 1, ""),
    "model.eval_input_size": (16, 4096, ""),
    "model.finetune_learning_rate": (0, 10, "low"),
    "dataset.test_split": (0, 1, "high"),
    "training.final_epochs": (0, 100000, ""),
    "training.final_input_size": (16, 4096, ""),
    "training.class_balance_beta": (0, 1, "high"),
    "training.distillation_weight": (0, 1, "low"),
    "training.distillation_temperature": (0, 100, "low"),
    "training.epochs": (0, 100000, "low"),
    "training.max_minutes": (0, 100000, "low"),
    "training.learning_rate": (0, 10, "low"),
    "training.weight_decay": (0, 10, ""),
    "training.warmup_epochs": (0, 100000, ""),
    "training.backbone_warmup_epochs": (0, 100000, ""),
    "training.min_lr": (0, 10, ""),
    "training.layer_decay": (0, 1, "low"),
    "training.head_lr_multiplier": (0, 1000, "low"),
    "training.freeze_epochs": (0, 100000, ""),
    "training.freeze_layers": (0, 1, "high"),
    "training.focal_gamma": (0, 20, ""),
    "training.label_smoothing": (0, 1, "high"),
    "training.logit_adjustment": (0, 10, ""),
    "training.mixup_alpha": (0, 100, ""),
    "training.cutmix_alpha": (0, 100, ""),
    "training.mix_off_epochs": (0, 100000, ""),
    "training.accumulation_steps": (1, 65536, ""),
    "training.clip_grad_norm": (0, 1e9, "low"),
    "training.ema_decay": (0, 1, "both"),
    "training.start_mix": (0, 0.5, ""),
    "training.early_stopping.patience": (1, 100000, ""),
    "training.early_stopping.min_delta": (0, 1, ""),
    "training.max_bad_steps": (1, 100000, ""),
    "training.checkpoint_every_minutes": (0, 100000, "low"),
    "competition.max_model_mb": (0, 1e9, "low"),
    "competition.max_parameters": (0, 1e15, "low"),
    "competition.max_latency_ms": (0, 1e9, "low"),
    "competition.input_size": (16, 10000, ""),
}

# keys that hold a path, or a list of them; `~` at its start is the home folder
PATH_KEYS = (
    "output_dir",
    "dataset.root",
    "dataset.train_csv",
    "dataset.train_dir",
    "dataset.val_csv",
    "dataset.test_dir",
    "model.weights",
    "training.teacher",
    "training.resume",
)

# words of `competition.command` that are filled in
PLACEHOLDERS = ("{test_dir}", "{output}", "{models}", "{views}")

# keys: (are they used?, the setting that makes them used)
USED_WHEN: dict[tuple[str, ...], tuple[Callable[[Config], bool], str]] = {
    ("training.focal_alpha",): (
        lambda config: config.training.loss_function == "focal",
        "training.loss_function=focal",
    ),
    ("training.focal_gamma",): (
        lambda config: config.training.loss_function in ("focal", "class_balanced_focal"),
        "training.loss_function=focal or class_balanced_focal",
    ),
    ("training.label_smoothing",): (
        lambda config: config.training.loss_function != "cross_entropy",
        "training.loss_function=label_smoothing, or any other than cross_entropy",
    ),
    ("training.logit_adjustment",): (
        lambda config: config.training.loss_function == "logit_adjusted",
        "training.loss_function=logit_adjusted",
    ),
    ("training.min_lr",): (
        lambda config: config.training.scheduler != "constant",
        "training.scheduler=cosine or linear",
    ),
    ("training.mix_off_epochs",): (
        lambda config: config.training.mixup_alpha > 0 or config.training.cutmix_alpha > 0,
        "training.mixup_alpha or training.cutmix_alpha above 0",
    ),
    ("training.final_input_size", "augmentation.final"): (
        lambda config: config.training.final_epochs > 0,
        "training.final_epochs above 0",
    ),
    (
        "training.distillation_weight",
        "training.distillation_temperature",
        "training.distillation_hard_labels",
    ): (lambda config: config.training.teacher is not None, "training.teacher=<checkpoint>"),
    ("training.class_balance_beta",): (
        lambda config: config.training.loss_function == "class_balanced_focal",
        "training.loss_function=class_balanced_focal",
    ),
    ("training.resume_force",): (lambda config: config.training.resume is not None, "training.resume=auto or a file"),
    ("dataset.loader_timeout",): (lambda config: config.dataset.num_workers != 0, "dataset.num_workers above 0"),
    ("training.accumulation_steps",): (
        lambda config: config.dataset.batch_size != "auto",
        "dataset.batch_size=8 (or another number)",
    ),
    ("training.amp_dtype",): (lambda config: config.training.use_amp, "training.use_amp=true"),
    ("training.allow_tf32",): (lambda config: config.device in ("auto", "cuda"), "device=auto or cuda"),
    ("training.epochs", "training.early_stopping.patience"): (
        lambda config: config.training.max_minutes is None,
        "training.max_minutes=null",
    ),
    ("training.early_stopping.patience", "training.early_stopping.min_delta"): (
        lambda config: config.dataset.fold is not None or config.dataset.val_split > 0,
        "dataset.val_split above 0",
    ),
    ("model.finetune_learning_rate",): (
        lambda config: config.training.learning_rate is None,
        "training.learning_rate=null",
    ),
    ("training.freeze_batchnorm", "training.freeze_layers"): (
        lambda config: config.model.pretrained,
        "model.pretrained=true",
    ),
    ("training.start_mix",): (
        lambda config: config.model.pretrained and config.training.head_init == "probe",
        "model.pretrained=true and training.head_init=probe",
    ),
    ("model.crop_pct",): (lambda config: config.model.fit == "crop", "model.fit=crop"),
    ("model.weights",): (lambda config: config.model.pretrained, "model.pretrained=true"),
    ("dataset.val_split",): (lambda config: config.dataset.fold is None, "dataset.fold=null"),
    ("dataset.num_folds",): (lambda config: config.dataset.fold is not None, "dataset.fold=0 (or another fold)"),
    tuple(f"dataset.demo.{field.name}" for field in dataclasses.fields(DemoConfig)): (
        lambda config: config.dataset.source == "demo",
        "dataset=demo",
    ),
    ("dataset.train_csv", "dataset.train_dir", "dataset.val_csv"): (
        lambda config: config.dataset.source == "folder",
        "dataset=flower100, or another data set on disk",
    ),
}


def validate(config: Config, explicit: Sequence[str]) -> None:
    """Raise InputError for a value out of range, and for a key of `explicit` that would be ignored.

    `explicit` are the leaf keys that the command line gave a value.
    """
    for key, choices in CHOICES.items():
        check_choice(f"{key}={_value(config, key)}", _value(config, key), choices)
    for key, kinds in {**AUTO_KEYS, **RULE_KEYS}.items():
        _check_auto(key, _value(config, key), kinds)
    for key, (low, high, excluded) in RANGES.items():
        _check_range(key, _value(config, key), low, high, excluded)
    _check_text(config)
    _check_command(config.competition.command)
    _check_focal_alpha(config.training.focal_alpha)
    _check_teacher(config.training.teacher, config.training.ema_decay)
    if config.dataset.fold is not None and config.dataset.fold >= config.dataset.num_folds:
        raise InputError(
            f"dataset.fold={config.dataset.fold}: expected 0 to {config.dataset.num_folds - 1}, "
            f"because dataset.num_folds={config.dataset.num_folds}."
        )
    for keys, (is_used, remedy) in USED_WHEN.items():
        for key in keys:
            if key in explicit and not is_used(config):
                raise InputError(f"{key}: would be ignored by this run. It is used with {remedy}.")


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def auto_keys(config: Config) -> list[str]:
    """Return the keys whose value is `auto`."""
    return [key for key in AUTO_KEYS if _value(config, key) == "auto"]


def _check_auto(key: str, value: Any, kinds: Sequence[type]) -> None:
    if value != "auto" and type(value) not in kinds:
        shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
        words = ", ".join(_KINDS[kind] for kind in kinds if kind is not int or float not in kinds)
        raise InputError(f"{key}={shown}: expected {words} or auto.")


def _check_range(key: str, value: float | str | None, low: float, high: float, excluded: str) -> None:
    if value is None or isinstance(value, str):
        return
    above = value > low if excluded in ("low", "both") else value >= low
    below = value < high if excluded in ("high", "both") else value <= high
    if not (math.isfinite(value) and above and below):
        lower = "more than" if excluded in ("low", "both") else "at least"
        upper = "less than" if excluded in ("high", "both") else "at most"
        raise InputError(f"{key}={value:g}: expected {lower} {low:.12g} and {upper} {high:.12g}.")


def _check_text(config: Config) -> None:
    for key in ("experiment_name", "model.architecture", *PATH_KEYS):
        value = _value(config, key)
        if isinstance(value, str) and (not value.strip() or "\0" in value):
            raise InputError(f"{key}: must not be empty.")


def _check_command(command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    known = all(word in PLACEHOLDERS for word in words if "{" in word)
    if not known or not words or not words[0].startswith("python") or not {"{test_dir}", "{output}"} <= set(words):
        raise InputError(
            f"competition.command={command}: expected python, a script of code/, and the words {{test_dir}} and "
            "{output}; {models} and {views} are filled in too."
        )


def _check_focal_alpha(alpha: Any) -> None:
    values = alpha if isinstance(alpha, list) and alpha else [alpha]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
            raise InputError(f"training.focal_alpha={alpha}: expected a number above 0, or a list of one per class.")


def _check_teacher(teacher: Any, ema_decay: float | None) -> None:
    paths = teacher if isinstance(teacher, list) else [teacher]
    if teacher is not None and not (paths and all(isinstance(path, str) and path.strip() for path in paths)):
        raise InputError(f"training.teacher={teacher}: expected a file, a list of checkpoints, ema, or null.")
    if teacher == "ema" and ema_decay is None:
        raise InputError("training.teacher=ema: needs averaged weights, such as training.ema_decay=0.995.")
