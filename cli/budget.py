"""flower_cli.py budget: best accuracy within a latency and size limit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.early_checks import check_folder, check_labels, check_models
from cli.pipeline_flags import add_profile_flag

if TYPE_CHECKING:
    from tools.latency_budget import Budget, Choice

HELP = "measure models, runtimes, precisions and views; print the Pareto front and the best that keeps the limits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True, metavar="P", help="best_model.pt of runs")
    parser.add_argument("--max-latency", type=float, metavar="MS", help="p95 an image (default: the profile's)")
    parser.add_argument("--max-size", type=float, metavar="MB", help="of all models (default: the profile's)")
    parser.add_argument(
        "--tta",
        action="append",
        metavar="VIEWS",
        help="a view set to measure; repeat it for more (default: identity; identity,hflip; flips)",
    )
    parser.add_argument("--data", type=Path, help="measure top-1 on this table or folder (default: validation)")
    parser.add_argument(
        "--no-exports",
        action="store_true",
        help="only the checkpoints as they are, in torch, as a ZIP holds them",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--output", type=Path, default=Path("results/budget"), help="default: %(default)s")
    add_profile_flag(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Measure, print and write budget.json; exit code 1 if nothing keeps the limits."""
    from common.files import to_json, write_text
    from competition.profile import read_profile
    from prediction.options import LABELLED_KEYS
    from prediction.view_names import parse_views

    given = {"max_latency_ms": arguments.max_latency, "max_model_mb": arguments.max_size}
    keys = [f"competition.{name}={value}" for name, value in given.items() if value is not None]
    limits, others = read_profile(arguments.profile, [*overrides, *keys])
    views = [parse_views(text) for text in arguments.tta or ("identity", "identity,hflip", "flips")]
    check_folder(arguments.output)
    check_models(arguments.checkpoint, others, LABELLED_KEYS)
    check_labels(arguments.data)

    from tools.latency_budget import find_best

    exports = not arguments.no_exports
    found = find_best(arguments.checkpoint, limits, views, arguments.data, arguments.output, others, exports)
    text = to_json(as_json(found))
    write_text(arguments.output / "budget.json", text)
    if arguments.json:
        print(text, end="")
    else:
        print("\n".join([*describe(found), f"Tables and plot: {arguments.output}"]))
    return 0 if found.best else 1


def describe(found: Budget) -> list[str]:
    """Return the table, fastest first, and the best choices with their command lines."""
    size = found.limits.input_size
    lines = [
        *_notes(found),
        f"on {found.hardware}; p95 of files of {size}x{size}, batch 1; * = on the Pareto front",
        f"  {'models, runtime, precision, views':<52} {'top-1 %':>8} {'median':>7} {'p95 ms':>7} {'MB':>7}",
    ]
    for choice in sorted(found.choices, key=lambda choice: choice.p95_ms):
        remarks = [] if choice.fits else ["beyond the limits"]
        remarks += [] if choice.allowed else [f"not for {found.limits.name}"]
        lines.append(
            f"{'*' if choice in found.front else ' '} {choice.name:<52} {100 * choice.top1:>8.2f} "
            f"{choice.median_ms:>7.1f} {choice.p95_ms:>7.1f} {choice.size_mb:>7.1f}  {', '.join(remarks)}".rstrip()
        )
    return lines + _advice(found)


def _advice(found: Budget) -> list[str]:
    limits, best = found.limits, found.best
    lines = [f"limits: p95 {limits.max_latency_ms:g} ms, {limits.max_model_mb:g} MB"]
    if best is None:
        lines.append(f"Nothing fits {limits.name} here. A smaller model.input_size or model is faster.")
    else:
        lines += [f"best for {limits.name}: {best.name}", f"  {command_of(best)}"]
    if found.best_of_all is not None and found.best_of_all is not best:
        lines += [f"best with any runtime: {found.best_of_all.name}", f"  {command_of(found.best_of_all)}"]
    return lines


def as_json(found: Budget) -> dict[str, Any]:
    """Return all figures, and the best choice with its command line, as plain values."""
    limits, best = found.limits, found.best
    return {
        "hardware": found.hardware,
        "images": found.images,
        "notes": _notes(found),
        "limits": {"profile": limits.name, "p95_ms": limits.max_latency_ms, "size_mb": limits.max_model_mb},
        "choices": [found.figures_of(choice) for choice in found.choices],
        "best": None if best is None else {**found.figures_of(best), "command": command_of(best)},
    }


def command_of(choice: Choice) -> str:
    """Return the command line that predicts with this choice."""
    deployed = choice.deployed
    script = "inference.py" if len(deployed.paths) == 1 else "ensemble.py"
    words = ["python", script, "--checkpoint", *map(_quoted, deployed.paths)]
    if deployed.paths[0].suffix == ".pt" and deployed.runtime != "torch":
        words += ["--runtime", deployed.runtime]
    if len(choice.views) > 1:
        words += ["--tta", ",".join(choice.views)]
    return " ".join([*words, *deployed.keys])


def _quoted(path: Path) -> str:
    text = path.as_posix()
    return f'"{text}"' if " " in text else text


def _notes(found: Budget) -> list[str]:
    return [f"note: {note}" for note in found.notes]
