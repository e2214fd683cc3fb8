"""The words of a search: fixed ones, ranges of numbers and lists of choices, checked before anything trains."""

import itertools
import math
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import InputError
from common.packages import require_package
from configs.compose import FREE_KEYS, compose, expand_sweep, explicit_keys, leaf_keys, listed, parse_override
from configs.options import GROUPS
from configs.schema import Config
from configs.validate import AUTO_KEYS, RULE_KEYS, USED_WHEN

# a range that spans more than this factor is sampled on a log scale
LOG_FROM = 10

# combinations of choices that are composed before the search; each choice is composed in any case
MOST_COMBINATIONS = 24

# the search sets them for each trial
OWN_KEYS = ("output_dir", "training.resume", "training.resume_force")

# of `dataset`: what does not decide which images validate
DATA_KEYS = (
    "dataset.batch_size",
    "dataset.num_workers",
    "dataset.sampler",
    "dataset.loader_timeout",
    "dataset.max_bad_fraction",
)

_RANGE = re.compile(r"(?P<key>[^=]+)=(?P<low>[^=\[{'\"]*?)\.\.(?P<high>[^=\]}'\"]*)")

# a part of an epoch is for a limit of time, not for a search
_WHOLE = ("training.epochs",)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; `key` is written as in a word of the command line."""

    key: str
    low: float
    high: float
    whole: bool

    @property
    def log(self) -> bool:
        """Say whether it is sampled on a log scale."""
        return self.low > 0 and self.high > LOG_FROM * self.low

    def word(self, value: float | str) -> str:
        """Return the override of one value. Four digits are enough for a setting, and can be read and retyped."""
        number = float(value)
        short = min(max(float(f"{number:.4g}"), self.low), self.high)
        return f"{self.key}={int(number) if self.whole else short}"

    def words(self) -> list[str]:
        """Return the overrides of both ends."""
        return [self.word(self.low), self.word(self.high)]

    def __str__(self) -> str:
        return f"{self.key}={self.low:.12g}..{self.high:.12g}"


@dataclass(frozen=True)
class Choice:
    """Values as they stand in a word of the command line."""

    key: str
    values: tuple[str, ...]

    def word(self, value: float | str) -> str:
        """Return the override of one value."""
        return f"{self.key}={value}"

    def words(self) -> list[str]:
        """Return the overrides of all values."""
        return [self.word(value) for value in self.values]

    def __str__(self) -> str:
        return f"{self.key}={','.join(self.values)}"


@dataclass(frozen=True)
class Space:
    """The fixed words and what is searched."""

    base: tuple[str, ...]
    searched: tuple[Range | Choice, ...]

    def words(self, values: dict[str, Any]) -> list[str]:
        """Return the searched words of one trial from its values by key."""
        return [part.word(values[part.key]) for part in self.searched]


def read_space(words: Sequence[str]) -> Space:
    """Return the search that words of a command line describe: `key=low..high`, `key=a,b,c`, else `key=value`.

    Raises InputError for a wrong range, a searched key that stands twice, a key that the search itself sets or that
    would change the validation images, and if nothing is searched.
    """
    base: list[str] = []
    searched: list[Range | Choice] = []
    for word in listed(words):
        part = _range(word) or _choice(word)
        if part is None:
            base.append(word)
        else:
            searched.append(part)
    if not searched:
        raise InputError(
            "Nothing is searched: give a range or choices, such as training.learning_rate=1e-4..1e-2 or "
            "augmentation=light,medium."
        )
    _check_keys([_plain(word.partition("=")[0]) for word in base], [_plain(part.key) for part in searched])
    return Space(tuple(base), tuple(searched))


def _plain(key: str) -> str:
    return key.lstrip("+~").replace("/", ".")


def _check_keys(fixed: Sequence[str], searched: Sequence[str]) -> None:
    for key in OWN_KEYS:
        if key in [*fixed, *searched]:
            raise InputError(f"{key}: the search sets it for each trial; leave it out.")
    for key in searched:
        if [*fixed, *searched].count(key) > 1:
            raise InputError(f"{key}: stands twice; give a searched key once.")
        if key == "seed" or (key.partition(".")[0] == "dataset" and key not in DATA_KEYS):
            raise InputError(
                f"{key}: decides which images validate, and trials compare only on the same ones. Give it one value."
            )


def _range(word: str) -> Range | None:
    """Return the range that a word describes, None if it describes none."""
    found = _RANGE.fullmatch(word)
    if found is None:
        return None
    key, low, high = found["key"], _number(found["low"]), _number(found["high"])
    kind = _kind(key)
    if kind is None:
        if low is None or high is None:
            # text such as ../data, or a mistake that composing explains
            return None
        raise InputError(f"{word}: {_plain(key)} takes no range of numbers. List its values, as in {key}=a,b.")
    if low is None or high is None:
        raise InputError(f"{word}: expected two numbers, as in {key}={'1..5' if kind is int else '0.1..0.5'}.")
    if kind is int and not (low.is_integer() and high.is_integer()):
        raise InputError(f"{word}: {_plain(key)} takes whole numbers alone.")
    if low >= high:
        raise InputError(f"{word}: the first number of a range must be the smaller one.")
    return Range(key, low, high, kind is int)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _kind(key: str) -> type | None:
    """Return int or float for a key of numbers, None for other keys. Raises InputError for an unknown key."""
    plain = _plain(key)
    if plain in GROUPS:
        return None
    if plain.startswith(FREE_KEYS):
        # an argument of an augmentation has no declared type; most are shares
        return float
    if plain in _WHOLE:
        return int
    if plain not in leaf_keys():
        compose("config", [f"{key}=1"], allow_unused=True)
        return None
    declared = leaf_keys()[plain]
    kinds = typing.get_args(declared) or (declared,)
    if declared is Any:
        kinds = {**AUTO_KEYS, **RULE_KEYS}.get(plain, (type(_default(plain)),))
    return next((kind for kind in (float, int) if kind in kinds), None)


def _default(key: str) -> Any:
    value: Any = compose()
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _choice(word: str) -> Choice | None:
    """Return the choices that a word lists, None if it gives one value."""
    override = parse_override(word, sweep=True)
    if not override.is_sweep_override():
        return None
    try:
        values = [job[0].partition("=")[2] for job in expand_sweep([word])]
    except InputError as error:
        raise InputError(f"{word}: expected a range as in key=0.1..0.5, or choices as in key=a,b.") from error
    if len(set(values)) < len(values):
        raise InputError(f"{word}: a value stands twice.")
    return Choice(word.partition("=")[0], tuple(values))


def check_space(space: Space) -> Config:
    """Compose the ends of each range and each choice; return the config of the first ones.

    Raises InputError if a config is wrong, or if every trial would ignore a key.
    """
    candidates = [compose("config", [*space.base, *words], allow_unused=True) for words in _corners(space)]
    words = [*space.base, *(part.words()[0] for part in space.searched)]
    explicit = explicit_keys([parse_override(word) for word in words])
    for keys, (is_used, remedy) in USED_WHEN.items():
        ignored = [key for key in keys if key in explicit]
        if ignored and not any(map(is_used, candidates)):
            raise InputError(f"{ignored[0]}: would be ignored by every trial. It is used with {remedy}.")
    return candidates[0]


def _corners(space: Space) -> list[tuple[str, ...]]:
    """Return searched words to check: each value beside the first ones of the others, and combinations of choices."""
    firsts = [part.words()[0] for part in space.searched]
    alone = [
        (*firsts[:place], word, *firsts[place + 1 :])
        for place, part in enumerate(space.searched)
        for word in part.words()
    ]
    options = [part.words() if isinstance(part, Choice) else part.words()[:1] for part in space.searched]
    together = itertools.islice(itertools.product(*options), MOST_COMBINATIONS)
    # a dict keeps the order and drops what stands twice
    return list(dict.fromkeys([tuple(firsts), *alone, *together]))


def used_words(words: Sequence[str], config: Config) -> list[str]:
    """Return the words without those that `config` ignores and the training script would refuse."""
    return [word for word in words if not any(_ignored_keys(word, config))]


def _ignored_keys(word: str, config: Config) -> Iterator[str]:
    given = explicit_keys([parse_override(word)])
    for keys, (is_used, _) in USED_WHEN.items():
        if not is_used(config):
            yield from (key for key in keys if key in given)


def check_optuna() -> None:
    """Raise InputError if the package that proposes the trials is not installed."""
    require_package("optuna", "A search needs the package optuna", "requirements-tune.txt")
