"""flower_cli.py lr-range: the range of peak learning rates that train stably."""

import argparse
from pathlib import Path

from cli.early_checks import check_data_of, check_folder

HELP = "learning-rate range test: train a little with a growing rate, plot the loss, name the rates to try"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--low", type=float, default=1e-6, help="first rate (default: %(default)s)")
    parser.add_argument("--high", type=float, default=1.0, help="last rate (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="optimizer steps (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/lr_range"), help="default: %(default)s")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Run the test and print the rates; nothing of the model is kept."""
    from common.errors import InputError
    from configs.compose import compose

    if not 0 < arguments.low < arguments.high <= 100:
        raise InputError("--low and --high: expected 0 < low < high <= 100.")
    if arguments.steps < 20:
        raise InputError("--steps: expected at least 20.")
    config = compose("config", overrides)
    check_folder(arguments.output)
    check_data_of(config)

    from tools.lr_range import lr_range

    found = lr_range(config, arguments.low, arguments.high, arguments.steps, arguments.output)
    print(f"steepest fall       training.learning_rate={found.steepest:.2g}")
    print(f"tenth of the lowest training.learning_rate={found.tenth_of_lowest:.2g}")
    if found.before_rise is not None:
        print(f"before the rise     training.learning_rate={found.before_rise:.2g}")
    print("A peak rate near them is a good first guess; training.learning_rate=auto takes the last.")
    print(f"Curve: {arguments.output / 'lr_range.png'}")
    return 0
