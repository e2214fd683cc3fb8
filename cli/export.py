"""flower_cli.py export: a checkpoint for another runtime or precision."""

import argparse
from pathlib import Path

HELP = "write a checkpoint for onnx (fp32), openvino (fp32, fp16, int8) or torch (fp16), compared on real images first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="P", help="best_model.pt")
    parser.add_argument("--runtime", required=True, metavar="R", help="onnx, openvino or torch")
    parser.add_argument("--precision", default="fp32", metavar="P", help="fp32, fp16 or int8 (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="F", help="ends in .onnx, .xml or .pt")
    parser.add_argument("--data", type=Path, help="compare on this table or prepared folder (default: validation)")
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="T",
        help="difference in probability (default: 1e-4 of fp32, 1e-2 of fp16); of int8 the loss of top-1 (0.003)",
    )


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Convert, compare, write; print the comparison."""
    from tools.export import export

    lines = export(
        arguments.checkpoint,
        arguments.runtime,
        arguments.precision,
        arguments.output,
        arguments.data,
        arguments.tolerance,
        overrides,
    )
    for line in lines:
        print(line)
    return 0
