"""What the latency and the size buy: every model, runtime, precision and view set, measured end to end."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import RunError
from configs.schema import CompetitionConfig
from data.files import write_text
from data.progress import progress
from data.table import write_rows
from engine.benchmark import drawn_jpegs, measure_latency
from engine.evaluation import KEYS, LabelledImages, choose_images, images_new_to
from engine.export import export
from engine.hardware import describe_device
from engine.pictures import front_figure, save_figure
from engine.pipeline import Answering, Pipeline, answer_all, load_pipeline, with_views
from engine.runtime import CONVERTERS, files_of, missing_packages

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
class Served:
    """Model files that answer together, and the runtime and precision that the command line names."""

    name: str
    paths: tuple[Path, ...]
    runtime: str
    precision: str


@dataclass(frozen=True)
class Choice:
    """One way to answer and what it takes; `allowed` says whether the contest has its runtime."""

    served: Served
    views: tuple[str, ...]
    top1: float
    median_ms: float
    p95_ms: float
    size_mb: float
    allowed: bool
    fits: bool

    @property
    def name(self) -> str:
        return f"{self.served.name} {self.served.runtime} {self.served.precision} {'+'.join(self.views)}"

    @property
    def command(self) -> str:
        """The command line that predicts so."""
        script = "inference.py" if len(self.served.paths) == 1 else "ensemble.py"
        words = ["python", script, "--checkpoint", *map(_quoted, self.served.paths)]
        if self.served.paths[0].suffix == ".pt" and self.served.runtime != "torch":
            words += ["--runtime", self.served.runtime]
        return " ".join([*words, "--tta", ",".join(self.views)] if len(self.views) > 1 else words)


def find_best(
    checkpoints: Sequence[Path],
    limits: CompetitionConfig,
    view_sets: Sequence[tuple[str, ...]],
    data: Path | None,
    output: Path,
    overrides: Sequence[str],
) -> tuple[list[Choice], list[str], list[str]]:
    """Measure all choices; return them, the table's lines, and lines that say which is best.

    Each checkpoint alone and, of several, all of them averaged; fp32 in every installed runtime, int8 in OpenVINO,
    fp16 weights in torch. Latency is that of files of `limits.input_size`, batch 1, p95; top-1 of the validation
    images, or of `data`. Writes budget.csv, budget.json, budget.png and the exported models to `output`.
    """
    served, notes = _all_served(checkpoints, data, output, overrides)
    every = load_pipeline(checkpoints, overrides=overrides, keys=KEYS)
    # one set of images for all, which none of them was trained on
    images = images_new_to(every, choose_images(every, "val", data))
    choices, hardware = [], describe_device(every.device)
    with drawn_jpegs(limits.input_size) as drawn, progress("budget", len(served) * len(view_sets)) as advance:
        for item in served:
            pipeline = load_pipeline(item.paths, Answering(runtime=item.runtime), overrides, KEYS)
            for views in view_sets:
                choices.append(_measure(with_views(pipeline, views), item, views, limits, drawn, images))
                advance(1)
    front = pareto_front(choices)
    _write(output, choices, front, limits, hardware)
    return choices, [*notes, *_table(choices, front, limits, hardware)], _advice(choices, limits)


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


def _all_served(
    checkpoints: Sequence[Path], data: Path | None, output: Path, overrides: Sequence[str]
) -> tuple[list[Served], list[str]]:
    """Return what can be measured here, and lines on what cannot."""
    groups = [(path,) for path in checkpoints] + ([tuple(checkpoints)] if len(checkpoints) > 1 else [])
    served, notes = [], []
    for number, group in enumerate(groups, start=1):
        name = f"model {number}" if len(group) == 1 else "all models"
        served.append(Served(name, group, "torch", "fp32"))
        for runtime in ("onnx", "openvino"):
            if not missing_packages(CONVERTERS[runtime]):
                served.append(Served(name, group, runtime, "fp32"))
        for runtime, precision, suffix in (("torch", "fp16", ".pt"), ("openvino", "int8", ".xml")):
            if runtime == "openvino" and missing_packages((*CONVERTERS[runtime], "nncf")):
                continue
            try:
                paths = tuple(
                    _exported(
                        path,
                        runtime,
                        precision,
                        output / f"model_{checkpoints.index(path) + 1}_{precision}{suffix}",
                        data,
                        overrides,
                    )
                    for path in group
                )
            except RunError as error:
                notes.append(f"note: {name} {runtime} {precision}: {str(error).splitlines()[0]}")
                continue
            served.append(Served(name, paths, runtime, precision))
    missing = sorted({name for names in CONVERTERS.values() for name in missing_packages((*names, "nncf"))})
    if missing:
        notes.append(f"note: not measured without {', '.join(missing)}: pip install -r requirements-export.txt")
    return served, notes


def _exported(
    path: Path, runtime: str, precision: str, target: Path, data: Path | None, overrides: Sequence[str]
) -> Path:
    if not target.is_file() or target.stat().st_mtime < path.stat().st_mtime:
        export(
            path, runtime, precision, target, data, None, [text for text in overrides if not text.startswith("device=")]
        )
    return target


def _measure(
    pipeline: Pipeline,
    served: Served,
    views: tuple[str, ...],
    limits: CompetitionConfig,
    drawn: Sequence[Path],
    images: LabelledImages,
) -> Choice:
    answers = answer_all(pipeline, images.inputs, f"{served.name} {served.runtime} {served.precision}")
    top1 = float((answers.probabilities.argmax(axis=1) == images.table.labels[images.rows]).mean())
    latency = measure_latency(pipeline, drawn)
    size = sum(file.stat().st_size for path in served.paths for file in files_of(path)) / 1e6
    return Choice(
        served,
        views,
        top1,
        latency.median_ms,
        latency.p95_ms,
        size,
        allowed=served.runtime in limits.runtimes,
        fits=latency.p95_ms <= limits.max_latency_ms and size <= limits.max_model_mb,
    )


def _write(
    output: Path, choices: Sequence[Choice], front: Sequence[Choice], limits: CompetitionConfig, hardware: str
) -> None:
    rows = [tuple(_row(choice, front)[name] for name in COLUMNS) for choice in choices]
    write_rows(output / "budget.csv", COLUMNS, rows)
    facts = as_json(choices, limits, hardware)
    write_text(output / "budget.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    points = [(choice.name, choice.p95_ms, 100 * choice.top1, choice in front) for choice in choices]
    save_figure(front_figure(points, limits.max_latency_ms), output / "budget.png")


def as_json(choices: Sequence[Choice], limits: CompetitionConfig, hardware: str) -> dict[str, Any]:
    """Return all figures as plain values."""
    front, best = pareto_front(choices), best_of(choices, allowed_only=True)
    return {
        "hardware": hardware,
        "limits": {"profile": limits.name, "p95_ms": limits.max_latency_ms, "size_mb": limits.max_model_mb},
        "choices": [_row(choice, front) for choice in choices],
        "best": None if best is None else {**_row(best, front), "command": best.command},
    }


def _row(choice: Choice, front: Sequence[Choice]) -> dict[str, Any]:
    return {
        "models": " ".join(path.as_posix() for path in choice.served.paths),
        "runtime": choice.served.runtime,
        "precision": choice.served.precision,
        "views": ",".join(choice.views),
        "top1": round(choice.top1, 6),
        "median_ms": round(choice.median_ms, 2),
        "p95_ms": round(choice.p95_ms, 2),
        "size_mb": round(choice.size_mb, 2),
        "allowed": choice.allowed,
        "fits": choice.fits,
        "front": choice in front,
    }


def _table(choices: Sequence[Choice], front: Sequence[Choice], limits: CompetitionConfig, hardware: str) -> list[str]:
    lines = [
        f"on {hardware}; p95 of files of {limits.input_size}x{limits.input_size}, batch 1; * = on the Pareto front",
        f"  {'models, runtime, precision, views':<52} {'top-1 %':>8} {'median':>7} {'p95 ms':>7} {'MB':>7}",
    ]
    for choice in sorted(choices, key=lambda choice: choice.p95_ms):
        remarks = [] if choice.fits else ["beyond the limits"]
        remarks += [] if choice.allowed else [f"not for {limits.name}"]
        lines.append(
            f"{'*' if choice in front else ' '} {choice.name:<52} {100 * choice.top1:>8.2f} {choice.median_ms:>7.1f} "
            f"{choice.p95_ms:>7.1f} {choice.size_mb:>7.1f}  {', '.join(remarks)}".rstrip()
        )
    return lines


def _advice(choices: Sequence[Choice], limits: CompetitionConfig) -> list[str]:
    best, anywhere = (best_of(choices, allowed_only) for allowed_only in (True, False))
    lines = [f"limits: p95 {limits.max_latency_ms:g} ms, {limits.max_model_mb:g} MB"]
    if best is None:
        lines.append(f"Nothing fits {limits.name} here. A smaller model.input_size or model is faster.")
    else:
        lines += [f"best for {limits.name}: {best.name}", f"  {best.command}"]
    if anywhere is not None and anywhere is not best:
        lines += [f"best with any runtime: {anywhere.name}", f"  {anywhere.command}"]
    return lines


def _quoted(path: Path) -> str:
    text = path.as_posix()
    return f'"{text}"' if " " in text else text
