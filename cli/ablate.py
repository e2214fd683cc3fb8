"""flower_cli.py ablate: the gain of each ingredient of a recipe, over several seeds."""

import argparse
from pathlib import Path

from cli.early_checks import check_data_of, check_folder, check_labels
from cli.entry import names_in

HELP = "train a recipe with and without its ingredients over several seeds; table and plot of the paired differences"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--base", action="store_true", help="may stand before the key=value words, which are the base recipe"
    )
    parser.add_argument(
        "--drop", default="", metavar="A,B", help="ingredients to leave out, or to add where the base lacks them"
    )
    parser.add_argument(
        "--variant", action="append", default=[], metavar="TEXT", help="another variant: 'name: key=value key=value'"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (default: %(default)s)")
    parser.add_argument(
        "--data", type=Path, help="measure on this table or prepared folder (default: test split, or val)"
    )
    parser.add_argument("--output", type=Path, default=Path("results/ablation"), help="default: %(default)s")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Run what is missing in the output folder; the same command continues an interrupted ablation."""
    from common.errors import InputError
    from configs.compose import compose
    from tools.variants import variants_of

    names = names_in(arguments.drop)
    if arguments.seeds < 1:
        raise InputError("--seeds: expected at least 1.")
    variants = variants_of(overrides, names, arguments.variant)
    check_folder(arguments.output)
    check_data_of(compose("config", overrides))
    check_labels(arguments.data)

    from tools.ablation import ablate, markdown

    print(markdown(ablate(overrides, variants, arguments.seeds, arguments.output, arguments.data)), end="")
    print(f"Tables and plot: {arguments.output}")
    return 0
