"""flower_cli.py studio: a page in the browser to try a model and look at the photographs."""

import argparse
import threading
from pathlib import Path

from cli.early_checks import check_studio

HELP = "a page in the browser, on this machine alone: try photographs, look at the data, decide on doubtful labels"

RESULTS = Path("results/studio")

# of the usual run, and of all further ones
_RUN = Path("results")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--run", type=Path, metavar="D", help=f"folder of a run (default: {_RUN}, if it has a model)")
    parser.add_argument("--checkpoint", type=Path, metavar="P", help="a best_model.pt instead of a run")
    parser.add_argument("--data", type=Path, metavar="D", help="prepared folder (default: that of the model)")
    parser.add_argument(
        "--audit", type=Path, default=Path("results/audit"), metavar="D", help="what audit found (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=Path, default=_RUN, metavar="D", help="list the runs below D (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s")
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="default: %(default)s")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Serve the page until Ctrl-C."""
    from common.errors import InputError
    from common.files import check_writable_folder
    from studio.gradio_settings import prepare_gradio

    if not 1 <= arguments.port <= 65535:
        raise InputError("--port: expected 1 to 65535.")
    if arguments.runs != _RUN and not arguments.runs.is_dir():
        raise InputError(f"--runs {arguments.runs}: no such folder.")
    if arguments.run and arguments.checkpoint:
        raise InputError("--run and --checkpoint both name a model; give one of them.")
    check_writable_folder(RESULTS)
    prepare_gradio(RESULTS)

    checkpoint = _checkpoint(arguments)
    check_studio(checkpoint, arguments.data, overrides)

    from studio.context import open_studio
    from studio.page import build_page, serve

    places = arguments.audit, arguments.runs
    studio = open_studio(checkpoint, arguments.data, arguments.language, RESULTS, overrides, *places)
    try:
        address = serve(build_page(studio), arguments.port, not arguments.no_browser)
    except OSError as error:
        raise InputError(f"--port {arguments.port}: another program uses it; give another number.") from error
    print(f"{address} (Ctrl-C ends it)", flush=True)
    threading.Event().wait()
    return 0


def _checkpoint(arguments: argparse.Namespace) -> Path | None:
    """Return the model that the flags name, or the usual one if it is there."""
    if arguments.checkpoint:
        return arguments.checkpoint
    from training.run_folder import RunFolder

    usual = RunFolder(arguments.run or _RUN).best
    return usual if arguments.run or usual.is_file() else None
