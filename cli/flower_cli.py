"""Tools besides training: python cli/flower_cli.py <command> --help"""

import argparse
import importlib
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cli.entry import ArgumentParser, run_script, split_overrides

# command: the module that answers it, with HELP, add_arguments(parser) and run(arguments, overrides)
COMMANDS = {
    "models": "cli.models",
    "info": "cli.info",
    "prepare-data": "cli.prepare_data",
    "augment-preview": "cli.augment_preview",
    "instant": "cli.instant",
    "probe": "cli.probe",
    "shortlist": "cli.shortlist",
    "lr-range": "cli.lr_range",
    "split": "cli.split",
    "audit": "cli.audit",
    "correct": "cli.correct",
    "ablate": "cli.ablate",
    "tune": "cli.tune",
    "oof": "cli.oof",
    "soup": "cli.soup",
    "calibrate": "cli.calibrate",
    "export": "cli.export",
    "budget": "cli.budget",
    "report": "cli.report",
    "studio": "cli.studio",
}


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    words, overrides = split_overrides(arguments)
    parsed = build_parser().parse_args(words)
    return importlib.import_module(COMMANDS[parsed.command]).run(parsed, overrides)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; their modules import nothing heavy at the top."""
    parser = ArgumentParser(prog="flower_cli.py", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(module_name)
        command = commands.add_parser(name, help=module.HELP, description=module.HELP, allow_abbrev=False)
        module.add_arguments(command)
    return parser


if __name__ == "__main__":
    run_script(main)
