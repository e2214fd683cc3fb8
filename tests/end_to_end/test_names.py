"""Names that people give to classes, files and experiments: each is kept and shown as it is, from table to ZIP."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from common.classes import ImageClass
from common.csv_files import read_rows
from competition.report.write import write_report
from configs.compose import compose
from data.duplicates import PAIRS_FILE
from data.table import read_classes, write_classes, write_table
from models.checkpoint import load_checkpoint
from tests.conftest import TINY, stripes, write_picture
from tests.helpers import run_script
from training.train import train

pytestmark = pytest.mark.integration

NAMES = [
    "rose $_$",
    "rose $a_b^ $",
    " <b>tulip</b> | `x` ",
    "two\nlines\tand \\frac{1}",
    "../x",
    "CON",
    "%s {0} {name}",
    "🌹 ورد 花",
    "x" * 300,
    "images",
]
CATEGORIES = [" 7 ", "7", "rose $_$", "<b>", "a|b", "../x", "%d", "花", "9" * 30, "100"]
# a space at the start, before the suffix, twice, and what CSV files must quote
FILES = [" a b .jpg", "a b.jpg", "c  d .png", '"q", x.png', "-x.png", "=1+1.png", "花 .png", "$a_$.png", "%s {0}.png"]
EXPERIMENT = "run $_$ <b>\n| `x` #1"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A prepared data set with these names; the first two images are one picture."""
    root = tmp_path_factory.mktemp("names") / "data $x_$ (1)"
    (root / "train").mkdir(parents=True)
    ids = [*FILES, *(f"{number:03d} .png" for number in range(51))]
    labels = [index % len(NAMES) for index in range(len(ids))]
    labels[1] = labels[0]
    for index, (image_id, label) in enumerate(zip(ids, labels, strict=True)):
        write_picture(root / "train" / image_id, stripes(label, 0 if index < 2 else index))
    write_table(root / "train.csv", ids, labels)
    classes = [ImageClass(k, *entry) for k, entry in enumerate(zip(CATEGORIES, NAMES, strict=True))]
    write_classes(root / "classes.csv", classes)
    shutil.copytree(root / "train", root / "test")
    return root


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    """A run of one epoch that no name has ended, and its evaluation."""
    folder = tmp_path_factory.mktemp("run $y_$") / "lr=0.1"
    options = [option for option in TINY if not option.startswith("training.epochs")]
    config = compose("config", [*options, "training.epochs=1", f"dataset.root={root}", f"output_dir={folder}"])
    config.experiment_name = EXPERIMENT
    assert train(config).epochs == 1
    best = folder / "checkpoints" / "best_model.pt"
    done = run_script("evaluate.py", "--checkpoint", best, "--split", "all", "--output-dir", folder / "evaluation")
    assert done.returncode == 0, done.stderr
    assert "warning: the picture" not in done.stderr
    return folder


def test_a_run_ends_with_its_state_model_and_names(run):
    assert (run / "checkpoints" / "last.pt").is_file()
    checkpoint = load_checkpoint(run / "checkpoints" / "best_model.pt")
    assert [entry.name for entry in checkpoint.classes] == NAMES
    assert [entry.category_id for entry in checkpoint.classes] == CATEGORIES
    assert [row["name"] for row in read_rows(run / "evaluation" / "per_class.csv", ["name"])] == NAMES
    for picture in ("confusion_matrix.png", "worst_pairs.png"):
        assert (run / "evaluation" / picture).is_file()


@pytest.mark.slow
def test_the_report_shows_names_as_they_are(run, tmp_path):
    report = write_report(run, tmp_path / "report $_$", "en", ["calibration"])
    assert not [note for note in report.notes if "is missing" in note]
    assert report.html
    assert report.pdf
    page = report.html.read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "&lt;b&gt;tulip&lt;/b&gt; | `x`" in page
    assert report.pdf.read_bytes().startswith(b"%PDF")


@pytest.fixture(scope="module")
def predicted(run, root):
    """predictions.csv in the contest's form, and all probabilities, of a run in a folder named like an override."""
    output = run.parent / "lr=0.1" / "out" / "predictions.csv"
    done = run_script(
        *("inference.py", "--checkpoint", "lr=0.1/checkpoints/best_model.pt", "--input", root / "test"),
        *("--format", "official", "--output", "lr=0.1/out/predictions.csv", "--top-k", "2"),
        *("--save-probabilities", "lr=0.1/out/p.npz", "dataset.num_workers=0"),
        cwd=run.parent,
    )
    assert done.returncode == 0, done.stderr
    return output


