"""Build the submission ZIP, unpack it elsewhere, run it as the judges do, and compare every row; or verify a ZIP."""

import argparse
from pathlib import Path

from cli.entry import ArgumentParser, file_path, run_script, split_overrides
from cli.pipeline_flags import add_pipeline_flags, add_profile_flag
from common.errors import InputError
from common.files import expand_home


def main(arguments: list[str]) -> int:
    """Prepare or verify; return 1 if a rule is broken."""
    words, overrides = split_overrides(arguments)
    flags = build_parser().parse_args(words)

    from cli.competition_input import check_preparation, check_verification

    if flags.verify_only:
        given = [name for name in ("checkpoint", "predictions", "output", "tta") if getattr(flags, name)]
        if given:
            raise InputError(f"--verify-only takes a ZIP as it is; --{given[0]} has no effect on it.")
    (check_verification if flags.verify_only else check_preparation)(flags, overrides)

    from cli.checks_text import describe_broken, describe_checks, describe_submission
    from cli.competition_commands import prepare, verify
    from competition.archive import open_archive
    from competition.profile import read_profile

    if flags.verify_only:
        # nothing is announced that cannot begin
        open_archive(flags.verify_only).close()
        print(f"Unpacking {flags.verify_only} and RUNNING its code, without network, as the judges would.", flush=True)
        checks = verify(flags, overrides)
        broken = describe_broken(checks)
        print("\n".join(describe_checks(checks)))
        print(broken or "The ZIP runs, and keeps all rules that can be checked here.")
        return 1 if broken else 0
    submission = prepare(flags, overrides)
    profile, _ = read_profile(flags.profile, overrides)
    print("\n".join([*describe_checks(submission.checks), *describe_submission(submission, profile)]))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands beside the overrides."""
    parser = ArgumentParser(
        prog="prepare_submission.py",
        usage="python prepare_submission.py (--predictions F [--checkpoint P ...] [--input DIR] [--tta [VIEWS]] "
        "[--output Z] | --verify-only Z [--input DIR]) [--python P] [--profile N] [key=value ...]",
        description=f"{__doc__} Keys: competition.* (the limits), device, dataset.test_dir, dataset.batch_size, "
        "dataset.num_workers.",
        allow_abbrev=False,
    )
    add_pipeline_flags(parser, required=False)
    parser.add_argument("--predictions", type=Path, help="predictions.csv; its provenance names checkpoints and input")
    parser.add_argument("--input", type=Path, help="the test folder (default: the one that the provenance names)")
    parser.add_argument("--output", type=file_path, help="default: results/submission.zip")
    parser.add_argument("--verify-only", type=Path, metavar="ZIP", help="run and check a ZIP, also one made by others")
    parser.add_argument(
        "--python",
        type=expand_home,
        metavar="P",
        help="run the ZIP's code under this interpreter and its packages too, for example of a Python 3.8; with "
        "--verify-only under it alone",
    )
    add_profile_flag(parser)
    return parser


if __name__ == "__main__":
    run_script(main)
