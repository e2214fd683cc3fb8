"""flower_cli.py export: a checkpoint for another runtime or precision."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cli.early_checks import check_conversion, check_folder, check_labels, check_models
from cli.entry import with_figures
from prediction.options import LABELLED_KEYS

if TYPE_CHECKING:
    from tools.export import Export

HELP = (
    "write a checkpoint for onnx (fp32), openvino (fp32, fp16, int8) or torch (fp16), compared on real images first, "
    "or as a folder of timm"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="P", help="best_model.pt")
    parser.add_argument("--runtime", required=True, metavar="R", help="onnx, openvino, torch or timm")
    parser.add_argument("--precision", default="fp32", metavar="P", help="fp32, fp16 or int8 (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="F", help="ends in .onnx, .xml or .pt; of timm a folder"
    )
    parser.add_argument("--data", type=Path, help="compare on this table or prepared folder (default: validation)")
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="T",
        help="difference in probability (default: 1e-4 of fp32, 1e-2 of fp16); of int8 the loss of top-1 (0.003)",
    )


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Convert, compare, write; print the comparison."""
    from common.errors import InputError, RunError

    if arguments.runtime == "timm":
        if arguments.precision != "fp32" or arguments.data or arguments.tolerance is not None or overrides:
            raise InputError(
                "--runtime timm: takes --checkpoint and --output alone; the folder is float32, as checked."
            )
        check_folder(arguments.output)
        check_models([arguments.checkpoint], [], ())
        return _print_folder(arguments)
    check_conversion(arguments.checkpoint, arguments.runtime, arguments.precision, arguments.output)
    check_models([arguments.checkpoint], overrides, LABELLED_KEYS)
    check_labels(arguments.data)

    from tools.export import export

    try:
        found = export(
            arguments.checkpoint,
            arguments.runtime,
            arguments.precision,
            arguments.output,
            arguments.data,
            arguments.tolerance,
            overrides,
        )
    except RunError as error:
        raise with_figures(error, describe) from error
    size = sum(file.stat().st_size for file in found.files) / 1e6
    print("\n".join([*describe(found), f"Wrote {', '.join(map(str, found.files))} ({size:.1f} MB)"]))
    return 0


def _print_folder(arguments: argparse.Namespace) -> int:
    from tools.export import export_timm

    files, folder = export_timm(arguments.checkpoint, arguments.output), arguments.output
    print(f"Wrote {', '.join(map(str, files))}; timm reads the same logits from them: local-dir:{folder}")
    print(f"hf upload <user>/<name> {folder} puts the folder on the hub.")
    return 0


def describe(found: Export) -> list[str]:
    """Return the comparison with the checkpoint, and whether the tolerance was kept."""
    from tools.export import NARROW_MARGIN

    comparison, gain = found.comparison, found.comparison.gain
    limit = found.tolerance
    unit = f"{100 * limit:g} points of top-1" if found.precision == "int8" else f"{limit:g} in probability"
    return [
        f"labels      {comparison.equal} of {comparison.images} equal; without the {comparison.narrow} whose two best "
        f"classes are within {NARROW_MARGIN:g}, {comparison.equal_but_narrow - comparison.narrow} of "
        f"{comparison.images - comparison.narrow}",
        f"difference  at most {comparison.largest_difference:.1e} in probability",
        f"top-1       {100 * comparison.top1_before:.2f} % before, {100 * comparison.top1_after:.2f} % after: "
        f"{gain.points:+.2f} points (95 %: {gain.low:+.2f} to {gain.high:+.2f})",
        f"tolerance   {'within' if found.within_tolerance else 'more than'} {unit} (--tolerance)",
    ]
