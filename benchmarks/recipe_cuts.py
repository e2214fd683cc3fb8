"""Compare variants of a recipe on several small training tables ("cuts") and seeds; say which variants pay.

python benchmarks/recipe_cuts.py --data data/flowers102_dev --cuts 5a,5b,10a,10b --drop start_mix,sgd,mixup \
    --variant "long warm-up: training.warmup_epochs=3" --output results/cuts model=efficientnet_lite0 training=finetune

A cut NAME is train_NAME.csv with test_NAME.csv in the prepared folder, from benchmarks/cut_table.py. The same command
goes on where it was stopped; --table prints the table of what is finished. A variant enters the recipe only if it gains
over all cuts together (the paired 95 % interval lies above 0) and on none of them loses beyond chance (no interval
lies below 0). Only answers and histories of the runs are kept, not their models. Cuts of other sizes need other epochs
for the same minutes: run them with another --output, and name the folder of the first with --also for one table.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cli.entry import run_script, split_overrides
from common.csv_files import read_rows, write_rows
from common.errors import InputError
from common.files import safe_name, write_text
from configs.compose import compose
from evaluation.intervals import paired_interval, paired_interval_over_cuts
from tools.ablation import read_correct, train_and_measure
from tools.variants import BASE, Variant, variants_of

RUN_COLUMNS = ("cut", "variant", "overrides", "seed", "top1", "minutes", "status")

# one seed: whether the images, by id, are right with the variant and with the base
Pair = tuple[Mapping[str, bool], Mapping[str, bool]]
Rows = dict[tuple[str, str, str], dict[str, str]]


@dataclass(frozen=True)
class Verdict:
    """A variant over the cuts: mean top-1 per cut, the gain over the base and its 95 % interval, per cut and over all.

    Shares from 0 to 1. `runs` are pairs of runs with the base; a cut without one is not in the mappings.
    """

    variant: Variant
    runs: int
    top1: dict[str, float]
    cut_intervals: dict[str, tuple[float, float]]
    gain: float
    interval: tuple[float, float]

    @property
    def losses(self) -> list[str]:
        """The cuts on which the variant loses beyond chance."""
        return [cut for cut, (_, high) in self.cut_intervals.items() if high < 0]

    @property
    def enters(self) -> bool:
        """Whether the variant pays by the rule above."""
        return self.interval[0] > 0 and not self.losses


def main(arguments: list[str]) -> int:
    """Run what is missing, seed by seed, and print the table."""
    words, overrides = split_overrides(arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the prepared folder with the tables of the cuts")
    parser.add_argument("--cuts", required=True, metavar="A,B", help="names of the cuts")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (default: %(default)s)")
    parser.add_argument("--drop", default="", metavar="A,B", help="ingredients, as of flower_cli.py ablate")
    parser.add_argument("--variant", action="append", default=[], metavar="TEXT", help="'name: key=value key=value'")
    parser.add_argument("--table", action="store_true", help="run nothing, print the table of what is finished")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--also",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="put the cuts of this earlier --output into the table too; may be given several times",
    )
    flags = parser.parse_args(words)
    names = [name.strip() for name in flags.drop.split(",") if name.strip()]
    variants = variants_of(overrides, names, flags.variant)
    cuts = [cut.strip() for cut in flags.cuts.split(",") if cut.strip()]
    for cut in cuts:
        for table in (flags.data / f"train_{cut}.csv", flags.data / f"test_{cut}.csv"):
            if not table.is_file():
                raise InputError(f"{table}: not found. benchmarks/cut_table.py cuts it.")
    rows = read_finished(flags.output, overrides, variants)
    if not flags.table:
        run_missing(flags.output, flags.data, overrides, variants, cuts, flags.seeds, rows)
    for folder in flags.also:
        rows, cuts = with_other_cuts(rows, cuts, folder, overrides, variants)
    found = verdicts(variants, cuts, rows)
    text = markdown(found, cuts)
    write_text(flags.output / "cuts.md", text)
    print(text, end="")
    failed = [row for row in rows.values() if row["status"] != "finished"]
    for row in failed:
        print(f"{row['cut']}, {row['variant']}, seed {row['seed']}: {row['status']}", file=sys.stderr)
    return 1 if failed else 0


def read_finished(output: Path, base: Sequence[str], variants: Sequence[Variant]) -> Rows:
    """Return the rows of runs.csv by cut, variant and seed. Raises InputError if they are of other overrides."""
    path, about, text = output / "runs.csv", output / "base.txt", " ".join(base) + "\n"
    output.mkdir(parents=True, exist_ok=True)
    if not about.is_file():
        write_text(about, text)
    elif about.read_text(encoding="utf-8") != text:
        raise InputError(f"{output}: holds runs of another base ({about}). Name another folder.")
    rows = read_rows(path, RUN_COLUMNS) if path.is_file() else []
    overrides = {variant.name: " ".join(variant.overrides) for variant in variants}
    for row in rows:
        if overrides.get(row["variant"], row["overrides"]) != row["overrides"]:
            raise InputError(f"{path}: '{row['variant']}' had the overrides {row['overrides']}. Name another folder.")
    return by_run(output, rows)


def by_run(output: Path, rows: Sequence[dict[str, str]]) -> Rows:
    """Return rows of runs.csv by cut, variant and seed, each with the folder of its run."""
    return {
        (row["cut"], row["variant"], row["seed"]): row
        | {"folder": str(run_folder(output, row["cut"], row["variant"], row["seed"]))}
        for row in rows
    }


def with_other_cuts(
    rows: Rows, cuts: Sequence[str], other: Path, base: Sequence[str], variants: Sequence[Variant]
) -> tuple[Rows, list[str]]:
    """Return the rows and cuts with those of another folder, and print which of its variants are other ones.

    Its base and variants may have other epochs. Raises InputError if it has no runs, another base, or a cut of these.
    """
    path, about = other / "runs.csv", other / "base.txt"
    if not (path.is_file() and about.is_file()):
        raise InputError(f"{path}: not found. --also takes the --output of an earlier command.")
    text = about.read_text(encoding="utf-8")
    if _without_epochs(text.split()) != _without_epochs(base):
        raise InputError(f"{other}: holds runs of another base: {text.strip()}. Only the epochs may differ.")
    added = by_run(other, read_rows(path, RUN_COLUMNS))
    new, known = list(dict.fromkeys(cut for cut, _, _ in added)), {*cuts, *(cut for cut, _, _ in rows)}
    for cut in new:
        if cut in known:
            raise InputError(f"{other}: cut '{cut}' is in another folder too, so its runs cannot be told apart.")
    own = {variant.name: _without_epochs(variant.overrides) for variant in variants}
    for name, overrides in {row["variant"]: row["overrides"] for row in added.values()}.items():
        if name in own and _without_epochs(overrides.split()) != own[name]:
            print(f"note: {other}: '{name}' is {overrides} there.", file=sys.stderr)
    return rows | added, [*cuts, *new]


def _without_epochs(overrides: Sequence[str]) -> list[str]:
    return [word for word in overrides if word.partition("=")[0] not in ("training.epochs", "training.final_epochs")]


def run_missing(
    output: Path,
    data: Path,
    base: Sequence[str],
    variants: Sequence[Variant],
    cuts: Sequence[str],
    seeds: int,
    rows: Rows,
) -> None:
    """Train and measure what `rows` lacks, and write runs.csv after each run. All configs are checked first."""
    wanted = [
        (cut, variant, str(seed), run_folder(output, cut, variant.name, str(seed)))
        for seed in range(seeds)
        for cut in cuts
        for variant in variants
    ]
    configs = [
        compose(
            "config",
            [
                f"dataset.root={data}",
                f"dataset.train_csv={data / f'train_{cut}.csv'}",
                *base,
                *variant.overrides,
                f"seed={seed}",
                "training.resume=auto",
                f"output_dir={folder}",
            ],
            allow_unused=True,
        )
        for cut, variant, seed, folder in wanted
    ]
    path = output / "runs.csv"
    for (cut, variant, seed, folder), config in zip(wanted, configs, strict=True):
        if rows.get((cut, variant.name, seed), {}).get("status") == "finished":
            continue
        print(f"\nseed {seed}, cut {cut}, {variant.name}: {' '.join(variant.overrides)}", flush=True)
        about = {"cut": cut, "variant": variant.name, "overrides": " ".join(variant.overrides), "seed": seed}
        measured = about | train_and_measure(config, data / f"test_{cut}.csv")
        if path.is_file():
            # another process may have finished runs of this folder meanwhile
            rows |= by_run(output, read_rows(path, RUN_COLUMNS))
        rows |= by_run(output, [measured])
        write_rows(path, RUN_COLUMNS, [[row[name] for name in RUN_COLUMNS] for row in rows.values()])
        if rows[cut, variant.name, seed]["status"] == "finished":
            for name in ("checkpoints", "logs", "evaluation"):
                shutil.rmtree(folder / name, ignore_errors=True)


def run_folder(output: Path, cut: str, variant: str, seed: str) -> Path:
    """Return the folder of one run."""
    return output / "runs" / safe_name(cut) / safe_name(variant) / seed


def verdicts(variants: Sequence[Variant], cuts: Sequence[str], rows: Rows) -> list[Verdict]:
    """Return what each variant with finished runs gives against the base, the largest gain first."""
    finished = {key for key, row in rows.items() if row["status"] == "finished"}
    found = []
    for variant in variants:
        pairs: dict[str, list[Pair]] = {}
        top1 = {}
        for cut in cuts:
            both = [s for c, v, s in sorted(finished) if (c, v) == (cut, variant.name) and (cut, BASE, s) in finished]
            if both:
                top1[cut] = float(np.mean([float(rows[cut, variant.name, seed]["top1"]) for seed in both]))
                pairs[cut] = [
                    (answers_of(rows[cut, variant.name, seed]), answers_of(rows[cut, BASE, seed])) for seed in both
                ]
        if pairs:
            per_cut = {cut: paired_interval(of_cut) for cut, of_cut in pairs.items()}
            gain, interval = paired_interval_over_cuts(list(pairs.values()))
            found.append(Verdict(variant, sum(map(len, pairs.values())), top1, per_cut, gain, interval))
    return sorted(found, key=lambda verdict: -verdict.gain)


def answers_of(row: Mapping[str, str]) -> dict[str, bool]:
    """Return whether each test image of a finished run is right, by id."""
    return read_correct(Path(row["folder"]))


def markdown(found: Sequence[Verdict], cuts: Sequence[str]) -> str:
    """Return the verdicts as a Markdown table: top-1 per cut, the paired difference over all, the rank, the verdict."""
    judged = ("mean", "difference, points", "95 % interval", "loses on", "enters", "runs")
    header = ("rank", "variant", *cuts, *judged)
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    for rank, item in enumerate(found, start=1):
        base = item.variant.name == BASE
        per_cut = " | ".join(f"{100 * item.top1[cut]:.2f}" if cut in item.top1 else "" for cut in cuts)
        low, high = item.interval
        judged = f"{100 * item.gain:+.2f} | {100 * low:+.2f} to {100 * high:+.2f} | {', '.join(item.losses) or 'none'}"
        lines.append(
            f"| {rank} | {item.variant.name} | {per_cut} | {100 * np.mean(list(item.top1.values())):.2f} | "
            f"{' |  | ' if base else judged} | {'' if base else 'yes' if item.enters else 'no'} | {item.runs} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_script(main)
