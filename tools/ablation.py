"""Ablation: a recipe with one ingredient changed, over several seeds, compared on the same images."""

import csv
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.csv_files import read_rows, write_rows
from common.errors import InputError, RunError, as_warning
from common.files import as_path, check_writable_folder, replacing, safe_name, write_text
from configs.compose import compose, listed
from configs.schema import Config
from evaluation.evaluate import evaluate
from evaluation.intervals import FEWEST_SEEDS, paired_interval
from evaluation.plots import differences_figure, save_figure
from prediction.pipeline import load_pipeline
from tools.variants import BASE, Variant
from training.run_folder import RunFolder
from training.train import train

RUN_COLUMNS = ("variant", "overrides", "seed", "top1", "few_shot", "minutes", "status")

TABLE_COLUMNS = (
    "variant",
    "overrides",
    "seeds",
    "top1",
    "spread",
    "difference",
    "low_95",
    "high_95",
    "few_shot",
    "minutes",
)


@dataclass(frozen=True)
class Difference:
    """A variant over its seeds: the mean top-1, its standard deviation, and the gain over the base with 95 % interval.

    These are shares from 0 to 1. `minutes` is the median of the runs. `few_shot` is the mean balanced accuracy of the
    classes with few training images; NaN where all have many.
    """

    variant: Variant
    seeds: int
    top1: float
    spread: float
    few_shot: float
    minutes: float
    gain: float
    interval: tuple[float, float]


def ablate(
    base: Sequence[str], variants: Sequence[Variant], seeds: int, folder: str | Path, data: str | Path | None = None
) -> list[Difference]:
    """Train and measure what is not yet in `folder`, seed by seed; write the tables after each run.

    Measured is top-1 on the table `data`, or on the test split if the base holds one back, or on validation. Raises
    InputError before training if there is only the base, a variant's config is wrong or the folder holds another
    ablation, and RunError at the end if runs failed.
    """
    base, folder = listed(base), as_path(folder)
    check_writable_folder(folder)
    if len(variants) < 2:
        raise InputError("The base alone compares nothing: name an ingredient to leave out, or a variant.")
    configs = {}
    for variant in variants:
        for seed in range(seeds):
            output = folder / safe_name(variant.name) / str(seed)
            overrides = [*base, *variant.overrides, f"seed={seed}", "training.resume=auto"]
            configs[variant, seed] = compose("config", [*overrides, f"output_dir={output}"], allow_unused=True)
    rows = _read_runs(folder, base, variants)
    for seed in range(seeds):
        for variant in variants:
            if rows.get((variant.name, str(seed)), {}).get("status") == "finished":
                continue
            print(f"\nseed {seed}, {variant.name}: {' '.join(variant.overrides)}", flush=True)
            about = {"variant": variant.name, "overrides": " ".join(variant.overrides), "seed": str(seed)}
            rows[variant.name, str(seed)] = about | train_and_measure(configs[variant, seed], data)
            write_rows(folder / "runs.csv", RUN_COLUMNS, [[row[name] for name in RUN_COLUMNS] for row in rows.values()])
            write_differences(folder, differences(folder, variants, rows))
    failed = [row for row in rows.values() if row["status"] != "finished"]
    if failed:
        raise RunError(
            f"{len(failed)} runs failed, first {failed[0]['variant']}, seed {failed[0]['seed']}: "
            f"{failed[0]['status']} The same command tries them again."
        )
    found = differences(folder, variants, rows)
    write_differences(folder, found)
    return found


def _read_runs(folder: Path, base: Sequence[str], variants: Sequence[Variant]) -> dict[tuple[str, str], dict]:
    """Return the rows of runs.csv by variant and seed. Raises InputError if they are of another base or variant."""
    path, about = folder / "runs.csv", folder / "base.txt"
    text = " ".join(base) + "\n"
    if not about.is_file():
        write_text(about, text)
    elif about.read_text(encoding="utf-8") != text:
        raise InputError(f"{folder}: holds runs of another base ({about}). Name another folder.")
    if not path.is_file():
        return {}
    rows = read_rows(path, RUN_COLUMNS)
    overrides = {variant.name: " ".join(variant.overrides) for variant in variants}
    for row in rows:
        if overrides.get(row["variant"], row["overrides"]) != row["overrides"]:
            raise InputError(f"{path}: '{row['variant']}' had the overrides {row['overrides']}. Name another folder.")
    return {(row["variant"], row["seed"]): row for row in rows}


