"""Plant wrong labels, audit them, decide as a person who knows the flowers would, and train with and without that.

python benchmarks/planted_labels.py --data data/flowers102_dev --test data/flowers102_dev/test_20a.csv \
    dataset.train_csv=data/flowers102_dev/train_20a.csv model=efficientnet_lite0 training=finetune

It prints how many of the planted labels are among the first that the audit names, and test top-1 of three trainings:
with the true labels, with the planted ones, and with these after the decisions. The keys are those of the trainings.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cli.entry import run_script, split_overrides
from common.errors import RunError
from configs.compose import compose
from data.corrections import KEEP, RELABEL, Decision, append_decisions
from data.prepared import load_table
from data.table import ImageTable, write_classes, write_table
from evaluation.intervals import paired_interval
from tools.ablation import read_correct, train_and_measure
from tools.data_audit import audit

SHOWN = (25, 50, 100, 150, 200, 400)


def main(arguments: list[str]) -> int:
    """Print how many are found, then the accuracies."""
    words, keys = split_overrides(arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="D", help="prepared folder")
    parser.add_argument("--test", type=Path, required=True, metavar="CSV", help="table of images to measure on")
    parser.add_argument("--share", type=float, default=0.05, help="share of wrong labels (default: %(default)s)")
    parser.add_argument("--looked-at", type=int, default=150, metavar="N", help="decisions (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/planted"), help="default: %(default)s")
    flags = parser.parse_args(words)
    table = load_table(compose("config", [f"dataset.root={flags.data}", *keys], allow_unused=True).dataset)
    labels = planted(table.labels, len(table.classes), flags.share)
    folder = flags.output / "data"
    write_labels(folder, table, labels)
    places = [*keys, f"dataset.root={folder}", f"dataset.train_dir={flags.data / 'train'}"]
    places = [key for key in places if not key.startswith("dataset.train_csv=")]

    doubted = doubtful_rows(places, flags.output / "audit")
    wrong = set(np.flatnonzero(labels != table.labels).tolist())
    print(f"{len(wrong)} of {len(labels)} labels are wrong; the audit doubts {len(doubted)}")
    for count in sorted({min(shown, len(doubted)) for shown in SHOWN}):
        print(f"of the first {count}: {len(wrong & set(doubted[:count]))} wrong labels")

    correct = {"planted": measure(places, flags, "planted")}
    decide(folder, table, doubted[: flags.looked_at], wrong)
    correct["decided"] = measure(places, flags, "decided")
    write_labels(flags.output / "true", table, table.labels)
    correct["true"] = measure([*places, f"dataset.root={flags.output / 'true'}"], flags, "true")
    for name, answers in correct.items():
        low, high = paired_interval([(answers, correct["planted"])])
        gain = np.mean(list(answers.values())) - np.mean(list(correct["planted"].values()))
        told = "" if name == "planted" else f", {100 * gain:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f})"
        print(f"{name}: top-1 {100 * np.mean(list(answers.values())):.2f} %{told}")
    return 0


def planted(labels: np.ndarray, classes: int, share: float) -> np.ndarray:
    """Return a copy of labels (N,) in which `share` of them, drawn at random, are of another class."""
    generator = np.random.default_rng(0)
    rows = generator.choice(len(labels), round(share * len(labels)), replace=False)
    changed = labels.copy()
    changed[rows] = (labels[rows] + generator.integers(1, classes, len(rows))) % classes
    return changed


def write_labels(folder: Path, table: ImageTable, labels: np.ndarray) -> None:
    """Write a prepared folder without images: a table with these labels, and the classes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corrections.csv").unlink(missing_ok=True)
    write_table(folder / "train.csv", table.image_ids, labels.tolist())
    write_classes(folder / "classes.csv", table.classes)


def doubtful_rows(keys: list[str], folder: Path) -> list[int]:
    """Return the rows whose labels the audit doubts, the most doubtful first."""
    found = audit(compose("config", keys), folder, label_errors=True)
    return [suspect.row for suspect in found.suspects or ()]


def decide(folder: Path, table: ImageTable, rows: list[int], wrong: set[int]) -> None:
    """Write the decisions of a person who knows every flower: the true class, or that the label is right."""
    decisions = [
        Decision(table.image_ids[row], RELABEL, int(table.labels[row]))
        if row in wrong
        else Decision(table.image_ids[row], KEEP)
        for row in rows
    ]
    append_decisions(folder, decisions)
    print(f"{len(decisions)} decisions, {sum(row in wrong for row in rows)} of them another class")


def measure(keys: list[str], flags: argparse.Namespace, name: str) -> dict[str, bool]:
    """Train, and return whether each test image, by its id, is answered rightly."""
    output = flags.output / name
    done = train_and_measure(compose("config", [*keys, f"output_dir={output}"]), flags.test)
    if done["status"] != "finished":
        raise RunError(f"{name}: {done['status']}")
    return read_correct(output)


if __name__ == "__main__":
    run_script(main)
