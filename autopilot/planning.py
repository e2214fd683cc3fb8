"""The plan of a contest run: which models, sizes, minutes and seeds, from what the shortlist has measured."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from common.errors import InputError
from common.files import safe_name

RULE = (
    "The model with the best probe is trained first, at the largest size that gets enough epochs and keeps the "
    "latency, up to one and a half times the size of its pretrained weights. If the largest gets twice as many, the "
    "time is divided: a second model of another family, if size and latency of both together keep the limits, then "
    "further seeds."
)

# fine-tuning from a probe has most of its gain after so many epochs (docs/RESULTS.md)
ENOUGH_EPOCHS = 12

MOST_RUNS = 4

# the share of the epochs at the last, larger size, and how much smaller the first size is
LAST_SHARE, FIRST_SIZE = 0.25, 0.75

# sizes to choose from beside a model's own, for families that take any multiple of 32; how much larger one may be
_SIZES = (576, 512, 448, 416, 384, 352, 320, 288, 256, 224, 192, 160, 128, 96, 64)
_LARGEST = 1.5
_ANY_SIZE = ("byobnet", "convnext", "efficientnet", "metaformer", "mobilenetv3", "resnet")

# a class is rare if it has so few images, and a data set uneven if its largest class has so many times as many
FEW_IMAGES, UNEVEN = 8, 3


@dataclass(frozen=True)
class PlannedRun:
    """One training: a name, the option of `model=`, its last size in pixels, the words of its command, minutes, why."""

    name: str
    model: str
    size: int
    keys: list[str]
    minutes: float
    why: str


@dataclass(frozen=True)
class Facts:
    """What a plan is made of: the shortlist's rows, training images, limits, seconds for all trainings, the recipe."""

    models: Sequence[Mapping[str, Any]]
    images: int
    max_megabytes: float
    max_latency_ms: float
    on_cpu: bool
    seconds: float
    recipe: str


def recipe_for(counts: Sequence[int]) -> str:
    """Return the option of `training=` for a data set with these images of each class."""
    smallest, largest = min(counts), max(counts)
    return "few_shot" if smallest <= FEW_IMAGES and largest >= UNEVEN * smallest else "finetune"


def plan_runs(facts: Facts) -> list[PlannedRun]:
    """Return the trainings that `RULE` gives, for at least `least_seconds`."""
    best, *others = (row for row in facts.models if row["in"])
    # the time is divided only where the largest size leaves some
    affordable = int(_epochs(best, _sizes(best, facts)[0], facts, facts.seconds) / ENOUGH_EPOCHS)
    count = max(1, min(affordable, MOST_RUNS))
    second = next((row for row in others if row["family"] != best["family"] and _fit(best, row, facts)), None)
    order = [(best, 0), (second, 0), (best, 1), (second, 1)] if second else [(best, k) for k in range(MOST_RUNS)]
    return [_run(row, seed, place, facts, facts.seconds / count) for place, (row, seed) in enumerate(order[:count])]


