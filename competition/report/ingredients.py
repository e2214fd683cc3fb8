"""The ingredients of a run that are on, each with a sentence and its source, from ingredients.yaml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from competition.report.document import Say
from competition.report.run_record import Facts
from competition.report.writer import Writer
from configs.compose import leaves_of, to_plain
from training.start_mix import SHARE

_TABLE = Path(__file__).with_name("ingredients.yaml")

_CONDITION = re.compile(r"(\S+)(?:\s*(!=|=|~)\s*(.+))?")

_PLACE = re.compile(r"\{([\w.]+)(?::(\w+))?\}")

_CHINESE = r"[\u3000-\u9fff\uff00-\uffef]"


@dataclass(frozen=True)
class Ingredient:
    """One entry of ingredients.yaml: conditions, the keys of its sources, and its sentence by language."""

    part: str
    when: tuple[str, ...]
    cite: tuple[str, ...]
    sentences: Mapping[str, str]


@cache
def read_ingredients() -> tuple[Ingredient, ...]:
    """Return the entries of ingredients.yaml, in their order."""
    return tuple(
        Ingredient(
            entry["part"],
            tuple(entry["when"]),
            tuple(entry.get("cite", ())),
            # a folded line of YAML ends with a space, which Chinese does not have
            {"en": entry["en"], "zh": re.sub(rf"(?<={_CHINESE}) (?={_CHINESE})", "", entry["zh"])},
        )
        for entry in _read()["ingredients"]
    )


@cache
def read_references() -> Mapping[str, str]:
    """Return the sources by key."""
    return _read()["references"]


def _read() -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(_TABLE))  # type: ignore[return-value]


def values_of(facts: Facts) -> dict[str, Any]:
    """Return what conditions and sentences may name: the config's keys, and facts of the run.

    A transform of the augmentation is a key of its own. `run.views` and `run.models` are 0 for a single one.
    """
    config = to_plain(facts.config)
    metrics, recipe = facts.metrics or {}, facts.recipe or {}
    views = len(metrics.get("views") or recipe.get("views") or ["identity"])
    models = len(metrics.get("checkpoints") or recipe.get("checkpoints") or [1])
    transforms = {f"augmentation.train.{name}": True for name in config["augmentation"]["train"]}
    return {
        **dict(leaves_of(config)),
        **transforms,
        "run.views": views if views > 1 else 0,
        "run.models": models if models > 1 else 0,
        "run.start_share": facts.checkpoint.metrics.get(SHARE, 0),
        "run.range_test": any("range test" in choice for choice in facts.checkpoint.choices),
    }


def holds(condition: str, values: Mapping[str, Any]) -> bool:
    """Say whether a condition of ingredients.yaml holds."""
    match = _CONDITION.fullmatch(condition)
    if match is None:
        raise ValueError(f"not a condition: {condition}")
    key, sign, wanted = match.groups()
    value = values.get(key)
    if sign is None:
        return bool(value)
    if sign == "~":
        return re.search(wanted, str(value)) is not None
    shown = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return (shown == wanted) == (sign == "=")


def sentences_of(part: str, facts: Facts, writer: Writer) -> list[str]:
    """Return the sentences of a part on what is on in this run; of the backbones, the first that matches."""
    values, found = values_of(facts), []
    for ingredient in read_ingredients():
        if ingredient.part == part and all(holds(condition, values) for condition in ingredient.when):
            found.append(_filled(ingredient, values, writer))
            if part == "backbone":
                break
    return found


def _filled(ingredient: Ingredient, values: Mapping[str, Any], writer: Writer) -> str:
    def fill(match: re.Match[str]) -> str:
        name, source = match.groups()
        if name == "cite":
            return writer.cite(*((source,) if source else ingredient.cite))
        return writer.general(values[name])

    return _PLACE.sub(fill, ingredient.sentences[writer.language])


def variant_name(variant: str, say: Say) -> str:
    """Return the name of an ablation's variant in words: `without ema` is one of the ingredients of `ablate`."""
    for prefix, words in (("without ", ("without", "去掉")), ("with ", ("with", "加入"))):
        names = _read_variants().get(variant.removeprefix(prefix)) if variant.startswith(prefix) else None
        if names:
            # between Chinese and Latin letters stands a space
            space = " " if names["zh"][0].isascii() else ""
            return say(f"{words[0]} {names['en']}", f"{words[1]}{space}{names['zh']}")
    return variant


@cache
def _read_variants() -> Mapping[str, Mapping[str, str]]:
    return _read()["variants"]
