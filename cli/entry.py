"""Shared by all scripts: splitting flags from overrides, errors as one or two lines, exit codes."""

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from common.errors import InputError, RunError
from common.files import as_path, expand_home
from configs.options import CONFIG_DIR
from configs.schema import Config

_OVERRIDE = re.compile(r"(?:\+{0,2}|~)([A-Za-z_][\w./@-]*)=.*|~([A-Za-z_][\w./]*)", re.DOTALL)

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

# what the first word of a key can be; Hydra's own keys are refused with a sentence
_SECTIONS = {"hydra", *(field.name for field in fields(Config))}


class ArgumentParser(argparse.ArgumentParser):
    """An argument parser that raises InputError, so that its errors look like all others; paths may begin with `~`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", Path, _read_path)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}. Type {self.prog} --help for the usage.")


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line into flags and `key=value` overrides, each in order.

    A path may look like an override, as `runs/lr=0.1/best_model.pt` does.
    """
    are_overrides = [_is_override(word) for word in arguments]
    words = [word for word, is_override in zip(arguments, are_overrides, strict=True) if not is_override]
    overrides = [word for word, is_override in zip(arguments, are_overrides, strict=True) if is_override]
    return words, overrides


def _is_override(word: str) -> bool:
    found = _OVERRIDE.fullmatch(word)
    if not found:
        return False
    key = (found[1] or found[2]).partition("@")[0]
    section = re.split(r"[./]", key)[0]
    if "/" in key:
        return section == "hydra" or (CONFIG_DIR / key).is_dir()
    return "=" not in word or not _is_there(Path(word), file_only=section in _SECTIONS)


def is_config_key(word: str) -> bool:
    """Say whether an override begins as a key of the config does, unlike `rose.jpg=3`."""
    return re.split(r"[./@=]", word.lstrip("+~"))[0] in _SECTIONS


def _is_there(path: Path, file_only: bool) -> bool:
    """Say whether a path exists, or lies in an existing folder such as `lr=0.1`; no value of a key looks like these."""
    try:
        if len(path.parts) > 1 and Path(path.parts[0]).is_dir():
            return True
        return path.is_file() if file_only else path.exists()
    except OSError:
        # a long value is no file name
        return False


def _read_path(text: str) -> Path:
    try:
        return as_path(expand_home(text))
    except InputError as error:
        # argparse ends the sentence
        raise argparse.ArgumentTypeError(str(error).removesuffix(".")) from error


def file_path(text: str) -> Path:
    """Return the path of a file to write, for argparse: a text that ends in a slash means a folder."""
    if text.endswith(("/", os.sep)):
        raise argparse.ArgumentTypeError(f"{text}: is a folder; name a file.")
    return _read_path(text)


def names_in(text: str) -> list[str]:
    """Return the names of a flag such as `--drop a,b`; empty ones are left out."""
    return [name.strip() for name in text.split(",") if name.strip()]


def show(lines: Iterable[str]) -> None:
    """Print lines; what would end a line, colour it or turn its direction, such as in a class's name, is escaped."""
    for line in lines:
        print(_CONTROL.sub(lambda sign: sign[0].encode("unicode_escape").decode("ascii"), line))


def with_figures(error: RunError, describe: Callable[[Any], list[str]]) -> RunError:
    """Return the error with the lines of the figures that were found before it failed."""
    return RunError("\n".join([str(error), *(describe(error.result) if error.result else ())]))


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
    except (RuntimeError, MemoryError) as error:
        # imported here, because --help must not wait for torch
        from common.memory import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        print(
            "error: the device is out of memory. Give a smaller dataset.batch_size, or end what else uses the device.",
            file=sys.stderr,
        )
        sys.exit(RunError.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