def answers(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return {row[0]: row[1] for row in rows[1:]}


def test_file_names_keep_their_spaces_in_every_table(run, root, predicted):
    ids = {path.name for path in (root / "test").iterdir()}
    assert set(FILES) < ids
    found = answers(predicted)
    assert set(found) == ids
    assert set(found.values()) <= set(CATEGORIES)
    top = read_rows(predicted.with_name("predictions_top2.csv"), [])
    assert {row["image_id"] for row in top} == ids
    assert {row["image_id"]: row["category_id"] for row in top if row["rank"] == "1"} == found
    with np.load(predicted.with_name("p.npz")) as saved:
        assert set(saved["image_ids"].tolist()) == ids
    answered = read_rows(run / "evaluation" / "answers.csv", [])
    assert {row["image_id"]: CATEGORIES[int(row["predicted"])] for row in answered} == found


def test_a_table_of_the_kit_names_the_same_images(run, root, predicted, tmp_path):
    """The kit's own predictions.csv and train.csv are inputs with the same names and answers."""
    shutil.copytree(root / "test", tmp_path / "test")
    shutil.copy(predicted, tmp_path / "names.csv")
    output = tmp_path / "again.csv"
    best = run / "checkpoints" / "best_model.pt"
    done = run_script(
        *("inference.py", "--checkpoint", best, "--input", tmp_path / "names.csv", "--output", output),
        *("--format", "official", "dataset.num_workers=0"),
    )
    assert done.returncode == 0, done.stderr
    assert answers(output) == answers(predicted)


def test_the_gate_accepts_the_names(root, predicted):
    done = run_script("check_competition.py", "--predictions", predicted, "--input", root / "test", "--json")
    checks = {check["rule"]: check for check in json.loads(done.stdout)["checks"]}
    for rule in ("CSV missing images", "CSV extra images", "CSV class ids", "CSV sorted", "CSV duplicates"):
        assert checks[rule]["passed"], checks[rule]


def test_an_ensemble_of_saved_probabilities_has_the_same_names(predicted, tmp_path):
    saved, output = predicted.with_name("p.npz"), tmp_path / "x=1" / "mean.csv"
    done = run_script("ensemble.py", "--probabilities", saved, saved, "--output", output, "--format", "official")
    assert done.returncode == 0, done.stderr
    assert answers(output) == answers(predicted)


@pytest.mark.slow
def test_a_zip_with_these_names_is_proven(root, predicted, tmp_path):
    done = run_script(
        *("prepare_submission.py", "--predictions", predicted, "--output", tmp_path / "s.zip"),
        *("competition.max_latency_ms=10000", "device=cpu", "dataset.num_workers=0"),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_copies_are_found_under_their_names(root, tmp_path):
    options = [*TINY, f"dataset.root={root}", f"output_dir={tmp_path}"]
    done = run_script("cli/flower_cli.py", "audit", "--output", tmp_path / "audit", *options)
    assert done.returncode == 0, done.stderr
    pairs = [{row["image_id"], row["other_id"]} for row in read_rows(tmp_path / "audit" / "near_duplicates.csv", [])]
    assert {" a b .jpg", "a b.jpg"} in pairs
    (root / PAIRS_FILE).write_text("image_id,other_id\n c  d .png,x\n", encoding="utf-8")
    assert run_script("cli/flower_cli.py", "audit", "--output", tmp_path / "audit", *options).returncode == 0
    (root / PAIRS_FILE).unlink()


def test_class_names_are_read_back_as_they_are(root):
    assert [entry.name for entry in read_classes(root / "classes.csv")] == NAMES


def test_no_name_steers_the_terminal(run, root, tmp_path):
    options = [*TINY, f"dataset.root={root}", f"output_dir={tmp_path}"]
    best = run / "checkpoints" / "best_model.pt"
    for words in (
        ["inference.py", "--checkpoint", best, "--input", root / "test" / FILES[0], "--output", tmp_path / "p.csv"],
        ["evaluate.py", "--checkpoint", best, "--split", "all", "--output-dir", tmp_path],
        ["cli/flower_cli.py", "audit", "--output", tmp_path / "audit", *options],
    ):
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", run_script(*words).stdout)