def train_and_measure(config: Config, data: str | Path | None) -> dict[str, str]:
    """Return `top1`, `few_shot`, `minutes` and `status` of one run on the images of `ablate`, as cells of a table.

    The run's folder gets correct.npz, which `read_correct` reads. A failed run has its error as its status.
    """
    folder, started = RunFolder(Path(config.output_dir)), time.perf_counter()
    before = _seconds_so_far(folder.history)
    try:
        train(config)
        minutes = (before + time.perf_counter() - started) / 60
        pipeline = load_pipeline([folder.best], overrides=[f"device={config.device}"])
        split = None if data is not None else "test" if config.dataset.test_split else "val"
        found = evaluate(pipeline, split, data, folder.root / "evaluation")
    except (InputError, RunError) as error:
        return {"top1": "", "few_shot": "", "minutes": "", "status": f"failed: {error}"}
    with replacing(folder.root / "correct.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, image_ids=found.image_ids, correct=found.correct)
    print(f"top-1 {100 * found.metrics.top1:.2f} %, {minutes:.1f} minutes", flush=True)
    few = found.groups.get("few")
    return {
        "top1": f"{found.metrics.top1:.6f}",
        "few_shot": "" if few is None else f"{few.balanced_accuracy:.6f}",
        "minutes": f"{minutes:.2f}",
        "status": "finished",
    }


def _seconds_so_far(history: Path) -> float:
    if not history.is_file():
        return 0.0
    with history.open(encoding="utf-8", newline="") as file:
        # rows of earlier versions have the seconds of training alone
        return sum(float(row.get("wall_seconds") or row["seconds"]) for row in csv.DictReader(file))


def differences(
    folder: Path, variants: Sequence[Variant], rows: dict[tuple[str, str], dict[str, str]]
) -> list[Difference]:
    """Return what each variant with finished runs gives against the base, over the seeds that both have."""
    finished = {key for key, row in rows.items() if row["status"] == "finished"}
    found = []
    for variant in variants:
        seeds = [seed for name, seed in sorted(finished) if name == variant.name and (BASE, seed) in finished]
        if not seeds:
            continue
        own = [rows[variant.name, seed] for seed in seeds]
        top1 = np.array([float(row["top1"]) for row in own])
        base_top1 = np.array([float(rows[BASE, seed]["top1"]) for seed in seeds])
        pairs = [
            (read_correct(folder / safe_name(variant.name) / seed), read_correct(folder / BASE / seed))
            for seed in seeds
        ]
        found.append(
            Difference(
                variant,
                len(seeds),
                float(top1.mean()),
                float(top1.std(ddof=1)) if len(seeds) > 1 else float("nan"),
                float(np.mean([float(row["few_shot"] or "nan") for row in own])),
                float(np.median([float(row["minutes"]) for row in own])),
                float((top1 - base_top1).mean()),
                paired_interval(pairs),
            )
        )
    return found


def read_correct(folder: Path) -> dict[str, bool]:
    """Return whether each measured image, by its id, was answered right by the run in `folder`."""
    with np.load(folder / "correct.npz", allow_pickle=False) as saved:
        return dict(zip(saved["image_ids"].tolist(), saved["correct"].tolist(), strict=True))


def write_differences(folder: Path, found: Sequence[Difference]) -> None:
    """Write ablation.csv (fractions), ablation.md (points) and ablation.png."""
    rows = [
        (
            item.variant.name,
            " ".join(item.variant.overrides),
            item.seeds,
            *(f"{value:.6f}" for value in (item.top1, item.spread, item.gain, *item.interval, item.few_shot)),
            f"{item.minutes:.2f}",
        )
        for item in found
    ]
    write_rows(folder / "ablation.csv", TABLE_COLUMNS, rows)
    write_text(folder / "ablation.md", markdown(found))
    others = [item for item in found if item.variant.name != BASE]
    points = [(item.variant.name, 100 * item.gain, 100 * item.interval[0], 100 * item.interval[1]) for item in others]
    with as_warning(f"the picture {folder / 'ablation.png'}"):
        save_figure(differences_figure(points, "points of top-1 against the base"), folder / "ablation.png")


def markdown(found: Sequence[Difference]) -> str:
    """Return the differences as a Markdown table; the interval is the 95 % interval of the paired difference."""
    lines = [
        "| variant | top-1 % | spread | difference, points | 95 % interval | few-shot % | minutes | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for item in found:
        low, high = item.interval
        base = item.variant.name == BASE
        difference = "" if base else f"{100 * item.gain:+.2f}"
        interval = "" if base else f"{100 * low:+.2f} to {100 * high:+.2f}"
        lines.append(
            f"| {_plain(item.variant.name)} | {_points(item.top1)} | {_points(item.spread)} | {difference} | "
            f"{interval} | {_points(item.few_shot)} | {item.minutes:.1f} | {item.seeds} |"
        )
    if any(item.seeds < FEWEST_SEEDS for item in found):
        lines += ["", f"Intervals of fewer than {FEWEST_SEEDS} seeds cover other images, but not another training."]
    return "\n".join(lines) + "\n"


def _points(share: float) -> str:
    """Return a share in points, or nothing for NaN: one seed has no spread, and not all data few-shot classes."""
    return "" if np.isnan(share) else f"{100 * share:.2f}"


def _plain(text: str) -> str:
    """Return Markdown for a cell of a table that shows `text` as it is."""
    return re.sub(r"[\\`*|<>\[\]~&$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", " ".join(text.split()))
