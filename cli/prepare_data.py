"""flower_cli.py prepare-data: labelled images in any usual form become a prepared data set."""

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

HELP = "turn train.zip + train_labels.csv, a folder per class, or a table image_id,label into a prepared data set"

_SHOWN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--source", type=Path, required=True, help="folder with the images and their labels, or train.zip"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write, for example data/flower100")
    parser.add_argument("--labels", type=Path, help="the table of labels, where it is not found beside the images")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Prepare and print the summary."""
    from common.errors import InputError
    from common.files import check_writable_folder
    from data.prepare import prepare_data

    if overrides:
        raise InputError(f"{overrides[0]}: prepare-data takes no config keys.")
    for folder in (arguments.output, arguments.output / "train"):
        check_writable_folder(folder)
    summary = prepare_data(arguments.source, arguments.output, arguments.labels)
    for line in describe(summary):
        print(line)
    print(f"Wrote {arguments.output}: train.csv, classes.csv, train/, summary.json")
    print(f"Next: python train.py dataset.root={arguments.output}")
    return 0


def describe(summary: dict[str, Any]) -> list[str]:
    """Return the summary as lines; long lists are shortened, summary.json has them complete."""
    per_class, sizes = summary["images_per_class"], summary["sizes"]
    common = ", ".join(f"{count} of {size}" for size, count in summary["sizes"]["most_common"].items())
    lines = [
        f"images               {summary['images']} in {summary['classes']} classes",
        f"images per class     {per_class['min']} to {per_class['max']}, median {per_class['median']:g}",
        f"sizes                {sizes['different']} different, most often {common}; "
        f"shorter side {sizes['shorter_side_min']} to {sizes['shorter_side_max']} px",
    ]
    notes = {
        "unreadable": "left out of train.csv",
        "recovered": "damaged, read as far as they go",
        "files_without_label": "not used",
        "labels_without_file": "not used",
        "not_of_this_source": "in the output folder from elsewhere, not in train.csv",
    }
    for key, consequence in notes.items():
        lines.append(f"{key.replace('_', ' '):<20} {_count_and_first(summary[key], consequence)}")
    duplicates = summary["duplicates"]
    differing = sum(group["labels_differ"] for group in duplicates)
    pairs = [" = ".join(group["images"]) for group in duplicates]
    lines.append(f"{'same content':<20} {_count_and_first(pairs, f'groups; {differing} with different labels')}")
    return lines


def _count_and_first(entries: Collection[str], consequence: str) -> str:
    if not entries:
        return "0"
    shown = ", ".join(list(entries)[:_SHOWN])
    return f"{len(entries)} ({consequence}): {shown}{', ...' if len(entries) > _SHOWN else ''}"
