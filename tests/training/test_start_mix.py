"""Weights between start and end: what is mixed, what `auto` chooses, and what survives a stop."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false

import dataclasses

import pytest
import timm
import torch

import training.start_mix
from common.errors import InputError
from common.torch_files import save_payload
from evaluation.epoch_choice import CORRECTED
from models.checkpoint import load_checkpoint
from tests.training.interrupted_runs import assert_same_run, stop_and_go_on
from training.resume import STATE_FORMAT, load_training_state
from training.run_folder import RunFolder
from training.start_mix import FALLBACK, SHARES, with_start
from training.train import train

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Overrides of a run that starts from weights in a file."""
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    torch.save(timm.create_model("test_efficientnet").state_dict(), path)
    return ["model.pretrained=true", f"model.weights={path}", "training.head_init=probe"]


def best_of(tmp_path, name="run"):
    return load_checkpoint(tmp_path / name / "checkpoints" / "best_model.pt")


def test_a_random_classifier_is_never_mixed_in(tiny, start, tmp_path, capsys):
    recipe = ["training=finetune", "training.freeze_batchnorm=false", "training.epochs=1", "training.final_epochs=0"]
    train(tiny(*start[:2], *recipe, "training.head_init=random"))
    assert "from the start" not in capsys.readouterr().out
    assert "start_share" not in best_of(tmp_path).metrics
    train(tiny(*start[:2], *recipe, f"output_dir={tmp_path / 'probe'}"))
    assert "Weights of the best model: 0.2 from the start" in capsys.readouterr().out
    assert best_of(tmp_path, "probe").metrics["start_share"] == 0.2


def test_a_given_share_is_mixed_into_the_best_epochs_averages(tiny, start, tmp_path, capsys):
    averages = [*start, "training.ema_decay=0.9", "dataset.val_split=0", "training.epochs=1"]
    train(tiny(*averages, f"output_dir={tmp_path / 'plain'}"))
    train(tiny(*averages, "training.start_mix=0.25"))
    said = capsys.readouterr().out
    assert "Weights of the best model: 0.25 from the start, 0.75 from the end" in said
    before = load_training_state(RunFolder(tmp_path / "run").last)["state"]["start"]
    plain, mixed = best_of(tmp_path, "plain"), best_of(tmp_path)
    for name, end in plain.state_dict.items():
        expected = 0.75 * end + 0.25 * before[name] if end.is_floating_point() else end
        torch.testing.assert_close(mixed.state_dict[name], expected)
    statistics = [name for name in plain.state_dict if name.endswith("running_var")]
    assert any(not torch.equal(mixed.state_dict[name], plain.state_dict[name]) for name in statistics)
    assert mixed.metrics["start_share"] == 0.25
    assert load_training_state(RunFolder(tmp_path / "plain").last)["state"]["start"] is None


def test_auto_ships_the_share_with_the_best_validation(tiny, start, tmp_path, monkeypatch, capsys):
    real = training.start_mix.validation_metrics
    given = iter([0.5, 0.6, 0.9, 0.9, 0.7, 0.1])
    monkeypatch.setattr(
        training.start_mix, "validation_metrics", lambda outputs: {**real(outputs), "val_top1": next(given)}
    )
    result = train(tiny(*start, "training.start_mix=auto"))
    metrics = best_of(tmp_path).metrics
    assert metrics["start_share"] == 0.2
    assert metrics["val_top1"] == result.best_top1 == 0.9
    at_end, *others = [metrics[f"val_top1_with_start_share_{share:g}"] for share in SHARES]
    assert at_end == 0.5
    assert others == [0.6, 0.9, 0.9, 0.7, 0.1]
    said = capsys.readouterr().out
    shown = f"0.2 from the start, 0.8 from the end (validation top-1 by share: 0: {100 * at_end:.2f} %, 0.1: 60.00 %"
    assert shown in said


