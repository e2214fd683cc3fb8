"""A run keeps which validation images each epoch has right, and corrects its best top-1 for the choice of the epoch."""

import numpy as np
import pytest

from common.torch_files import load_payload, save_payload
from evaluation.epoch_choice import CORRECTED, flattery
from models.checkpoint import load_checkpoint
from training.resume import STATE_FORMAT
from training.run_folder import RunFolder
from training.train import train

pytestmark = pytest.mark.integration


def test_the_corrected_top1_is_written_and_said_also_after_a_resume(tiny, tmp_path, capsys):
    train(tiny("training.epochs=2"))
    folder = RunFolder(tmp_path / "run")
    train(tiny("training.epochs=4", "training.resume=auto", "training.resume_force=true"))
    with np.load(folder.validation_hits, allow_pickle=False) as saved:
        image_ids, hits = saved["image_ids"], saved["hits"]
    checkpoint = load_checkpoint(folder.best)
    assert hits.shape == (4, len(image_ids))
    assert set(image_ids) == set(checkpoint.split["val"])
    assert hits.mean(axis=1).max() == pytest.approx(checkpoint.metrics["val_top1"])
    corrected = checkpoint.metrics["val_top1"] - flattery(hits)
    assert checkpoint.metrics[CORRECTED] == pytest.approx(corrected)
    assert f"corrected for the choice of the epoch: {100 * corrected:.2f} %" in capsys.readouterr().out


def test_a_state_without_answers_is_said_to_have_no_correction(tiny, tmp_path, capsys):
    train(tiny("training.epochs=1"))
    folder = RunFolder(tmp_path / "run")
    saved = load_payload(folder.last, STATE_FORMAT)
    del saved["state"]["validation_hits"]
    save_payload(saved, folder.last)
    train(tiny("training.epochs=2", "training.resume=auto"))
    assert "by how much is unknown" in capsys.readouterr().out
    assert CORRECTED not in load_checkpoint(folder.best).metrics


def test_one_epoch_says_nothing_of_a_choice(tiny, tmp_path, capsys):
    train(tiny("training.epochs=1"))
    assert "choice of the epoch" not in capsys.readouterr().out
    assert CORRECTED not in load_checkpoint(RunFolder(tmp_path / "run").best).metrics
