"""The best accuracy within a latency and size limit: every model, runtime, precision and view set, measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common.csv_files import write_rows
from common.device import describe_device
from common.errors import RunError, as_warning
from common.files import as_path, check_writable_folder
from common.progress import progress
from configs.schema import CompetitionConfig
from data.flower_drawing import drawn_jpegs
from evaluation.labelled_images import LabelledImages, choose_images, correct_answers, images_new_to
from evaluation.plots import front_figure, save_figure
from prediction.latency import IMAGES, measure_latency
from prediction.options import LABELLED_KEYS, PredictionOptions
from prediction.pipeline import Member, Pipeline, load_pipeline, require_torch, with_views
from prediction.runtime_packages import files_of, missing_packages
from prediction.view_names import parse_views
from tools.export import export
from tools.export_options import COMBINATIONS, SUFFIX_OF, packages_for

COLUMNS = (
    "models",
    "runtime",
    "precision",
    "views",
    "top1",
    "median_ms",
    "p95_ms",
    "size_mb",
    "allowed",
    "fits",
    "front",
)


@dataclass(frozen=True)
class DeployedModel:
    """Model files that predict together; `keys` are the overrides that predicting with them must repeat."""

    name: str
    paths: tuple[Path, ...]
    runtime: str
    precision: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One way to predict: top-1 (a share), milliseconds per image, size in MB (10^6 bytes).

    `allowed` if the contest has its runtime; `fits` if latency and size keep the limits.
    """

    deployed: DeployedModel
    views: tuple[str, ...]
    top1: float
    median_ms: float
    p95_ms: float
    size_mb: float
    allowed: bool
    fits: bool

    @property
    def name(self) -> str:
        return f"{self.deployed.name} {self.deployed.runtime} {self.deployed.precision} {'+'.join(self.views)}"


@dataclass(frozen=True)
class Budget:
    """All choices, the Pareto front (fastest first), and the best that keeps the limits, None if none does.

    `best` has a runtime that the contest allows, `best_of_all` any. `images` measured the top-1. `notes` say what could
    not be measured.
    """

    choices: list[Choice]
    front: list[Choice]
    best: Choice | None
    best_of_all: Choice | None
    limits: CompetitionConfig
    hardware: str
    images: int
    notes: list[str]

    def figures_of(self, choice: Choice) -> dict[str, Any]:
        """Return the names and rounded figures of a choice, as plain values by the names in `COLUMNS`."""
        return {
            "models": " ".join(path.as_posix() for path in choice.deployed.paths),
            "runtime": choice.deployed.runtime,
            "precision": choice.deployed.precision,
            "views": ",".join(choice.views),
            "top1": round(choice.top1, 6),
            "median_ms": round(choice.median_ms, 2),
            "p95_ms": round(choice.p95_ms, 2),
            "size_mb": round(choice.size_mb, 2),
            "allowed": choice.allowed,
            "fits": choice.fits,
            "front": choice in self.front,
        }


def find_best(
    checkpoints: str | Path | Sequence[str | Path],
    limits: CompetitionConfig,
    view_sets: Sequence[str | Sequence[str]],
    data: str | Path | None,
    output: str | Path,
    overrides: Sequence[str] = (),
    exports: bool = True,
) -> Budget:
    """Measure all choices: each checkpoint alone and, of several, all of them averaged.

    Every runtime and precision of `export` that this device and its packages allow; without `exports`, only the
    checkpoints as they are, which is all that a ZIP of torch can hold. Latency is that of files of
    `limits.input_size`, batch 1, p95; top-1 of the validation images, or of `data`. Writes budget.csv, budget.png and
    the exported models to `output`. Raises InputError for checkpoints that are exported models.
    """
    output, sets = as_path(output), [parse_views(views) for views in view_sets]
    check_writable_folder(output)
    every = load_pipeline(checkpoints, overrides=overrides, keys=LABELLED_KEYS)
    require_torch(every, "budget")
    # one set of images for all, which none of them was trained on
    images = images_new_to(every, choose_images(every, None, data))
    deployed, notes = _deployable(every, data, output, overrides, exports)
    choices = []
    with drawn_jpegs(limits.input_size, IMAGES) as drawn, progress("budget", len(deployed) * len(sets)) as advance:
        for item in deployed:
            pipeline = load_pipeline(item.paths, PredictionOptions(runtime=item.runtime), overrides, LABELLED_KEYS)
            for views in sets:
                choices.append(_measure(with_views(pipeline, views), item, views, limits, drawn, images))
                advance(1)
    found = Budget(
        choices=choices,
        front=pareto_front(choices),
        best=best_of(choices, allowed_only=True),
        best_of_all=best_of(choices, allowed_only=False),
        limits=limits,
        hardware=f"{describe_device(every.device)}, torch computing in {every.computed_in}",
        images=len(images.labels),
        notes=notes,
    )
    _write(output, found)
    return found


