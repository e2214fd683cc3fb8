"""Hydra composes the YAML groups to one checked config; every mistake becomes one line."""

import dataclasses
import functools
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from common.errors import InputError, did_you_mean
from common.files import expand_home
from configs.options import CONFIG_DIR, EARLIER_NAMES, GROUPS, OPEN_MODEL, config_names, option_names
from configs.schema import Config
from configs.timm_models import SEARCH, is_timm_model, timm_model
from configs.validate import AUTO_KEYS, PATH_KEYS, RULE_KEYS, auto_keys, validate

FREE_KEYS = ("augmentation.train.", "augmentation.final.")

ConfigStore.instance().store(name="schema", node=Config)
for _earlier, _current in EARLIER_NAMES.items():
    ConfigStore.instance().store(group="competition", name=_earlier, node={"defaults": [_current]})


def compose(config_name: str = "config", overrides: Sequence[str] = (), allow_unused: bool = False) -> Config:
    """Return the typed, validated config of one run.

    `overrides` are Hydra's: `model=convnext_tiny`, `training.epochs=5`, `~augmentation.train.RandomFog`. Raises
    InputError, with the key and what it accepts, for an unknown key or option, a wrong type, a value out of range,
    and a key that the chosen mode would ignore, unless `allow_unused`.
    """
    if config_name not in config_names():
        raise InputError(f"{config_name}: no such config. Choose from {', '.join(config_names())}.")
    for text in listed(overrides):
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            raise InputError(f"{text!a}: is no valid UTF-8. Give another value, or rename the file or folder.")
    parsed = [parse_override(text) for text in overrides]
    for override in parsed:
        _check_override(override)
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIG_DIR)):
            composed = hydra_compose(config_name, overrides=[str(override.input_line) for override in parsed])
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_explain(error, parsed)) from error
    _fill_open_model(composed)
    return _to_config(composed, [] if allow_unused else explicit_keys(parsed))


def expand_sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Return one list of overrides for each job of a multirun, in Hydra's order (the last key varies fastest)."""
    parsed = [parse_override(text, sweep=True) for text in listed(overrides)]
    try:
        batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    except HydraException as error:
        raise InputError(_first_line(error)) from error
    return [job for batch in batches for job in batch]


def from_plain(plain: dict[str, Any], overrides: Sequence[str], allowed: Collection[str], source: str) -> Config:
    """Return the config stored in a checkpoint, changed by `overrides`.

    `allowed` are the keys that the calling script reads; another key is refused, because it would have no effect.
    `source` names the checkpoint in messages. Nothing in `plain` is evaluated: interpolations are refused. A key that
    an older checkpoint lacks gets its default.
    """
    if any("${" in text for text in _strings(plain)):
        raise InputError(f"{source}: its config contains an interpolation (${{...}}), which is never evaluated.")
    parsed = parse_allowed(overrides, allowed)
    try:
        config = OmegaConf.merge(OmegaConf.structured(Config), _defaults(), OmegaConf.create(plain))
        for override in parsed:
            OmegaConf.update(config, override.key_or_group, override.value())
    except OmegaConfBaseException as error:
        raise InputError(f"{source}: {_explain(error, parsed)}") from error
    whole = _to_config(config, [])
    for key in auto_keys(whole):
        raise InputError(f"{source}: {key}=auto: only training chooses a value. Give one, or leave the key out.")
    return whole


def parse_allowed(overrides: Sequence[str], allowed: Collection[str]) -> list[Override]:
    """Parse overrides of a checkpoint's config. Raises InputError for a key that is not `allowed` or badly written."""
    parsed = [parse_override(text) for text in listed(overrides)]
    for override in parsed:
        if override.key_or_group not in allowed:
            raise InputError(
                f"{override.key_or_group}: has no effect here; the model and its training are those of the checkpoint. "
                f"Keys that can be given: {', '.join(allowed)}."
            )
        _check_override(override)
    return parsed


@functools.cache
def _defaults() -> DictConfig:
    """Return the values of the default run without its augmentations, which belong to that run alone."""
    plain = to_plain(compose())
    plain["augmentation"] = {}
    return OmegaConf.create(plain)


def to_plain(config: Config) -> dict[str, Any]:
    """Return the config as nested dicts of plain values, fit for YAML and for a checkpoint."""
    return dataclasses.asdict(config)


