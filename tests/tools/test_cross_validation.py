"""Cross-validation: every image answered once, by the model that never saw it."""

import csv
import json
import shutil

import numpy as np
import pytest

from cli.oof import describe
from common.errors import InputError
from configs.compose import compose
from prediction.probabilities import read_probabilities
from tests.conftest import TINY
from tools.cross_validation import join_folds
from training.train import train


@pytest.fixture(scope="module")
def halves(pictures, tmp_path_factory):
    """Two runs that held back one half of the pictures each; read only."""
    root = tmp_path_factory.mktemp("sweep")
    words = [word for word in TINY if not word.startswith("training.epochs")]
    words += ["training.epochs=1", "dataset.num_folds=2", f"dataset.root={pictures}"]
    for fold in range(2):
        train(compose("config", [*words, f"dataset.fold={fold}", f"output_dir={root / str(fold)}"]))
    return root


@pytest.fixture
def folds(halves, tmp_path):
    """A copy of the two runs."""
    return shutil.copytree(halves, tmp_path / "sweep")


@pytest.mark.integration
def test_the_folds_together_answer_for_every_image(halves, pictures, tmp_path):
    found = join_folds(halves, ("identity",), tmp_path / "oof")
    assert (found.metrics.images, found.models, found.not_held_back, found.unreadable) == (48, 2, 0, 0)
    lines = describe(found)
    assert lines[0].startswith("images             48, each answered by the one of 2 models")
    assert not [line for line in lines if line.startswith("warning")]
    saved = read_probabilities(tmp_path / "oof" / "probabilities.npz")
    with (pictures / "train.csv").open(encoding="utf-8") as file:
        label_of = {row["image_id"]: int(row["label"]) for row in csv.DictReader(file)}
    assert set(saved.image_ids) == set(label_of)
    hits = [label_of[name] == row.argmax() for name, row in zip(saved.image_ids, saved.values, strict=True)]
    assert found.metrics.top1 == pytest.approx(np.mean(hits))
    assert np.mean(found.top1_of_folds) == pytest.approx(found.metrics.top1)
    results = json.loads((tmp_path / "oof" / "metrics.json").read_text(encoding="utf-8"))
    assert (results["top1"], results["top1_of_folds"]) == (found.metrics.top1, found.top1_of_folds)
    assert results["temperature"] == found.temperature
    assert len((tmp_path / "oof" / "predictions.csv").read_text(encoding="utf-8").splitlines()) == 49


@pytest.mark.integration
def test_a_missing_fold_is_said_and_one_twice_refused(folds, tiny, tmp_path):
    quarter = ["dataset.num_folds=4", "training.epochs=1"]
    (folds / "1" / "checkpoints" / "best_model.pt").unlink()
    with pytest.raises(InputError, match=r"1 best_model\.pt below it"):
        join_folds(folds, ("identity",), tmp_path / "oof", [])
    train(tiny(*quarter, "dataset.fold=0", "seed=7", f"output_dir={folds / '1'}"))
    with pytest.raises(InputError, match="both held back"):
        join_folds(folds, ("identity",), tmp_path / "oof", [])
    train(tiny(*quarter, "dataset.fold=0", f"output_dir={folds / '0'}"))
    train(tiny(*quarter, "dataset.fold=1", f"output_dir={folds / '1'}"))
    found = join_folds(folds, ("identity",), tmp_path / "oof")
    assert (found.not_held_back, found.images_of_runs) == (24, 48)
    assert describe(found)[-1] == "warning: 24 of 48 images were held back by none of these models."
