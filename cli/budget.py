"""flower_cli.py budget: the best answer that the latency and the size buy."""

import argparse
from pathlib import Path

from cli.entry import add_profile_flag

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
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--output", type=Path, default=Path("results/budget"), help="default: %(default)s")
    add_profile_flag(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Measure and print; exit code 1 if nothing keeps the limits."""
    import dataclasses

    from competition.profile import read_profile
    from prediction.views import parse_views
    from tools.latency_budget import best_of, find_best

    profile, others = read_profile(arguments.profile, overrides)
    given = {"max_latency_ms": arguments.max_latency, "max_model_mb": arguments.max_size}
    limits = dataclasses.replace(profile, **{name: value for name, value in given.items() if value is not None})
    views = [parse_views(text) for text in arguments.tta or ("identity", "identity,hflip", "flips")]
    choices, table, advice = find_best(arguments.checkpoint, limits, views, arguments.data, arguments.output, others)
    if arguments.json:
        print((arguments.output / "budget.json").read_text(encoding="utf-8"), end="")
    else:
        print("\n".join([*table, *advice, f"Tables and plot: {arguments.output}"]))
    return 0 if best_of(choices, allowed_only=True) else 1
