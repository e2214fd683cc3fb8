"""The gate: does this model, this CSV, this ZIP keep the contest's rules? The exit code says: 0 yes, 1 no."""

import argparse
import json
from pathlib import Path

from cli.entry import ArgumentParser, run_script, split_overrides
from cli.pipeline_flags import add_pipeline_flags, add_profile_flag


def main(arguments: list[str]) -> int:
    """Check, print a table or JSON, and return 1 if a rule is broken."""
    words, overrides = split_overrides(arguments)
    flags = build_parser().parse_args(words)

    from cli.competition_input import check_gate

    check_gate(flags, overrides)

    from cli.checks_text import describe_broken, describe_checks
    from cli.competition_commands import check_all
    from competition.checks import as_json

    checks = check_all(flags, overrides)
    broken = describe_broken(checks)
    if flags.json:
        print(json.dumps(as_json(checks), indent=2, ensure_ascii=False))
    else:
        print("\n".join(describe_checks(checks)))
        print(broken or "All rules kept.")
    return 1 if broken else 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands beside the overrides."""
    parser = ArgumentParser(
        prog="check_competition.py",
        usage="python check_competition.py [--checkpoint P ...] [--predictions F] [--submission Z] [--input DIR] "
        "[--tta [VIEWS]] [--profile N] [--json] [key=value ...]",
        description=f"{__doc__} A ZIP is read, nothing in it is run. Keys: competition.* (the limits), device, "
        "dataset.test_dir, dataset.batch_size, dataset.num_workers.",
        allow_abbrev=False,
    )
    add_pipeline_flags(parser, required=False)
    parser.add_argument("--predictions", type=Path, help="predictions.csv; its provenance names checkpoints and views")
    parser.add_argument("--submission", type=Path, help="submission.zip")
    parser.add_argument("--input", type=Path, help="the test folder that the CSV must answer for, row by row")
    add_profile_flag(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


if __name__ == "__main__":
    run_script(main)