def best_of(models: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the row of the best probe of a shortlist, which has its models in that order."""
    return next(row for row in models if row["in"])


def least_seconds(facts: Facts) -> float:
    """Return the seconds of one epoch of the best model at its smallest size."""
    best = best_of(facts.models)
    return 1 / _epochs(best, _sizes(best, facts)[-1], facts, 1.0)


def _run(row: Mapping[str, Any], seed: int, place: int, facts: Facts, seconds: float) -> PlannedRun:
    size = _size_for(row, facts, seconds)
    first = _first_size(row, size)
    keys = [f"model={row['option']}", *row["keys"], f"training={facts.recipe}", "augmentation=medium"]
    keys += [f"model.input_size={first}", f"training.final_input_size={size}"]
    keys += ["training.final_epochs=5", f"seed={seed}"]
    epochs = _epochs(row, size, facts, seconds)
    kind = "the best probe" if place == 0 else "another family" if seed == 0 else "another seed"
    probe = f"{100 * row['probe_top1']:.1f} %" if row["probe_top1"] is not None else "not measured"
    why = f"{kind} ({probe}); about {epochs:.3g} epochs at {first} px, the last quarter at {size} px"
    return PlannedRun(f"{row['option']}_{seed}", row["option"], size, keys, round(seconds / 60, 2), why)


def _size_for(row: Mapping[str, Any], facts: Facts, seconds: float) -> int:
    """Return the largest size that gets enough epochs, else the smallest."""
    sizes = _sizes(row, facts)
    return next((size for size in sizes if _epochs(row, size, facts, seconds) >= ENOUGH_EPOCHS), sizes[-1])


def _sizes(row: Mapping[str, Any], facts: Facts) -> list[int]:
    """Return the sizes of a model that keep the latency, the largest first; a fixed one has its own alone."""
    own = row["input_size"]
    if row["family"] not in _ANY_SIZE:
        return [own]
    sizes = sorted({own, *(size for size in _SIZES if size <= _LARGEST * own)}, reverse=True)
    return [size for size in sizes if size <= own or facts.on_cpu or _latency(row, size) <= facts.max_latency_ms]


def _latency(row: Mapping[str, Any], size: int) -> float:
    """Return the milliseconds per image at a size; time goes with the number of pixels."""
    return row["latency_ms"] * (size / row["input_size"]) ** 2


def _first_size(row: Mapping[str, Any], size: int) -> int:
    if row["family"] not in _ANY_SIZE:
        return size
    return min(max(round(FIRST_SIZE * size / 32) * 32, 32), size)


def _epochs(row: Mapping[str, Any], size: int, facts: Facts, seconds: float) -> float:
    """Return the epochs that fit; time goes with the number of pixels."""
    own = row["input_size"]

    def of_images(side: int) -> float:
        return facts.images / row["images_per_second"] * (side / own) ** 2

    first = _first_size(row, size)
    validation = (row["validation_seconds"] or 0.0) * (size / own) ** 2
    return seconds / ((1 - LAST_SHARE) * of_images(first) + LAST_SHARE * of_images(size) + validation)


def _fit(first: Mapping[str, Any], second: Mapping[str, Any], facts: Facts) -> bool:
    """Say whether the average of two models keeps the limits; a CPU's latency decides nothing."""
    if first["megabytes"] + second["megabytes"] > facts.max_megabytes:
        return False
    if facts.on_cpu:
        return True
    latencies = [_latency(row, _size_for(row, facts, facts.seconds / 2)) for row in (first, second)]
    return sum(latencies) <= facts.max_latency_ms


def as_json(runs: Sequence[PlannedRun], recipe: str, hours: float) -> dict[str, Any]:
    """Return a plan as plain values, which a user may edit: leave runs out, add some, change words and minutes."""
    return {"rule": RULE, "hours": hours, "training": recipe, "runs": [asdict(run) for run in runs]}


def from_json(plan: Any, where: str) -> list[PlannedRun]:
    """Return the runs of an edited plan. Raises InputError that says what is wrong with it."""
    try:
        runs = [PlannedRun(**run) for run in plan["runs"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{where}: each run needs name, model, size, keys, minutes and why ({error}).") from error
    if not runs:
        raise InputError(f"{where}: has no runs. Delete it for a new plan.")
    for run in runs:
        if not isinstance(run.name, str) or not isinstance(run.model, str) or safe_name(run.name) != run.name:
            raise InputError(f"{where}: {run.name}: the name of a run is that of its folder: letters, digits, _ and -.")
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise InputError(f"{where}: two runs have the same name; each needs a folder of its own.")
    for run in runs:
        if not isinstance(run.size, int) or run.size < 1:
            raise InputError(f"{where}: run {run.name}: size must be a whole number of pixels.")
        minutes = isinstance(run.minutes, int | float) and not isinstance(run.minutes, bool) and run.minutes > 0
        if not minutes or not isinstance(run.keys, list) or not all(isinstance(key, str) for key in run.keys):
            raise InputError(f"{where}: run {run.name}: minutes must be above 0, and keys a list of texts.")
    return runs