def to_yaml(config: Config) -> str:
    """Return the config as YAML text."""
    return OmegaConf.to_yaml(OmegaConf.create(to_plain(config)))


def read_plain(path: Path) -> dict[str, Any]:
    """Return a run's config.yaml as plain values; a run of another version may have other keys.

    Raises ValueError if the file is damaged.
    """
    try:
        plain: Any = OmegaConf.to_container(OmegaConf.load(path))
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: damaged") from error
    if not isinstance(plain, dict):
        raise ValueError(f"{path}: damaged")
    return {str(key): value for key, value in plain.items()}


def leaves_of(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys of a config as plain containers with their values: `("training.epochs", 30)`, ..."""
    for name, value in plain.items():
        if isinstance(value, dict):
            yield from leaves_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@functools.cache
def leaf_keys() -> Mapping[str, Any]:
    """Return every key of the schema with its declared type, `{"training.epochs": int, ...}`."""
    return MappingProxyType(dict(_leaves(Config, "")))


def listed(overrides: Sequence[str]) -> list[str]:
    """Return the overrides as a list. Raises InputError for one text, whose letters would be taken for overrides."""
    if isinstance(overrides, str) or not all(isinstance(text, str) for text in overrides):
        raise InputError(f"{overrides!r:.80}: overrides are a list of texts, such as ['training.epochs=5'].")
    return list(overrides)


def parse_override(text: str, sweep: bool = False) -> Override:
    """Parse one override such as `training.epochs=5`.

    The value is taken as plain text if Hydra cannot parse it, or if Hydra reads it as a list, a number or a choice
    where the key expects text (a path, for example).
    """
    parser = OverridesParser.create()
    try:
        override = parser.parse_override(text)
        is_text = _is_text_key(override.key_or_group)
        if override.is_sweep_override():
            if sweep:
                return override
            if not is_text:
                raise InputError(
                    f"{text}: several values are a sweep: python train.py --multirun runs them one after the other."
                )
        elif not is_text or isinstance(override.value(), str | bool | None):
            return override
    except HydraException as error:
        if "=" not in text:
            raise InputError(f"{text}: not an override. Write key=value, for example training.epochs=5.") from error
    key, value = text.split("=", 1)
    is_list = value.startswith("[") and value.endswith("]") and not _is_text_key(key)
    quoted = f"[{','.join(_quoted(item.strip()) for item in value[1:-1].split(','))}]" if is_list else _quoted(value)
    try:
        return parser.parse_override(f"{key}={quoted}")
    except HydraException as error:
        raise InputError(f"{text}: cannot be read. Write key=value, for example training.epochs=5.") from error


def _quoted(value: str) -> str:
    text = value.replace("\\", "\\\\") if value.endswith("\\") else value
    return "'" + text.replace("'", "\\'") + "'"


def explicit_keys(overrides: Iterable[Override]) -> list[str]:
    """Return the leaf keys that the command line gives a value; a transform belongs to its list."""
    keys = [override.key_or_group.replace("/", ".") for override in overrides]
    lists = [prefix.rstrip(".") for prefix in FREE_KEYS]
    listed_in = {key: next((name for name in lists if key.startswith(f"{name}.")), key) for key in keys}
    return [listed_in[key] for key in keys if listed_in[key] in leaf_keys()]


def _is_text_key(key: str) -> bool:
    declared = leaf_keys().get(key)
    return declared is str or (str in typing.get_args(declared) and typing.get_origin(declared) is not list)


def _leaves(schema: Any, prefix: str) -> Iterable[tuple[str, Any]]:
    types = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        declared = types[field.name]
        if dataclasses.is_dataclass(declared):
            yield from _leaves(declared, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, declared


def _check_override(override: Override) -> None:
    key, leaves = override.key_or_group, leaf_keys()
    if key.startswith(("hydra.", "hydra/")) or key == "hydra":
        raise InputError(f"{key}: Hydra's own settings are fixed here; output_dir= says where a run writes.")
    if key in GROUPS:
        earlier = EARLIER_NAMES if key == "competition" else {}
        if override.value() not in [*option_names(key), *earlier]:
            if key == "model" and is_timm_model(str(override.value())):
                raise InputError(
                    f"model={override.value()} is not an option of the kit, but timm has it: "
                    f"model={OPEN_MODEL} model.architecture={override.value()}"
                )
            raise InputError(
                f"{key}={override.value()}: no such option.{did_you_mean(str(override.value()), option_names(key))} "
                f"Choose from {', '.join(option_names(key))}."
            )
    elif key.startswith(FREE_KEYS):
        return
    elif key not in leaves and not any(leaf.startswith(f"{key}.") for leaf in leaves):
        raise InputError(f"{key}: unknown key.{did_you_mean(key, leaves) or _siblings(key)}")
    elif override.is_delete():
        raise InputError(f"~{key}: this key cannot be removed; give it another value.")
    elif key in leaves and _is_wrong_bool(key, override.value()):
        raise InputError(f"{key}={str(override.value()).lower()}: expected {_type_name(leaves[key])}.")


def _is_wrong_bool(key: str, value: Any) -> bool:
    """Say whether true or false is given for a key that takes neither; keys that may be `auto` have their own check."""
    return isinstance(value, bool) and leaf_keys()[key] is not bool and key not in {**AUTO_KEYS, **RULE_KEYS}


def _siblings(key: str) -> str:
    parent = key.rpartition(".")[0]
    known = [leaf for leaf in leaf_keys() if leaf.rpartition(".")[0] == parent]
    if not known:
        return f" The sections are {', '.join(GROUPS)}."
    return f" Keys beside it: {', '.join(leaf.rpartition('.')[2] for leaf in known)}."


def _type_name(declared: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    options = typing.get_args(declared)
    if typing.get_origin(declared) is list:
        return "a list, such as [a,b]"
    if options:
        return " or ".join(names.get(option, "null") for option in options)
    return names.get(declared, "a number or a list of numbers")


def _explain(error: Exception, overrides: Sequence[Override]) -> str:
    """Say in one line what Hydra or OmegaConf refused, naming the override that caused it."""
    for override in overrides:
        if override.input_line and override.input_line in str(error):
            if override.key_or_group in leaf_keys():
                return f"{override.input_line}: expected {_type_name(leaf_keys()[override.key_or_group])}."
            hint = "" if override.is_add() or override.is_delete() else " A new entry needs a + before its key."
            return f"{override.input_line}: no such key in the chosen augmentation.{hint}"
        if override.is_delete() and override.key_or_group in str(error):
            return (
                f"~{override.key_or_group}: the chosen augmentation has no such transform; "
                "python train.py --cfg job prints those that it has."
            )
        if getattr(error, "full_key", None) == override.key_or_group:
            return f"{override.input_line}: expected {_type_name(leaf_keys()[override.key_or_group])}."
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _to_config(composed: DictConfig | ListConfig, explicit: Sequence[str]) -> Config:
    try:
        _expand_paths(composed)
        config = cast(Config, OmegaConf.to_object(composed))
    except MissingMandatoryValue as error:
        missing = ", ".join(sorted(OmegaConf.missing_keys(composed)))
        raise InputError(f"{missing}: no value. The YAML file of each chosen option must give all keys.") from error
    except OmegaConfBaseException as error:
        raise InputError(_first_line(error)) from error
    validate(config, explicit)
    return config


def _fill_open_model(composed: DictConfig) -> None:
    """Give the keys that `model=timm` leaves open the values that timm states of its architecture."""
    model = composed.model
    if OmegaConf.is_missing(model, "architecture"):
        raise InputError(f"model={OPEN_MODEL}: say which model of timm with model.architecture=<name>. {SEARCH}.")
    left_open = [key for key in ("input_size", "crop_pct") if OmegaConf.is_missing(model, key)]
    if not left_open:
        return
    found = timm_model(model.architecture)
    if "input_size" in left_open and found.input_size is None:
        raise InputError(
            f"{found.name}: timm states no square size for it. Give one: model.input_size=224 (or another)."
        )
    for key in left_open:
        model[key] = getattr(found, key)
    model.architecture = found.name


def _expand_paths(composed: DictConfig | ListConfig) -> None:
    for key in PATH_KEYS:
        value = None if OmegaConf.is_missing(composed, key) else OmegaConf.select(composed, key)
        if isinstance(value, str):
            OmegaConf.update(composed, key, expand_home(value))
        elif isinstance(value, ListConfig):
            OmegaConf.update(composed, key, [expand_home(item) if isinstance(item, str) else item for item in value])
