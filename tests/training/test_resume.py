"""Resuming with another recipe, by force, or with another precision: what counts, and what is said."""

import shutil

import pytest
import torch

import training.run
from common.device import Precision
from configs.compose import compose
from tests.conftest import TINY
from training.resume import load_training_state
from training.run_folder import RunFolder, write_history
from training.train import train

FORCED = ("training.epochs=2", "training.resume=auto", "training.resume_force=true")


def groups_of(tmp_path) -> list[dict]:
    return load_training_state(RunFolder(tmp_path / "run").last)["state"]["optimizer"]["param_groups"]


@pytest.fixture(scope="module")
def begun(pictures, tmp_path_factory):
    """A run of one epoch; read only."""
    root = tmp_path_factory.mktemp("begun")
    words = [word for word in TINY if not word.startswith("training.epochs")]
    train(compose("config", [*words, "training.epochs=1", f"dataset.root={pictures}", f"output_dir={root}"]))
    return root


@pytest.fixture
def one_epoch(begun, tmp_path):
    """Copy the run to where `tiny` writes."""
    shutil.copytree(begun, tmp_path / "run")


@pytest.mark.integration
@pytest.mark.parametrize("other", ["training.weight_decay=0.2", "training.weight_decay=0"])
def test_a_forced_weight_decay_counts(tiny, one_epoch, tmp_path, capsys, other):
    assert {group["weight_decay"] for group in groups_of(tmp_path)} == {0.0, 0.05}
    train(tiny(*FORCED, other))
    assert "training.weight_decay (was 0.05), which count from here on" in capsys.readouterr().out
    assert {group["weight_decay"] for group in groups_of(tmp_path)} == {0.0, float(other.split("=")[1])}


@pytest.mark.integration
def test_a_forced_layer_decay_counts_and_keeps_the_moments(tiny, one_epoch, tmp_path):
    assert {group["lr_scale"] for group in groups_of(tmp_path)} == {1.0}
    train(tiny(*FORCED, "training.layer_decay=0.5", "training.head_lr_multiplier=3"))
    assert len({group["lr_scale"] for group in groups_of(tmp_path)}) > 3
    state = load_training_state(RunFolder(tmp_path / "run").last)["state"]["optimizer"]["state"]
    # five steps an epoch: none of the parameters began anew
    assert {int(slots["step"]) for slots in state.values()} == {10}


@pytest.mark.integration
def test_a_run_goes_on_in_float16_and_back(tiny, one_epoch, tmp_path, monkeypatch, capsys):
    def in_float16(*_arguments):
        return Precision("cpu", torch.float16)

    with monkeypatch.context() as patch:
        patch.setattr(training.run, "choose_precision", in_float16)
        train(tiny("training.epochs=2", "training.resume=auto"))
    said = capsys.readouterr().out
    assert "had no float16; it goes on in mixed float16, with a fresh scale of gradients" in said
    assert load_training_state(RunFolder(tmp_path / "run").last)["state"]["scaler"]["scale"] > 0
    train(tiny("training.epochs=3", "training.resume=auto"))
    assert "was in mixed float16; it goes on in float32, without a scale" in capsys.readouterr().out


def test_rows_of_earlier_versions_have_empty_cells(tmp_path):
    row = {"epoch": 1, "train_loss": 0.5, "val_loss": None, "val_top1": None, "val_top5": None, "learning_rate": 0.1}
    old = {**row, "images_per_second": 2.0, "seconds": 3.0}
    write_history(tmp_path / "history.csv", [old, {**old, "epoch": 2, "wall_seconds": 4.0}])
    lines = (tmp_path / "history.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[-2:] for line in lines] == [["seconds", "wall_seconds"], ["3", ""], ["3", "4"]]
