"""flower_cli.py augment-preview: a contact sheet of augmented images."""

import argparse
from pathlib import Path

from cli.entry import file_path

HELP = "write a contact sheet (PNG) of augmented training images: augmentation=ultra_strong dataset=demo"

TILE = 224


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--output", type=file_path, default=Path("preview.png"), help="default: %(default)s")
    parser.add_argument("--images", type=int, default=6, help="images, one a row (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=6, help="augmented copies of each (default: %(default)s)")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Write the sheet: each row is a training image as in evaluation, then as each epoch augments it."""
    from common.errors import InputError
    from common.files import check_writable
    from configs.compose import compose
    from data.prepared import load_table
    from data.preview import contact_sheet, write_png
    from data.transforms import train_transform

    if arguments.images < 1 or arguments.epochs < 1:
        raise InputError("--images and --epochs: expected at least 1.")
    check_writable(arguments.output, suffix=".png")
    config = compose("config", overrides)
    table = load_table(config.dataset)
    transform = train_transform(config)
    sheet = contact_sheet(table, transform, arguments.images, arguments.epochs, TILE, config.seed, config.model.fit)
    write_png(arguments.output, sheet)
    print(f"{arguments.output}: augmentation {config.augmentation.name}, {', '.join(config.augmentation.train)}")
    return 0
