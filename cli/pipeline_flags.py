"""Flags shared by several scripts: which checkpoints predict, and how. Imports nothing heavy at the top."""

import argparse
from pathlib import Path

from configs.options import current_name
from prediction.options import AUTO_RUNTIME, AVERAGES, PRECISIONS, RUNTIMES, PredictionOptions
from prediction.predictions_csv import FORMATS


def add_pipeline_flags(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Declare the flags of a pipeline: checkpoints, views, averaging, weights, runtime, precision."""
    parser.add_argument(
        "--checkpoint", type=Path, nargs="+", required=required, metavar="P", help="best_model.pt of one or more runs"
    )
    parser.add_argument(
        "--tta",
        nargs="?",
        const="identity,hflip",
        metavar="VIEWS",
        help="average over views of each image, with commas: identity,hflip (without VIEWS), rotate+5, scale1.1, ..., "
        "and the sets flips, full, crops5",
    )
    parser.add_argument("--average", choices=AVERAGES, help=f"of views (default: {AVERAGES[0]})")
    parser.add_argument(
        "--weights", type=float, nargs="+", metavar="W", help="of several checkpoints, in their order (default: equal)"
    )
    parser.add_argument(
        "--runtime",
        choices=(*RUNTIMES, AUTO_RUNTIME),
        help=f"{AUTO_RUNTIME}: the fastest that is installed; exported .onnx and .xml have theirs "
        f"(default: {RUNTIMES[0]})",
    )
    parser.add_argument(
        "--precision",
        choices=tuple(PRECISIONS),
        help="default: fp16 on CUDA (fp32 if trained without mixed precision), fp32 elsewhere",
    )


def add_format_flag(parser: argparse.ArgumentParser) -> None:
    """Declare the flag that says in which form predictions are written."""
    default, *_ = FORMATS
    forms = "; ".join(",".join(columns) for columns in FORMATS.values())
    parser.add_argument(
        "--format",
        type=current_name,
        choices=tuple(FORMATS),
        default=default,
        help=f"columns: {forms} (default: {default})",
    )


def add_profile_flag(parser: argparse.ArgumentParser) -> None:
    """Declare the flag that names the contest's limits and layout."""
    parser.add_argument("--profile", default="flower_2025", help="limits and ZIP layout (default: %(default)s)")


def read_prediction_options(flags: argparse.Namespace) -> PredictionOptions:
    """Return what the flags of `add_pipeline_flags` say. Raises InputError for an unknown view."""
    from prediction.view_names import parse_views

    average, runtime = flags.average or AVERAGES[0], flags.runtime or RUNTIMES[0]
    return PredictionOptions(parse_views(flags.tta), average, flags.weights, flags.precision, runtime)
