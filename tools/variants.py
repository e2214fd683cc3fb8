"""The variants of an ablation: a recipe with one ingredient changed. Imports nothing heavy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.errors import InputError, did_you_mean
from configs.compose import compose
from configs.input_sizes import final_size
from configs.schema import Config
from configs.timm_models import with_final_size

BASE = "base"


@dataclass(frozen=True)
class Ingredient:
    """A part of a recipe: whether a config has it, the overrides without it, and those with it."""

    is_on: Callable[[Config], bool]
    off: tuple[str, ...]
    on: Callable[[Config], tuple[str, ...]]


@dataclass(frozen=True)
class Variant:
    """The base recipe with `overrides` after its own."""

    name: str
    overrides: tuple[str, ...]


def _number(key: str, off: float | None, on: float) -> Ingredient:
    section, _, name = key.partition(".")
    written = "null" if off is None else off
    return Ingredient(
        lambda config: getattr(getattr(config, section), name) != off,
        (f"{key}={written}",),
        lambda config: (f"{key}={on}",),
    )


INGREDIENTS = {
    "ema": _number("training.ema_decay", None, 0.995),
    "layer_decay": _number("training.layer_decay", 1.0, 0.8),
    "head_lr": _number("training.head_lr_multiplier", 1.0, 5.0),
    "freeze": _number("training.freeze_epochs", 0, 1),
    "freeze_layers": _number("training.freeze_layers", 0, 0.35),
    "warmup": _number("training.warmup_epochs", 0, 1),
    "backbone_warmup": _number("training.backbone_warmup_epochs", 0, 4),
    "weight_decay": _number("training.weight_decay", 0, 0.05),
    "clip": _number("training.clip_grad_norm", None, 1.0),
    "mixup": _number("training.mixup_alpha", 0, 0.2),
    "cutmix": _number("training.cutmix_alpha", 0, 1.0),
    "drop_path": _number("model.drop_path_rate", 0, 0.1),
    "dropout": _number("model.drop_rate", 0, 0.2),
    "final_epochs": _number("training.final_epochs", 0, 2),
    "start_mix": Ingredient(
        lambda config: config.training.start_mix != 0 and config.training.head_init == "probe",
        ("training.start_mix=0",),
        lambda config: ("training.head_init=probe", "training.start_mix=0.2"),
    ),
    "own_teacher": Ingredient(
        lambda config: config.training.teacher == "ema",
        ("training.teacher=null",),
        lambda config: (f"training.ema_decay={config.training.ema_decay or 0.995}", "training.teacher=ema"),
    ),
    # an optimizer has its own rate and decay: SGD's decay is a gradient, and its steps do not have the size of the rate
    "sgd": Ingredient(
        lambda config: config.training.optimizer == "sgd",
        ("training.optimizer=adamw", "training.learning_rate=null", "training.weight_decay=0.05"),
        lambda config: ("training.optimizer=sgd", "training.learning_rate=0.03", "training.weight_decay=0.0005"),
    ),
    "head_init": Ingredient(
        lambda config: config.training.head_init == "probe",
        ("training.head_init=random",),
        lambda config: ("training.head_init=probe",),
    ),
    "freeze_batchnorm": Ingredient(
        lambda config: config.training.freeze_batchnorm,
        ("training.freeze_batchnorm=false",),
        lambda config: ("training.freeze_batchnorm=true",),
    ),
    "cosine": Ingredient(
        lambda config: config.training.scheduler == "cosine",
        ("training.scheduler=constant",),
        lambda config: ("training.scheduler=cosine",),
    ),
    "label_smoothing": Ingredient(
        lambda config: config.training.loss_function != "cross_entropy" and config.training.label_smoothing > 0,
        ("training.label_smoothing=0",),
        lambda config: ("training.loss_function=label_smoothing", "training.label_smoothing=0.1"),
    ),
    "final_size": Ingredient(
        lambda config: final_size(with_final_size(config)) != config.model.input_size,
        ("training.final_input_size=null",),
        lambda config: (
            f"training.final_epochs={config.training.final_epochs or 2}",
            f"training.final_input_size={_larger(config.model.input_size)}",
        ),
    ),
    "eval_size": Ingredient(
        lambda config: config.model.eval_input_size not in (None, final_size(with_final_size(config))),
        ("model.eval_input_size=null",),
        lambda config: (f"model.eval_input_size={_larger(final_size(with_final_size(config)))}",),
    ),
    "augmentation": Ingredient(
        lambda config: config.augmentation.name != "light",
        ("augmentation=light",),
        lambda config: ("augmentation=medium",),
    ),
}


def _larger(size: int) -> int:
    """Return about 1.25 times a size, a multiple of 32."""
    return max(round(size * 1.25 / 32), size // 32 + 1) * 32


def variants_of(base: Sequence[str], names: Sequence[str], own: Sequence[str]) -> list[Variant]:
    """Return the base, then a variant for each ingredient, without it if the base has it and else with it.

    `own` are further variants, as in `plain: training.ema_decay=null training.layer_decay=1`.
    """
    config = compose("config", base)
    variants = [Variant(BASE, ())]
    for name in names:
        if name not in INGREDIENTS:
            hint = did_you_mean(name, INGREDIENTS)
            raise InputError(f"{name}: no such ingredient.{hint} Choose from {', '.join(INGREDIENTS)}.")
        ingredient = INGREDIENTS[name]
        on = ingredient.is_on(config)
        variants.append(
            Variant(f"{'without' if on else 'with'} {name}", ingredient.off if on else ingredient.on(config))
        )
    for text in own:
        name, colon, overrides = text.partition(":")
        if not colon or not name.strip() or not overrides.strip():
            raise InputError(f"variant {text}: expected a name, a colon and overrides.")
        variants.append(Variant(name.strip(), tuple(overrides.split())))
    if len({variant.name for variant in variants}) < len(variants):
        raise InputError("Two variants have the same name.")
    return variants
