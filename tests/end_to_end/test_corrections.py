"""Decisions on labels from the audit to the checkpoint: who applies corrections.csv, and who refuses another one."""

import csv
import hashlib

import pytest
import timm
import torch

from data.table import write_table
from models.checkpoint import load_checkpoint
from tests.conftest import TINY, write_pictures
from tests.helpers import run_script

pytestmark = pytest.mark.integration

TOOL = "cli/flower_cli.py"
NAMES = [f"{number:04d}.png" for number in range(60)]
# 5 % of the labels, each the next class
WRONG = {"0010.png": 2, "0031.png": 2, "0050.png": 0}


@pytest.fixture
def root(tmp_path):
    write_pictures(tmp_path / "data", [20, 20, 20])
    labels = [WRONG.get(name, number % 3) for number, name in enumerate(NAMES)]
    write_table(tmp_path / "data" / "train.csv", NAMES, labels)
    return tmp_path / "data"


def correct(root, *words):
    done = run_script(TOOL, "correct", f"dataset.root={root}", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def train(root, output, *words):
    return run_script("train.py", *TINY, f"dataset.root={root}", f"output_dir={output}", *words)


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def weights_of(folder):
    """Write random weights that an audit takes for pretrained ones."""
    torch.manual_seed(0)
    path = folder / "weights.pth"
    torch.save(timm.create_model("test_efficientnet", num_classes=7).state_dict(), path)
    return path


def test_from_the_audit_to_the_checkpoint(root, tmp_path):
    assert [int(row["label"]) != int(row["image_id"][:4]) % 3 for row in read_csv(root / "train.csv")].count(True) == 3
    before = (root / "train.csv").read_bytes()
    words = [word for word in TINY if "pretrained" not in word]
    audit = [TOOL, "audit", "--label-errors", *words, f"model.weights={weights_of(tmp_path)}", f"dataset.root={root}"]
    audit += ["--output", tmp_path / "audit", f"output_dir={tmp_path / 'features'}"]
    found = run_script(*audit)
    assert found.returncode == 0, found.stderr
    suspects = {row["image_id"]: row for row in read_csv(tmp_path / "audit" / "label_errors.csv")}
    wrong, right = suspects.keys() & WRONG.keys(), sorted(suspects.keys() - WRONG.keys())
    assert len(wrong) >= 2, suspects

    first, second, third = WRONG
    said = correct(root, "--relabel", f"{first}=1", f"train/{second}=花 1")
    assert f"relabel  {second} to 花 1 (1)" in said
    correct(root, "--drop", third)
    kept = right[:1] or ["0000.png"]
    correct(root, "--keep", *kept)

    again = run_script(*audit)
    assert again.returncode == 0, again.stderr
    counts = "corrections.csv: 2 labels changed, 1 image dropped, 1 kept as they are."
    assert again.stderr.count(counts) == 1
    left = {row["image_id"]: row for row in read_csv(tmp_path / "audit" / "label_errors.csv")}
    assert not left.keys() & {third, *kept}
    assert all(left[name]["label"] == "1" for name in (first, second) if name in left)

    trained = train(root, tmp_path / "run")
    assert trained.returncode == 0, trained.stderr
    assert "47 images for training, 12 for validation" in trained.stdout
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoints" / "best_model.pt")
    sha256 = hashlib.sha256((root / "corrections.csv").read_bytes()).hexdigest()
    recorded = checkpoint.corrections
    assert (recorded["changed"], recorded["dropped"], recorded["kept"], recorded["sha256"]) == (2, 1, 1, sha256)
    used = {*checkpoint.split["train"], *checkpoint.split["val"]}
    assert used == set(NAMES) - {third}
    assert (root / "train.csv").read_bytes() == before


@pytest.mark.slow
def test_a_resumed_run_refuses_other_labels_but_not_a_label_that_is_kept(root, tmp_path):
    assert train(root, tmp_path / "run", "training.epochs=1").returncode == 0
    on = ["training.epochs=2", "training.resume=auto"]
    correct(root, "--keep", "0000.png")
    done = train(root, tmp_path / "run", *on)
    assert done.returncode == 0, done.stderr
    correct(root, "--relabel", "0010.png=1")
    done = train(root, tmp_path / "run", *on[1:], "training.epochs=3")
    assert done.returncode == 2
    assert "its run used another corrections.csv. Resume with the same decisions, or start anew" in done.stderr
    correct(root, "--undo")
    assert train(root, tmp_path / "run", *on[1:], "training.epochs=3").returncode == 0


def test_evaluation_takes_corrected_labels_and_refuses_a_split_with_dropped_images(root, tmp_path):
    assert train(root, tmp_path / "run").returncode == 0
    path = tmp_path / "run" / "checkpoints" / "best_model.pt"
    assert load_checkpoint(path).corrections == {}
    image = load_checkpoint(path).split["val"][0]
    evaluate = ["evaluate.py", "--checkpoint", path, "--output-dir", tmp_path / "evaluation"]
    other = (int(next(row for row in read_csv(root / "train.csv") if row["image_id"] == image)["label"]) + 1) % 3
    correct(root, "--relabel", f"{image}={other}")
    done = run_script(*evaluate)
    assert done.returncode == 0, done.stderr
    assert "1 label changed" in done.stderr
    answers = {row["image_id"]: row["label"] for row in read_csv(tmp_path / "evaluation" / "answers.csv")}
    assert answers[image] == str(other)
    correct(root, "--drop", image)
    done = run_script(*evaluate)
    assert done.returncode == 2
    assert f"1 of the checkpoint's {len(answers)} val images are not in its table, first {image}" in done.stderr
    assert "corrections.csv drops images" in done.stderr


def test_parts_hold_the_labels_of_train_csv_so_that_a_decision_can_be_taken_back(root, tmp_path):
    correct(root, "--relabel", "0010.png=1")
    correct(root, "--drop", "0050.png")
    done = run_script(TOOL, "split", f"dataset.root={root}", "dataset.test_split=0.2")
    assert done.returncode == 0, done.stderr
    rows = [row for part in ("train", "val", "test") for row in read_csv(root / f"part_{part}.csv")]
    assert sorted(rows, key=str) == sorted(read_csv(root / "train.csv"), key=str)
    keys = done.stdout.partition("Keys of a run on them: ")[2].split()
    trained = train(root, tmp_path / "run", *(key for key in keys if not key.startswith("dataset.root")))
    assert trained.returncode == 0, trained.stderr
    split = load_checkpoint(tmp_path / "run" / "checkpoints" / "best_model.pt").split
    assert "0050.png" not in {image for part in split.values() for image in part}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--drop", "none.png"], r"none.png is no image of train.csv or val.csv there"),
        (["--relabel", "0001.png=花 9"], "花 9: no class has this name or label. Did you mean"),
        (["--relabel", "0001.png"], "0001.png: write ID=LABEL"),
        (["--relabel"], "--relabel needs ID=LABEL"),
        (["rose.png=1", "--drop", "0001.png"], "rose.png=1: is no key of the config; a new label needs --relabel"),
        ([], "one of the arguments --drop --relabel --keep --undo --list is required"),
    ],
)
def test_a_decision_that_cannot_be_meant_is_refused_and_nothing_is_written(root, words, message):
    done = run_script(TOOL, "correct", f"dataset.root={root}", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (root / "corrections.csv").exists()


def test_a_name_that_looks_like_a_key_can_be_relabelled_and_listed(root):
    rows = read_csv(root / "train.csv")
    (root / "train" / "rose.png").write_bytes((root / "train" / NAMES[0]).read_bytes())
    write_table(
        root / "train.csv", [*(row["image_id"] for row in rows), "rose.png"], [*(int(r["label"]) for r in rows), 0]
    )
    correct(root, "--relabel", "rose.png=2")
    assert "relabel  rose.png to 花 2 (2)" in correct(root, "--list")
    assert correct(root, "--undo").startswith("taken back: ")
    assert "There is no decision to take back." in correct(root, "--undo")
    assert "There are no decisions in" in correct(root, "--list")