def pareto_front(choices: Sequence[Choice]) -> list[Choice]:
    """Return the choices that no other beats in top-1 without being slower, fastest first."""
    front: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice.p95_ms, -choice.top1)):
        if not front or choice.top1 > front[-1].top1:
            front.append(choice)
    return front


def best_of(choices: Sequence[Choice], allowed_only: bool) -> Choice | None:
    """Return the choice that fits with the highest top-1, of equal ones the fastest; None if none fits."""
    fitting = [choice for choice in choices if choice.fits and (choice.allowed or not allowed_only)]
    return max(fitting, key=lambda choice: (choice.top1, -choice.p95_ms), default=None)


def _deployable(
    every: Pipeline, data: str | Path | None, output: Path, overrides: Sequence[str], exports: bool
) -> tuple[list[DeployedModel], list[str]]:
    """Return what can be measured here, and notes on what cannot."""
    kinds, notes = _kinds_here(every.device) if exports else ([("torch", "fp32")], [])
    groups = [[member] for member in every.members] + ([every.members] if len(every.members) > 1 else [])
    device = tuple(text for text in overrides if text.startswith("device="))
    deployed = []
    for number, group in enumerate(groups, start=1):
        name = f"model {number}" if len(group) == 1 else "all models"
        for runtime, precision in kinds:
            try:
                paths = tuple(_as_file(member, runtime, precision, output, data, overrides) for member in group)
            except RunError as error:
                notes.append(f"{name} {runtime} {precision}: {str(error).splitlines()[0]}")
                continue
            deployed.append(DeployedModel(name, paths, runtime, precision, device))
    return deployed, notes


def _kinds_here(device: torch.device) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the (runtime, precision) pairs that can be measured on `device`, and notes on the others."""
    kinds, missing, notes = [("torch", "fp32")], set(), []
    for runtime, precision in COMBINATIONS:
        lacking = missing_packages(packages_for(runtime, precision))
        if lacking:
            missing.update(lacking)
        elif runtime == "torch" or device.type == "cpu":
            kinds.append((runtime, precision))
    if missing:
        notes.append(f"not measured without {', '.join(sorted(missing))}: pip install -r requirements-export.txt")
    if device.type != "cpu":
        notes.append("onnx and openvino run on the CPU here; device=cpu compares them")
    return kinds, notes


def _as_file(
    member: Member, runtime: str, precision: str, output: Path, data: str | Path | None, overrides: Sequence[str]
) -> Path:
    """Return the model file: the checkpoint itself, which a runtime converts as it starts, or an export of it."""
    if precision == "fp32":
        return member.path
    # the same weights give the same export
    target = output / f"{member.sha256[:12]}_{precision}{SUFFIX_OF[runtime]}"
    if not target.is_file():
        others = [text for text in overrides if not text.startswith("device=")]
        export(member.path, runtime, precision, target, data, None, others)
    return target


def _measure(
    pipeline: Pipeline,
    deployed: DeployedModel,
    views: tuple[str, ...],
    limits: CompetitionConfig,
    drawn: Sequence[Path],
    images: LabelledImages,
) -> Choice:
    top1 = float(correct_answers(pipeline, images, f"{deployed.name} {deployed.runtime} {deployed.precision}").mean())
    latency = measure_latency(pipeline, drawn)
    size = sum(file.stat().st_size for path in deployed.paths for file in files_of(path)) / 1e6
    return Choice(
        deployed,
        views,
        top1,
        latency.median_ms,
        latency.p95_ms,
        size,
        allowed=deployed.runtime in limits.runtimes,
        fits=latency.p95_ms <= limits.max_latency_ms and size <= limits.max_model_mb,
    )


def _write(output: Path, found: Budget) -> None:
    rows = [[found.figures_of(choice)[name] for name in COLUMNS] for choice in found.choices]
    write_rows(output / "budget.csv", COLUMNS, rows)
    points = [(choice.name, choice.p95_ms, 100 * choice.top1, choice in found.front) for choice in found.choices]
    best = None if found.best is None else found.best.name
    with as_warning(f"the picture {output / 'budget.png'}"):
        save_figure(front_figure(points, found.limits.max_latency_ms, best), output / "budget.png")