def test_the_recorded_accuracy_is_that_of_the_shipped_weights(tiny, start, tmp_path, capsys):
    train(tiny(*start, "training.start_mix=auto", "training.learning_rate=0.5"))
    metrics = best_of(tmp_path).metrics
    tried = {share: metrics[f"val_top1_with_start_share_{share:g}"] for share in SHARES}
    assert metrics["val_top1"] == max(tried.values()) == tried[metrics["start_share"]]
    # the images chose the epoch and the share: both flatter
    assert metrics["start_share_flattery"] >= 0
    assert metrics[CORRECTED] <= metrics["val_top1"] - metrics["start_share_flattery"]
    assert "corrected for the choice of the epoch and of start_mix" in capsys.readouterr().out
    assert not any(share < metrics["start_share"] and top1 == metrics["val_top1"] for share, top1 in tried.items())


def test_auto_without_validation_images_says_what_it_takes(tiny, start, tmp_path, capsys):
    train(tiny(*start, "training.start_mix=auto", "dataset.val_split=0", "training.epochs=1"))
    assert "no validation images could choose; the share 0.2 is taken" in capsys.readouterr().out
    assert best_of(tmp_path).metrics["start_share"] == FALLBACK


def test_a_stopped_run_mixes_the_start_of_its_first_part(tiny, start, tmp_path, monkeypatch):
    options = [*start, "training.epochs=3", "training.start_mix=auto", "training.early_stopping.patience=2"]
    train(tiny(*options, f"output_dir={tmp_path / 'straight'}"))
    stop_and_go_on(monkeypatch, tiny(*options, "training.resume=auto"), looks=(2, 7))
    assert_same_run(RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "run"))


def test_a_run_killed_before_it_mixed_mixes_when_it_is_resumed_and_only_once(tiny, start, tmp_path, monkeypatch):
    resumed = tiny(*start, "training.start_mix=0.5", "training.epochs=1", "training.resume=auto")
    with monkeypatch.context() as patch:
        patch.setattr("training.train.mix_into_best_model", lambda run, state: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(resumed)
    assert "start_share" not in best_of(tmp_path).metrics
    train(resumed)
    once = best_of(tmp_path)
    assert once.metrics["start_share"] == 0.5
    again = train(resumed)
    assert again.best_top1 == once.metrics["val_top1"]
    twice = best_of(tmp_path)
    assert all(torch.equal(value, twice.state_dict[name]) for name, value in once.state_dict.items())


def test_a_state_without_a_start_cannot_be_mixed(tiny, start, tmp_path):
    train(tiny(*start, "training.epochs=1"))
    forced = ["training.epochs=2", "training.resume=auto", "training.resume_force=true"]
    with pytest.raises(InputError, match=r"lacks the weights of the run's start, which training\.start_mix=auto"):
        train(tiny(*start, *forced, "training.start_mix=auto"))


def test_a_state_of_an_earlier_version_goes_on(tiny, tmp_path):
    train(tiny("training.epochs=1"))
    last = RunFolder(tmp_path / "run").last
    saved = load_training_state(last)
    del saved["state"]["start"]
    for key in ("start_mix", "backbone_warmup_epochs"):
        del saved["config"]["training"][key]
    for group in saved["state"]["optimizer"]["param_groups"]:
        del group["in_backbone"]
    save_payload({**saved, "format": STATE_FORMAT}, last)
    assert train(tiny("training.epochs=2", "training.resume=auto")).epochs == 2


def test_random_weights_are_never_mixed_in(tiny, tmp_path):
    config = tiny("training.epochs=1")
    train(dataclasses.replace(config, training=dataclasses.replace(config.training, start_mix=0.5)))
    assert "start_share" not in best_of(tmp_path).metrics


def test_equal_weights_stay_as_they_are(checkpoint):
    found = load_checkpoint(checkpoint)
    mixed = with_start(found, found.state_dict, 0.3)
    assert all(torch.equal(value, mixed.state_dict[name]) for name, value in found.state_dict.items())
