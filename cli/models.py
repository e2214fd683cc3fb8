"""flower_cli.py models: the model options with their sizes, and which of them fit the limits."""

import argparse

HELP = "list the model options with their sizes, and whether they fit the limits"

_WIDEST_TABLE = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--classes", type=int, default=100, help="classes of the classifier (default: %(default)s)")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the table."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from common.errors import InputError
    from configs.compose import compose
    from models.catalog import model_options

    foreign = [override for override in overrides if not override.startswith("competition")]
    if foreign:
        raise InputError(f"{foreign[0]}: 'models' takes no other override than competition=... and its keys.")
    if not 2 <= arguments.classes <= 100_000:
        raise InputError(f"--classes {arguments.classes}: expected 2 to 100000.")
    limits = compose("config", overrides).competition
    table = Table(box=SIMPLE_HEAD)
    for heading in ("model=", "timm architecture", "pixels", "parameters", "MB fp32", "MB fp16", "fits", "licence"):
        right = heading in ("pixels", "parameters", "MB fp32", "MB fp16")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for option in model_options(arguments.classes):
        fitting = [
            name
            for name, megabytes in (("fp32", option.megabytes_fp32), ("fp16", option.megabytes_fp16))
            if megabytes <= limits.max_model_mb and option.parameters <= limits.max_parameters
        ]
        table.add_row(
            option.option,
            option.architecture,
            str(option.input_size),
            f"{option.parameters / 1e6:.1f} M",
            f"{option.megabytes_fp32:.1f}",
            f"{option.megabytes_fp16:.1f}",
            " and ".join(fitting) or "neither",
            option.licence,
        )
    # a narrow terminal wraps lines; nothing is cut off
    console = Console(width=_WIDEST_TABLE)
    console.print(table, soft_wrap=True)
    print(f"Limits of {limits.name}: {limits.max_model_mb:g} MB and {limits.max_parameters:.0e} parameters in all.")
    return 0
