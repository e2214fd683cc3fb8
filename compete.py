"""From a folder of photographs to a proven submission ZIP in a given number of hours."""

import argparse
from pathlib import Path

from cli.entry import ArgumentParser, run_script, split_overrides
from common.errors import InputError

# less is not even enough to start all commands once
FEWEST_HOURS = 0.05


def main(arguments: list[str]) -> int:
    """Do the stages that are not done yet; the same command goes on after an interruption."""
    words, overrides = split_overrides(arguments)
    flags = build_parser().parse_args(words)

    from autopilot.contest import Request, check_same_request, finished, opened
    from autopilot.progress import StageLine

    _check(flags)
    request = Request(
        source=flags.source,
        hours=flags.hours,
        output=flags.output,
        test=flags.test,
        profile=flags.profile,
        models=tuple(flags.models.split(",")) if flags.models else (),
        language=flags.language,
        keys=tuple(overrides),
    )
    check_same_request(request)
    done = finished(flags.output)
    if done is not None:
        print(f"Finished before: {done['summary']}. To begin anew, give another output folder or delete this one.")
        return 0
    line = StageLine(flags.hours, flags.json_progress)
    with opened(request, line) as contest:
        from autopilot import first_stages, last_stages
        from autopilot.summary import accuracy_text, write_summary

        first_stages.check(contest)
        first_stages.look(contest)
        first_stages.hold_back(contest)
        found = first_stages.shortlist(contest)
        first_stages.doubtful_labels(contest, found)
        runs = first_stages.plan(contest, found)
        if flags.plan:
            line.say("Edit the plan if you like; the same command without --plan goes on with it.")
            return 0
        checkpoints = first_stages.train(contest, runs, found)
        decision = last_stages.choose(contest, checkpoints)
        delivered = last_stages.deliver(contest, decision)
        result = write_summary(contest, found, runs, decision, delivered)
    figure = accuracy_text(result["test_top1"], result["test_interval"])
    line.say(
        f"\nTest top-1 {figure}, on images that chose nothing.\nProven: {result['submission']}\n"
        f"All of it: {result['summary']}"
    )
    return 0


def _check(flags: argparse.Namespace) -> None:
    """Raise InputError for what no stage could work with."""
    from configs.options import named_models

    if not FEWEST_HOURS <= flags.hours <= 10_000:
        raise InputError(f"--hours {flags.hours:g}: expected at least {FEWEST_HOURS:g}, which is three minutes.")
    if not flags.source.exists():
        raise InputError(f"--source {flags.source}: not found.")
    if flags.test is not None and not flags.test.is_dir():
        raise InputError(f"--test {flags.test}: no such folder.")
    for name in flags.models.split(",") if flags.models else ():
        if name not in named_models():
            raise InputError(f"--models {name}: no such model. Choose from {', '.join(named_models())}.")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands beside the overrides."""
    parser = ArgumentParser(
        prog="compete.py",
        usage="python compete.py --source DIR --hours H [--test DIR] [--models A,B] [--plan] [options] [key=value ...]",
        description=f"{__doc__} Killed at any moment, the same command goes on.",
        allow_abbrev=False,
    )
    parser.add_argument("--source", type=Path, required=True, help="the photographs and their labels: folder or ZIP")
    parser.add_argument("--hours", type=float, required=True, metavar="H", help="for everything, such as 8 or 0.5")
    parser.add_argument("--test", type=Path, help="folder of images to predict (default: the source's own, if any)")
    parser.add_argument("--profile", default="flower_2025", help="limits and ZIP layout (default: %(default)s)")
    parser.add_argument("--models", metavar="A,B", help="options of model= to choose from (default: all)")
    parser.add_argument("--plan", action="store_true", help="stop after the plan, which is a file that can be edited")
    parser.add_argument("--language", choices=["en", "zh"], default="en", help="of the report (default: %(default)s)")
    parser.add_argument("--json-progress", action="store_true", help="print a line of JSON every few seconds")
    parser.add_argument("--output", type=Path, default=Path("results/compete"), help="default: %(default)s")
    return parser


if __name__ == "__main__":
    run_script(main)
