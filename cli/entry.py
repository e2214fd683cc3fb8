"""What every script shares: flags apart from overrides, errors as one or two lines, exit codes."""

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from common.errors import InputError, RunError

_OVERRIDE = re.compile(r"(\+{0,2}|~)[A-Za-z_][\w./@-]*=.*|~[A-Za-z_][\w./]*", re.DOTALL)


class ArgumentParser(argparse.ArgumentParser):
    """An argument parser whose errors are InputErrors, so that they read like all others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}. Type {self.prog} --help for the usage.")


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split `key=value` words off a command line; return the other words and these, each in order."""
    words = [word for word in arguments if not _OVERRIDE.fullmatch(word)]
    overrides = [word for word in arguments if _OVERRIDE.fullmatch(word)]
    return words, overrides


def add_pipeline_flags(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Declare the flags that say what answers for an image: checkpoints, views, averaging, precision."""
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
    parser.add_argument(
        "--average",
        choices=("probabilities", "logits"),
        help="of views (default: probabilities)",
    )
    parser.add_argument(
        "--weights", type=float, nargs="+", metavar="W", help="of several checkpoints, in their order (default: equal)"
    )
    parser.add_argument(
        "--runtime",
        choices=("torch", "onnx", "openvino", "auto"),
        help="auto: the fastest that is installed; exported .onnx and .xml have theirs (default: torch)",
    )
    parser.add_argument(
        "--precision", choices=("fp32", "fp16", "bf16"), help="default: as trained on CUDA, fp32 elsewhere"
    )


def add_format_flag(parser: argparse.ArgumentParser) -> None:
    """Declare the flag that says in which form predictions are written."""
    parser.add_argument(
        "--format",
        choices=("seed", "official", "class", "kaggle"),
        default="seed",
        help="image_id,label; filename,category_id,confidence; img_name,predicted_class,confidence; id,label "
        "(default: seed)",
    )


def add_profile_flag(parser: argparse.ArgumentParser) -> None:
    """Declare the flag that names the contest's limits and layout."""
    parser.add_argument("--profile", default="flower_2025", help="limits and ZIP layout (default: %(default)s)")


def run_script(main: Callable[[list[str]], int]) -> NoReturn:
    """Run `main` on the command line and exit: 0 good, 1 failed, 2 bad input, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        try:
            code = main(sys.argv[1:])
        except SystemExit as end:
            # argparse ends --help so
            code = end.code
        # here, because at exit Python itself would report that nobody reads any more
        sys.stdout.flush()
        sys.exit(code)
    except (InputError, RunError) as error:
        # torchrun sets RANK, and shows what all of its processes print
        process = f"rank {os.environ['RANK']}: " if "RANK" in os.environ else ""
        with contextlib.suppress(BrokenPipeError):
            print(f"error: {process}{error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # whoever reads, such as head, has seen enough; what is left unwritten must not raise at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(RunError.exit_code)
    except RuntimeError as error:
        # torch's class, by name, because --help must not wait for torch
        if type(error).__name__ != "OutOfMemoryError":
            raise
        print(
            "error: the device is out of memory. Give a smaller dataset.batch_size, or end what else uses the device.",
            file=sys.stderr,
        )
        sys.exit(RunError.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
