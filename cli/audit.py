"""flower_cli.py audit: copies, copies with different labels, and labels that look wrong."""

import argparse
from pathlib import Path

HELP = "look for near-duplicates and wrong labels: dataset.root=... --label-errors --embeddings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--label-errors", action="store_true", help="rank doubtful labels, by features of model=...")
    parser.add_argument(
        "--embeddings", action="store_true", help="add pairs that model=... sees as one picture to duplicates.csv"
    )
    parser.add_argument("--output", type=Path, default=Path("results/audit"), help="default: %(default)s")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print what was found and where the tables are. Nothing of the data set is changed but duplicates.csv."""
    from configs.compose import compose
    from tools.data_audit import audit

    config = compose("config", overrides)
    for line in audit(config, arguments.output, arguments.embeddings, arguments.label_errors):
        print(line)
    print(f"Tables: {arguments.output}")
    return 0
