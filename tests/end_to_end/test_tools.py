"""The tools around training as a user runs them: probe, lr-range, ablate, audit, the test split."""

import csv
import json

import cv2
import numpy as np
import pytest

from common.csv_files import write_rows
from common.errors import InputError
from models.checkpoint import load_checkpoint
from prediction.probabilities import read_probabilities
from tests.conftest import TINY, write_pictures
from tests.helpers import run_script

pytestmark = pytest.mark.integration

SHORT = [*(option for option in TINY if not option.startswith("training.epochs")), "training.epochs=1"]


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_probe_says_what_frozen_features_give(pictures, tmp_path):
    done = run_script("cli/flower_cli.py", "probe", *TINY, f"dataset.root={pictures}", f"output_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "top-1" in done.stdout
    assert "of 10 images (validation)" in done.stdout
    assert list((tmp_path / "features").glob("*.npz"))


def test_lr_range_draws_its_curve(pictures, tmp_path):
    words = ["lr-range", *TINY, f"dataset.root={pictures}", "--steps", "20", "--output", tmp_path / "曲线"]
    done = run_script("cli/flower_cli.py", *words, f"output_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    rows = read_csv(tmp_path / "曲线" / "lr_range.csv")
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] == pytest.approx(1e-6)
    assert rates == sorted(rates)
    assert cv2.imdecode(*_bytes(tmp_path / "曲线" / "lr_range.png")) is not None
    assert "training.learning_rate=" in done.stdout
    assert not (tmp_path / "checkpoints").exists()


def _bytes(path):
    import numpy as np

    return np.fromfile(path, np.uint8), cv2.IMREAD_COLOR


@pytest.mark.slow
def test_an_ablation_goes_on_where_it_ended(pictures, tmp_path):
    base = ["--base", *SHORT, f"dataset.root={pictures}", "training=finetune", "--output", tmp_path / "ablation"]
    first = run_script("cli/flower_cli.py", "ablate", *base, "--drop", "ema", "--seeds", "1")
    assert first.returncode == 0, first.stderr
    words = ["--drop", "ema,mixup", "--variant", "sgd: training.optimizer=sgd", "--seeds", "2"]
    second = run_script("cli/flower_cli.py", "ablate", *base, *words)
    assert second.returncode == 0, second.stderr
    assert second.stdout.count("\nseed 0,") == 2
    assert second.stdout.count("\nseed 1,") == 4
    rows = read_csv(tmp_path / "ablation" / "ablation.csv")
    assert [row["variant"] for row in rows] == ["base", "without ema", "with mixup", "sgd"]
    assert all(row["seeds"] == "2" and 0 <= float(row["top1"]) <= 1 for row in rows)
    assert all(float(row["low_95"]) <= float(row["difference"]) <= float(row["high_95"]) for row in rows)
    assert "| with mixup |" in (tmp_path / "ablation" / "ablation.md").read_text(encoding="utf-8")
    assert (tmp_path / "ablation" / "ablation.png").stat().st_size > 1000
    runs = read_csv(tmp_path / "ablation" / "runs.csv")
    metrics = json.loads((tmp_path / "ablation" / "sgd" / "1" / "evaluation" / "metrics.json").read_text("utf-8"))
    assert float(next(row["top1"] for row in runs if (row["variant"], row["seed"]) == ("sgd", "1"))) == pytest.approx(
        metrics["top1"], abs=1e-6
    )
    other = run_script(
        "cli/flower_cli.py", "ablate", *base, "training.learning_rate=0.1", "--drop", "ema", "--seeds", "1"
    )
    assert other.returncode == 2
    assert "another base" in other.stderr


def test_audit_finds_copies_and_wrong_labels(tmp_path):
    root = tmp_path / "data"
    write_pictures(root, [12, 12, 12])
    rows = [(row["image_id"], row["label"]) for row in read_csv(root / "train.csv")]
    (root / "train" / "copy.png").write_bytes((root / "train" / rows[0][0]).read_bytes())
    write_rows(root / "train.csv", ("image_id", "label"), [*rows, ("copy.png", 2)])
    done = run_script("cli/flower_cli.py", "audit", f"dataset.root={root}", "--output", tmp_path / "audit")
    assert done.returncode == 0, done.stderr
    pairs = read_csv(tmp_path / "audit" / "near_duplicates.csv")
    assert (pairs[0]["image_id"], pairs[0]["other_id"]) == (rows[0][0], "copy.png")
    assert (pairs[0]["label"], pairs[0]["other_label"]) == ("0", "2")
    assert f"{rows[0][0]}" in done.stdout


def test_the_test_part_is_reported_once_and_apart(checkpoint, pictures, tmp_path):
    trained = run_script(
        "train.py", *SHORT, f"dataset.root={pictures}", "dataset.test_split=0.25", f"output_dir={tmp_path}"
    )
    assert trained.returncode == 0, trained.stderr
    assert "12 for a test" in trained.stdout
    model = ["--checkpoint", tmp_path / "checkpoints" / "best_model.pt"]
    done = run_script("evaluate.py", *model, "--split", "test", "--output-dir", tmp_path / "test")
    assert done.returncode == 0, done.stderr
    assert "images             12 (test split" in done.stdout
    assert "nothing is chosen by it" in done.stdout
    assert "seen in training" not in done.stdout
    metrics = json.loads((tmp_path / "test" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["top1_interval"][0] < metrics["top1_interval"][1]
    note = "note: the model (its epoch, its input size, or the members of a soup) was chosen on these images"
    words = ["--split", "val", "--output-dir", tmp_path / "val"]
    assert note in run_script("evaluate.py", "--checkpoint", checkpoint, *words).stdout
    # of a single epoch nothing was chosen
    assert note not in run_script("evaluate.py", *model, *words).stdout


def test_another_input_size_is_compared_and_kept(checkpoint, tmp_path):
    kept = tmp_path / "大.pt"
    words = ["--checkpoint", checkpoint, "--input-sizes", "24,40,48"]
    done = run_script("evaluate.py", *words, "--keep", kept)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines[1:5]] == ["24", "32", "40", "48"]
    best = max(lines[1:5], key=lambda line: (float(line[1]), -int(line[0])))
    assert lines[5][:2] == ["best", best[0]]
    again = run_script("evaluate.py", "--checkpoint", kept, "--output-dir", tmp_path)
    assert again.returncode == 0, again.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert 100 * metrics["top1"] == pytest.approx(float(best[1]), abs=0.01)
    changed, own = load_checkpoint(kept), load_checkpoint(checkpoint)
    if changed.input_size != own.input_size:
        # what was measured at the other size is not told of this one
        assert changed.metrics == {"val_top1": pytest.approx(metrics["top1"])}
        assert changed.temperature != own.temperature
        assert "expect a little less on new ones" in again.stdout
    assert run_script("evaluate.py", *words[:2], "--keep", kept).returncode == 2
    assert "16 to 4096" in run_script("evaluate.py", *words[:3], "8").stderr


def test_few_shot_classes_are_reported_apart(tmp_path):
    write_pictures(tmp_path / "data", [32, 8, 3])
    options = [*SHORT, "training=few_shot", "training.warmup_epochs=0", f"dataset.root={tmp_path / 'data'}"]
    trained = run_script("train.py", *options, f"output_dir={tmp_path}", "dataset.sampler=sqrt", "dataset.val_split=0")
    assert trained.returncode == 0, trained.stderr
    model = tmp_path / "checkpoints" / "best_model.pt"
    done = run_script("evaluate.py", "--checkpoint", model, "--split", "train", "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "many-shot classes" in done.stdout
    assert "(1 classes of 3 to 3 training images)" in done.stdout
    groups = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["groups"]
    assert {name: group["classes"] for name, group in groups.items()} == {"many": 1, "medium": 1, "few": 1}


@pytest.mark.slow
def test_an_ensemble_of_models_and_of_their_probabilities_agree(checkpoint, pictures, test_folder, tmp_path):
    # the same seed, so that both held back the same images
    options = [*SHORT, f"dataset.root={pictures}", "training.weight_decay=0.5", f"output_dir={tmp_path / 'other'}"]
    assert run_script("train.py", *options).returncode == 0
    models = [checkpoint, tmp_path / "other" / "checkpoints" / "best_model.pt"]
    together, form = tmp_path / "together.csv", ["--format", "official"]
    done = run_script("ensemble.py", "--checkpoint", *models, "--input", test_folder, "--output", together, *form)
    assert done.returncode == 0, done.stderr
    saved = [tmp_path / f"{number}.npz" for number in range(2)]
    for model, path in zip(models, saved, strict=True):
        words = ["--checkpoint", model, "--input", test_folder, "--output", tmp_path / "single.csv"]
        assert run_script("inference.py", *words, "--save-probabilities", path).returncode == 0
    averaged = tmp_path / "averaged.csv"
    done = run_script("ensemble.py", "--probabilities", *saved, "--output", averaged, *form)
    assert done.returncode == 0, done.stderr
    assert read_csv(averaged) == read_csv(together)
    assert len(read_csv(averaged)) == 9
    # the mean of files is packed like the models that made them
    words = ["--input", test_folder, "--output", tmp_path / "submission.zip"]
    done = run_script("prepare_submission.py", "--predictions", averaged, *words)
    assert done.returncode == 0, done.stdout + done.stderr

    with np.load(saved[0]) as file:
        older = {**file, "recipe": np.array(json.dumps({"checkpoints": []}))}
    np.savez(tmp_path / "older.npz", **older)
    with pytest.raises(InputError, match=r"older\.npz: not a probabilities\.npz of this version's"):
        read_probabilities(tmp_path / "older.npz")

    words = ["--checkpoint", models[0], "--input", test_folder, "--output", tmp_path / "single.csv", "--tta"]
    assert run_script("inference.py", *words, "--save-probabilities", saved[0]).returncode == 0
    done = run_script("ensemble.py", "--probabilities", *saved, "--output", averaged)
    assert "no ZIP can repeat their mean" in done.stdout
    done = run_script("prepare_submission.py", "--predictions", averaged, "--input", test_folder)
    assert done.returncode == 2
    assert "Give --checkpoint." in done.stderr

    words = ["--input", test_folder, "--fit", "--output", tmp_path / "fitted.csv"]
    done = run_script("ensemble.py", "--checkpoint", *models, *words)
    assert done.returncode == 0, done.stderr
    assert "on 10 images (val split of" in done.stdout
    assert "log loss    equal" in done.stdout
    provenance = json.loads((tmp_path / "fitted.json").read_text(encoding="utf-8"))
    assert sum(entry["weight"] for entry in provenance["checkpoints"]) == pytest.approx(1)
