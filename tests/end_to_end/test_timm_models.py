"""A model of timm that is no option of the kit: from training to a ZIP that the judges' code proves."""

import json
import zipfile

import pytest

from models.checkpoint import load_checkpoint
from tests.helpers import run_script

WORDS = (
    *("model=timm", "model.pretrained=false", "augmentation=light", "dataset.batch_size=8", "dataset.num_workers=0"),
    *("training.epochs=1", "training.warmup_epochs=0", "device=cpu"),
)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["test_convnext", "test_vit"])
def test_a_model_of_timm_is_trained_measured_and_proven(pictures, test_folder, tmp_path, architecture):
    words = [*WORDS, f"model.architecture={architecture}", f"dataset.root={pictures}", f"output_dir={tmp_path}"]
    done = run_script("train.py", *words)
    assert done.returncode == 0, done.stderr
    assert f"input_size 160, crop_pct 0.95, mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5) from timm's {architecture}." in (
        done.stdout
    )
    best, predictions = tmp_path / "checkpoints" / "best_model.pt", tmp_path / "predictions.csv"
    assert (load_checkpoint(best).input_size, load_checkpoint(best).crop_pct) == (160, 0.95)
    for script, *flags in (
        ("evaluate.py", "--checkpoint", best, "--output-dir", tmp_path / "evaluation"),
        ("inference.py", "--checkpoint", best, "--input", test_folder, "--format", "official", "--output", predictions),
        ("cli/flower_cli.py", "budget", "--checkpoint", best, "--tta", "identity", "--output", tmp_path / "budget"),
        ("prepare_submission.py", "--predictions", predictions, "--output", tmp_path / "submission.zip"),
    ):
        done = run_script(script, *flags, "device=cpu")
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        (model,) = json.loads(archive.read("model/config.json"))["models"]
    assert model["architecture"] == load_checkpoint(best).architecture
    assert ("img_size" in model["arguments"]) == (architecture == "test_vit")
