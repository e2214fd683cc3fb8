"""flower_cli.py prepare-data: labelled images in any usual form become a prepared data set."""

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

HELP = "turn a folder per class, a table of labels with its images, or a ZIP of them into a prepared data set"

_SHOWN = 3

_SHOWN_TABLES = 8

# share of images that lose much to the centre crop from which on there is a hint
_MANY = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--source", type=Path, required=True, help="folder with the images and their labels, or a ZIP")
    parser.add_argument("--output", type=Path, help="folder to write, for example data/flower100")
    parser.add_argument("--labels", type=Path, help="the table of labels, where it is not found beside the images")
    parser.add_argument("--image-column", metavar="NAME", help="the table's column of image names")
    parser.add_argument("--label-column", metavar="NAME", help="the table's column of labels")
    parser.add_argument(
        "--merge-classes",
        action="store_true",
        help="make one class of classes that differ only in case, white space or Unicode form",
    )
    parser.add_argument(
        "--link", action="store_true", help="make hard links instead of copies where the disk allows it"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what is understood, and write nothing")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Prepare and print what was understood, and the summary."""
    from common.errors import InputError
    from common.files import check_writable_folder
    from data.prepare import Request, prepare_data, understand_source
    from data.table_use import Columns

    if overrides:
        raise InputError(f"{overrides[0]}: prepare-data takes no config keys.")
    if arguments.output is None and not arguments.dry_run:
        raise InputError("prepare-data needs --output, the folder to write.")
    request = Request(
        source=arguments.source,
        output=arguments.output or Path("data/prepared"),
        labels=arguments.labels,
        columns=Columns(arguments.image_column, arguments.label_column),
        merge_classes=arguments.merge_classes,
        link=arguments.link,
    )
    if arguments.dry_run:
        for line in describe_understood(understand_source(request)):
            print(line)
        print("Nothing was written (--dry-run).")
        return 0
    for folder in (request.output, *(request.output / part for part in ("train", "val", "test"))):
        check_writable_folder(folder)
    summary = prepare_data(request)
    for line in [*describe_understood(summary["understood"]), *describe(summary, arguments.link)]:
        print(line)
    written = [f"{name}.csv" for name in ("train", "val", "test") if (request.output / f"{name}.csv").is_file()]
    folders = [f"{name}/" for name in summary["understood"]["parts"]]
    print(f"Wrote {request.output}: {', '.join([*written, 'classes.csv', *folders, 'summary.json'])}")
    print(f"Next: python train.py dataset.root={request.output}")
    return 0


def describe_understood(understood: Mapping[str, Any]) -> list[str]:
    """Return what the source was taken for as lines; long lists are shortened, summary.json has them complete."""
    lines = [f"{'layout':<20} {understood['layout']}"]
    used = {path: use for path, use in understood["tables"].items() if not use.startswith("not used")}
    others = {path: use for path, use in understood["tables"].items() if path not in used}
    lines += [f"{'table':<20} {path}: {use}" for path, use in [*used.items(), *list(others.items())[:_SHOWN_TABLES]]]
    if len(others) > _SHOWN_TABLES:
        lines.append(f"{'table':<20} {len(others) - _SHOWN_TABLES} other tables: not used")
    for name, part in understood["parts"].items():
        unlabelled = part["images"] - part["labelled"]
        told = f"{part['labelled']} labelled images" if part["labelled"] or not unlabelled else ""
        told += f"{' and ' if told else ''}{unlabelled} images to predict" if unlabelled else ""
        lines.append(f"{name:<20} {told}")
    lines.append(f"{'classes':<20} {_shortened(understood['classes'])}")
    lines += [f"{'left out':<20} {reason}: {_shortened(found)}" for reason, found in understood["left_out"].items()]
    if understood["labels_without_file"]:
        lines.append(f"{'left out':<20} labels without a file: {_shortened(understood['labels_without_file'])}")
    lines += [f"{'note':<20} {note}" for note in understood["notes"]]
    return lines


def describe(summary: Mapping[str, Any], link: bool = False) -> list[str]:
    """Return the summary as lines; long lists are shortened, summary.json has them complete."""
    from data.listing import count_by_suffix

    per_class, sizes = summary["images_per_class"], summary["sizes"]
    common = ", ".join(f"{count} of {size}" for size, count in summary["sizes"]["most_common"].items())
    lines = [
        f"images               {summary['images']} in {summary['classes']} classes",
        f"images per class     {per_class['min']} to {per_class['max']}, median {per_class['median']:g}",
        f"sizes                {sizes['different']} different, most often {common}; "
        f"shorter side {sizes['shorter_side_min']} to {sizes['shorter_side_max']} px",
        describe_crop(summary["centre_crop"]),
    ]
    by_suffix = count_by_suffix(summary["unreadable"])
    notes = {
        "unreadable": f"left out of train.csv; {by_suffix}",
        "recovered": "damaged, read as far as they go",
        "not_of_this_source": "in the output folder from elsewhere, not in the tables",
        "renamed": "see renamed.csv",
    }
    for key, consequence in notes.items():
        lines.append(f"{key.replace('_', ' '):<20} {_count_and_first(summary[key], consequence)}")
        if key == "unreadable":
            reasons = list(summary[key].items())[:_SHOWN]
            lines += [f"{'':<20} {image_id}: {reason}" for image_id, reason in reasons]
    duplicates = summary["duplicates"]
    differing = sum(group["labels_differ"] for group in duplicates)
    pairs = [" = ".join(group["images"]) for group in duplicates]
    lines.append(f"{'same content':<20} {_count_and_first(pairs, f'groups; {differing} with different labels')}")
    lines += _describe_decisions(summary["corrections"])
    if link:
        lines.append(f"{'hard links':<20} {summary['linked']}; all other files are copies")
    return lines


def _describe_decisions(found: Mapping[str, Any]) -> list[str]:
    from data.carried_decisions import UNMATCHED_FILE

    if not found["kept"] and not found["unmatched"]:
        return []
    lines = [f"{'corrections':<20} {found['kept']} decisions of corrections.csv still match and stay"]
    if found["unmatched"]:
        told = _count_and_first(found["unmatched"], f"image or class is gone; moved to {UNMATCHED_FILE}")
        lines.append(f"{'':<20} no longer match: {told}")
    return lines


def describe_crop(losses: Mapping[str, float]) -> str:
    """Say what the centre crop of evaluation loses, and name the key where many images lose much."""
    text = (
        f"centre crop          loses {100 * losses['mean']:.0f} % of the area on average; "
        f"{100 * losses['much']:.0f} % of the images lose more than 25 %"
    )
    hint = "; model.fit=stretch or pad, or --tta identity,stretch, shows the whole picture"
    return text + (hint if losses["much"] >= _MANY else "")


def _count_and_first(entries: Collection[str], consequence: str) -> str:
    return f"{len(entries)} ({consequence}): {_first(entries)}" if entries else "0"


def _shortened(entries: Collection[str]) -> str:
    return f"{len(entries)}, {_first(entries)}"


def _first(entries: Collection[str]) -> str:
    return ", ".join(list(entries)[:_SHOWN]) + (", ..." if len(entries) > _SHOWN else "")
