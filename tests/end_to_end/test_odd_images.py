"""Odd image files from end to end: each costs its own row at most, and the judges' copy answers as the kit does."""

import csv
import zipfile

import pytest

from data.listing import list_images
from tests.conftest import write_pictures
from tests.helpers import run_script
from tests.odd_images import ODD
from training.train import train

pytestmark = pytest.mark.integration


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_odd_file_has_its_row_and_the_judges_answer_alike(checkpoint, tmp_path):
    folder, output = tmp_path / "odd", tmp_path / "predictions.csv"
    folder.mkdir()
    for name, make in ODD.items():
        (folder / name).write_bytes(make())
    words = ["--checkpoint", checkpoint, "--input", folder, "--format", "official", "--output", output]
    done = run_script("inference.py", *words, "dataset.num_workers=0")
    assert done.returncode == 0, done.stderr
    rows = {row["filename"]: float(row["confidence"]) for row in rows_of(output)}
    assert list(rows) == list(list_images(folder))
    assert rows["20000 x 1.png"] > 0
    assert 0 < sum(confidence == 0 for confidence in rows.values()) < 20
    packed = tmp_path / "submission.zip"
    done = run_script("prepare_submission.py", "--predictions", output, "--output", packed, "dataset.num_workers=0")
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(packed) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("submission.csv")]
        theirs = list(csv.DictReader(archive.read(name).decode().splitlines()))
    assert [row["category_id"] for row in theirs] == [row["category_id"] for row in rows_of(output)]
    assert [float(row["confidence"]) for row in theirs] == pytest.approx(list(rows.values()), abs=1e-4)


def test_training_and_evaluation_take_extreme_shapes(tiny, tmp_path):
    write_pictures(tmp_path / "data", [12, 12])
    for name in ("0003.png", "0010.png", "0017.png"):
        (tmp_path / "data" / "train" / name).write_bytes(ODD["20000 x 1.png"]())
    options = [f"dataset.root={tmp_path / 'data'}", "augmentation=strong", "model.input_size=160", "training.epochs=1"]
    result = train(tiny(*options))
    assert not (tmp_path / "run" / "skipped_images.csv").exists()
    done = run_script("evaluate.py", "--checkpoint", result.best_model, "--split", "all", "dataset.num_workers=0")
    assert done.returncode == 0, done.stderr
    assert "could not be read" not in done.stdout


@pytest.mark.slow
def test_a_transform_that_fails_for_every_image_ends_the_run(tiny, tmp_path):
    done = run_script(
        *("train.py", "augmentation=light", "model.architecture=test_efficientnet", "model.pretrained=false"),
        *("model.input_size=32", "dataset=demo", f"dataset.root={tmp_path / 'demo'}", "device=cpu"),
        *("dataset.num_workers=0", f"output_dir={tmp_path / 'run'}"),
        "+augmentation.train.Crop={transform: Crop, x_min: 0, y_min: 0, x_max: 5000, y_max: 5000, p: 1.0}",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "more than dataset.max_bad_fraction" in done.stderr
    assert "Error: " in done.stderr
