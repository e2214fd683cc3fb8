"""Train a classifier: compose one config, check it, train, and keep the best model."""

import argparse
import sys

from cli.entry import ArgumentParser, run_script, split_overrides
from common.errors import InputError
from configs.options import config_names, describe_options


def main(arguments: list[str]) -> int:
    """Run one training, or with --multirun one for each combination of the values given."""
    words, overrides = split_overrides(arguments)
    flags = build_parser().parse_args(words)

    from configs.compose import compose, expand_sweep, to_yaml

    jobs = expand_sweep(overrides) if flags.multirun else [overrides]
    configs = [compose(flags.config_name, job) for job in jobs]
    if flags.cfg:
        for config in configs:
            sys.stdout.write(to_yaml(config))
        return 0

    if flags.plan and flags.multirun:
        raise InputError("--plan: plans one run; leave --multirun out.")
    if not flags.multirun:
        from cli.early_checks import check_run

        check_run(configs[0])
    if flags.plan:
        from cli.plan_text import plan_lines
        from training.plan import plan_run

        print("\n".join(plan_lines(plan_run(configs[0]))))
        return 0

    # torch is imported only now, so that a wrong input is answered at once
    from common.distributed import processes
    from tools.sweep import train_sweep
    from training.train import train

    with processes():
        if flags.multirun:
            sweep = train_sweep(configs, jobs)
            print(f"\n{sweep.runs - sweep.failures} of {sweep.runs} runs finished; {sweep.table} ranks them")
            return 1 if sweep.failures else 0
        train(configs[0])
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of what stands beside the overrides."""
    parser = ArgumentParser(
        prog="train.py",
        usage="python train.py [--config-name NAME] [--cfg job | --plan] [--multirun] [group=option] [key=value ...]",
        description=f"{__doc__}\n\nGroups and keys:\n{describe_options()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config-name", "-cn", default="config", help=", ".join(config_names()))
    parser.add_argument("--cfg", choices=["job"], help="print the composed config and stop")
    parser.add_argument("--plan", action="store_true", help="measure what the run would take, print it and stop")
    parser.add_argument("--multirun", "-m", action="store_true", help="train each combination, as in seed=0,1,2")
    return parser


if __name__ == "__main__":
    run_script(main)
