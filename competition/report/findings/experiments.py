"""What the experiments around a run showed: ablation, search of settings, latency budget, cross-validation."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2

from common.errors import InputError
from competition.report.findings.comparison import differing_keys
from competition.report.findings.difference import Difference
from competition.report.run_record import Facts
from configs.compose import read_plain, to_plain
from evaluation.intervals import CONFIDENCE
from prediction.options import PRECISIONS
from training.run_folder import RunFolder

BASE = "base"

# how a cross-validation splits, which a single run does otherwise
_SPLIT_KEYS = ("dataset.fold", "dataset.num_folds", "dataset.val_split", "dataset.val_csv")

# of a way to predict
_PROPERTIES = ("models", "runtime", "precision", "views")

# less work takes so many times as long: other programs disturbed the timing
_UNEQUAL = 1.25


@dataclass(frozen=True)
class Effect:
    """A variant of the recipe: its mean top-1 over `seeds`, and its difference to the base. Top-1 are shares."""

    variant: str
    seeds: int
    top1: float
    spread: float | None
    difference: Difference
    minutes: float


@dataclass(frozen=True)
class Study:
    """An ablation: the base, and the variants in the order of their effect, the most harmful first.

    `differs` are the keys in which the base is not the run's own recipe, each with the run's value and the base's.
    `images` measured them, None where that is not kept.
    """

    base: Effect
    images: int | None
    variants: list[Effect]
    differs: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Trials:
    """A search of settings: how its trials ended, and the best and the median validation top-1 of the finished ones.

    `words` are the values that the best trial had.
    """

    finished: int
    pruned: int
    failed: int
    best: float
    median: float
    words: str
    rows: list[dict[str, str]]


@dataclass(frozen=True)
class Way:
    """A way to predict: its names, top-1 (a share), latencies in milliseconds, size in MB."""

    models: str
    count: int
    runtime: str
    precision: str
    views: str
    top1: float
    median_ms: float
    p95_ms: float
    size_mb: float
    fits: bool
    allowed: bool


@dataclass(frozen=True)
class Frontier:
    """The ways to predict that were measured: those on the Pareto front (fastest first), and the chosen one.

    `best` is the most accurate that keeps the limits, `plain` the same model and runtime with a single view.
    `more_views` is what the views of `best` add to the top-1 of `plain`, a share. `submitted` is the way of the
    predictions, if it was measured, on `images`. `above_median` is how far a p95 latency lies above its median at most,
    a share. `unequal` are two ways of the same models of which that with fewer views took longer, by a quarter and most
    of all, and that with more. `varied` are the properties in which the ways differ.
    """

    measured: int
    fitting: int
    front: list[Way]
    best: Way | None
    plain: Way | None
    more_views: float | None
    submitted: Way | None
    images: int | None
    above_median: float
    unequal: tuple[Way, Way] | None
    varied: list[str]
    limit_ms: float
    hardware: str


@dataclass(frozen=True)
class Folds:
    """A cross-validation: its folds, the joint top-1 with interval, and how much the folds differ (all shares).

    `expected_spread` is the standard deviation that folds of so many images would have by chance alone, and
    `beyond_chance` whether theirs is larger than that of 95 % of such folds (chi-squared test). `differs` are
    the keys in which the first fold is not the run's own recipe, each with the run's value and the fold's.
    """

    folds: int
    images: int
    top1: float
    interval: tuple[float, float]
    low: float
    high: float
    spread: float
    expected_spread: float
    beyond_chance: bool
    differs: dict[str, tuple[Any, Any]]
    temperature: float


def find_ablation(facts: Facts) -> Study | None:
    """Return the ablation, None without a variant that was measured."""
    effects = [_effect(row) for row in facts.ablation]
    base = next((effect for effect in effects if effect.variant == BASE), None)
    variants = sorted((it for it in effects if it.variant != BASE), key=lambda it: it.difference.value)
    return Study(base, _images_of_ablation(facts), variants, _base_differs(facts)) if base and variants else None


def _images_of_ablation(facts: Facts) -> int | None:
    path = facts.found["ablation"] / BASE / "0" / "correct.npz" if "ablation" in facts.found else None
    if path is None or not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as saved:
        return len(saved["correct"])


def _base_differs(facts: Facts) -> dict[str, tuple[Any, Any]]:
    """Compare the run's config with that of the base's first seed; nothing where it is not kept."""
    if "ablation" not in facts.found:
        return {}
    return _differs_from(facts, RunFolder(facts.found["ablation"] / BASE / "0").config, ("seed",))


def _fold_differs(facts: Facts, folds: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Compare the run's config with that of the first fold, besides how they split; nothing where it is not kept."""
    paths = folds.get("checkpoints") or []
    if not paths:
        return {}
    return _differs_from(facts, RunFolder(Path(paths[0]).parent.parent).config, _SPLIT_KEYS)


def _differs_from(facts: Facts, path: Path, besides: Sequence[str]) -> dict[str, tuple[Any, Any]]:
    if not path.is_file():
        return {}
    try:
        other = read_plain(path)
    except ValueError as error:
        raise InputError(f"{path}: damaged. Write it again, or move it away.") from error
    differs = differing_keys(to_plain(facts.config), other)
    return {key: pair for key, pair in differs.items() if key not in besides}


