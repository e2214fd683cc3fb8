"""flower_cli.py split: the parts of a prepared data set as tables, so that several runs share them."""

import argparse

HELP = "write the training, validation and test images of a prepared data set as tables that several runs share"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flag; the parts are those of dataset.val_split, dataset.test_split and seed."""
    parser.add_argument(
        "--test-folder", action="store_true", help="put the test images into the folder part_test as well"
    )


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Write the tables and print the keys that use them."""
    from configs.compose import compose
    from tools.split_tables import write_parts

    parts = write_parts(compose("config", overrides), arguments.test_folder)
    images = parts.images
    print(
        f"{images['train']} images for training, {images['val']} for validation (half of them to choose by, half to "
        f"confirm with), {images['test']} for a test"
    )
    print(f"Keys of a run on them: {' '.join(parts.keys)}")
    return 0