def _effect(row: Mapping[str, str]) -> Effect:
    spread = float(row["spread"] or "nan")
    return Effect(
        variant=row["variant"],
        seeds=int(row["seeds"]),
        top1=float(row["top1"]),
        spread=None if math.isnan(spread) else spread,
        difference=Difference(*(float(row[name]) for name in ("difference", "low_95", "high_95"))),
        minutes=float(row["minutes"]),
    )


def find_trials(facts: Facts) -> Trials | None:
    """Return the search of settings, None without a finished trial."""
    finished = [row for row in facts.tune if row["state"] == "finished" and row["val_top1"]]
    if not finished:
        return None
    top1 = [float(row["val_top1"]) for row in finished]
    best = finished[top1.index(max(top1))]
    return Trials(
        finished=len(finished),
        pruned=sum(row["state"] == "pruned" for row in facts.tune),
        failed=sum(row["state"] == "failed" for row in facts.tune),
        best=max(top1),
        median=statistics.median(top1),
        words=best["overrides"],
        rows=finished,
    )


def find_frontier(facts: Facts) -> Frontier | None:
    """Return the latency budget, None where none was measured."""
    budget = facts.budget
    if not budget or not budget["choices"]:
        return None
    ways = [(_way(choice), choice) for choice in budget["choices"]]
    candidates = [way for way, _ in ways if way.fits and way.allowed]
    best = max(candidates, key=lambda way: (way.top1, -way.p95_ms), default=None)
    plain = best and next((way for way, _ in ways if _is_plain_of(way, best)), None)
    front = sorted((way for way, choice in ways if choice["front"]), key=lambda way: way.p95_ms)
    return Frontier(
        measured=len(ways),
        fitting=len(candidates),
        front=front,
        best=best,
        plain=plain,
        more_views=best.top1 - plain.top1 if best and plain and plain is not best else None,
        submitted=next((way for way, choice in ways if _is_of_recipe(choice, facts.recipe)), None),
        images=budget.get("images"),
        above_median=max((way.p95_ms / way.median_ms for way, _ in ways if way.median_ms), default=1) - 1,
        unequal=_unequal([way for way, _ in ways]),
        varied=[name for name in _PROPERTIES if len({getattr(way, name) for way, _ in ways}) > 1],
        limit_ms=budget["limits"]["p95_ms"],
        hardware=budget["hardware"],
    )


def _unequal(ways: Sequence[Way]) -> tuple[Way, Way] | None:
    pairs = [
        (fewer, more)
        for fewer, more in permutations(ways, 2)
        if all(getattr(fewer, name) == getattr(more, name) for name in ("models", "runtime", "precision"))
        and set(fewer.views.split("+")) < set(more.views.split("+"))
        and fewer.p95_ms >= _UNEQUAL * more.p95_ms > 0
    ]
    return max(pairs, key=lambda pair: pair[0].p95_ms / pair[1].p95_ms, default=None)


def _is_plain_of(way: Way, best: Way) -> bool:
    same = (way.models, way.runtime, way.precision) == (best.models, best.runtime, best.precision)
    return same and way.views == "identity"


def _is_of_recipe(choice: Mapping[str, Any], recipe: Mapping[str, Any] | None) -> bool:
    """Say whether predictions were made by a choice of a budget, which averages its models with equal weights."""
    checkpoints = (recipe or {}).get("checkpoints", [])
    if not recipe or not checkpoints or len({entry["weight"] for entry in checkpoints}) > 1:
        return False
    # paths may hold spaces, so the words of all of them are compared
    paths = " ".join(Path(entry["path"]).as_posix() for entry in checkpoints)
    same = sorted(str(choice["models"]).split()) == sorted(paths.split())
    made = (recipe.get("runtime"), recipe.get("precision"), ",".join(recipe["views"]))
    precision = PRECISIONS.get(choice["precision"], choice["precision"])
    return same and made == (choice["runtime"], precision, choice["views"])


def model_names(models: str) -> list[str]:
    """Return what the models of budget.json are called: the run of a best_model.pt, or else the file."""
    # paths may hold spaces; each ends with the name of a file
    paths = [path for path in map(Path, models.split()) if path.suffix]
    return [path.parent.parent.name if path.name == "best_model.pt" else path.name for path in paths]


def _way(choice: Mapping[str, Any]) -> Way:
    names = model_names(choice["models"])
    return Way(
        models=" + ".join(names),
        count=len(names),
        runtime=choice["runtime"],
        precision=choice["precision"],
        views=choice["views"].replace(",", "+"),
        top1=choice["top1"],
        median_ms=choice["median_ms"],
        p95_ms=choice["p95_ms"],
        size_mb=choice["size_mb"],
        fits=choice["fits"],
        allowed=choice["allowed"],
    )


def find_folds(facts: Facts) -> Folds | None:
    """Return the cross-validation, None where none was joined."""
    folds = facts.folds
    if folds is None:
        return None
    shares = folds["top1_of_folds"]
    spread = statistics.stdev(shares) if len(shares) > 1 else 0.0
    expected = math.sqrt(folds["top1"] * (1 - folds["top1"]) * len(shares) / folds["images"])
    freedom = max(len(shares) - 1, 1)
    return Folds(
        folds=len(shares),
        images=folds["images"],
        top1=folds["top1"],
        interval=(folds["top1_interval"][0], folds["top1_interval"][1]),
        low=min(shares),
        high=max(shares),
        spread=spread,
        expected_spread=expected,
        beyond_chance=bool(freedom * spread**2 > chi2.ppf(CONFIDENCE, freedom) * expected**2),
        differs=_fold_differs(facts, folds),
        temperature=folds["temperature"],
    )
