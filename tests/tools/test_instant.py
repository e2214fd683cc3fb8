"""A model without training: an ordinary checkpoint with the best head."""

import argparse

import pytest

import training.features
from cli.instant import add_arguments, describe, describe_ranking, run
from common.errors import InputError, RunError
from configs.options import HEADS, OUT_OF_FOLD, UNTRAINED
from models.checkpoint import load_checkpoint
from prediction.pipeline import load_pipeline
from tests.conftest import TINY, write_pictures
from tests.helpers import run_script
from tools.instant import instant, rank_backbones
from tools.model_card import model_card
from tools.probe_baseline import probe
from training.train import train

pytestmark = pytest.mark.integration


def test_the_best_head_becomes_an_ordinary_calibrated_checkpoint(tiny):
    config = tiny("dataset.val_split=0.25")
    found = instant(config)
    assert [score.head for score in found.scores] == list(HEADS)
    assert found.best.top1 == max(score.top1 for score in found.scores)
    checkpoint = load_checkpoint(found.path)
    assert checkpoint.architecture_arguments["head"] == found.best.head
    assert checkpoint.temperature != 1
    assert checkpoint.epoch == 0
    assert len(checkpoint.split["train"]) == found.images == 36
    assert 0 < checkpoint.metrics[OUT_OF_FOLD] <= 1
    pipeline = load_pipeline([found.path])
    assert pipeline.members[0].checkpoint.config["model"]["head"] == found.best.head
    assert describe(found)[0].startswith(f"{config.model.name}: 36 images, frozen ")


def test_an_older_model_moves_to_the_archive_and_features_are_read_from_the_cache(tiny):
    config = tiny()
    first = instant(config, ["stages"])
    again = instant(config, ["stages"])
    assert len(list(first.path.parents[1].glob("archive/*/checkpoints/best_model.pt"))) == 1
    assert again.best.top1 == first.best.top1


def test_backbones_are_ranked_and_one_without_weights_ends_nothing(tiny):
    good = tiny()
    bad = tiny("model.pretrained=true", "model.weights=missing.pth", "model.name=broken")
    shown = []
    found, failed = rank_backbones([bad, good], ["pooled", "last_block"], shown.append)
    assert [model.model for model in found] == [good.model.name] == [model.model for model in shown]
    assert "missing.pth" in failed["broken"]
    assert describe_ranking(found, failed)[-1].startswith("  broken")
    with pytest.raises(RunError, match=r"missing\.pth"):
        rank_backbones([bad, bad], ["pooled"], shown.append)
    with pytest.raises(InputError, match=r"missing\.pth"):
        rank_backbones([bad], ["pooled"], shown.append)


def test_an_unknown_head_is_refused(tiny):
    with pytest.raises(InputError, match="head 'stage'"):
        instant(tiny(), ["stage"])


def broken_copy(folder, names):
    write_pictures(folder, [6, 6, 6])
    for name in names:
        (folder / "train" / name).write_bytes(b"not an image")
    return f"dataset.root={folder}"


def test_unreadable_images_are_counted_and_are_no_training_images_of_the_model(tiny, tmp_path):
    root = broken_copy(tmp_path / "data", ["0003.png"])
    options = [root, "dataset.val_split=0", "dataset.max_bad_fraction=0.1"]
    found = instant(tiny(*options), ["stages"])
    assert (found.images, found.unreadable) == (17, 1)
    assert "1 images could not be read" in describe(found)[1]
    checkpoint = load_checkpoint(found.path)
    assert len(checkpoint.split["train"]) == sum(checkpoint.class_counts) == 17
    assert "0003.png" not in checkpoint.split["train"]
    with pytest.raises(RunError, match=r"1 of 18 images could not be read, more than dataset\.max_bad_fraction=0\.01"):
        instant(tiny(root, "dataset.val_split=0"), ["stages"])
    write_pictures(tmp_path / "other", [4, 4, 4])
    assert probe(tiny(*options), tmp_path / "other").unreadable == 1


def test_a_class_with_one_readable_image_is_a_sentence(tiny, tmp_path):
    # five of the six images of the first class
    root = broken_copy(tmp_path / "data", [f"{number:04d}.png" for number in range(0, 15, 3)])
    with pytest.raises(InputError, match="1 classes have one readable training image"):
        instant(tiny(root, "dataset.val_split=0", "dataset.max_bad_fraction=1"), ["stages"])


def test_the_checkpoint_loads_whatever_training_would_have_been(tiny):
    found = instant(tiny("training.min_lr=0", "training.teacher=ema", "training.ema_decay=0.9"), ["last_block"])
    pipeline = load_pipeline([found.path])
    assert pipeline.members[0].checkpoint.epoch == 0
    card = model_card(pipeline.members[0].checkpoint, None)
    assert "without training" in card
    assert "best epoch" not in card
    assert "learning_rate" not in card


def test_an_architecture_without_one_last_layer_still_has_its_other_heads(tiny, monkeypatch):
    def refuse(model):
        if model.head is None:
            raise InputError("it does not end in one linear layer")
        return real(model)

    real = training.features.final_layer
    monkeypatch.setattr("training.features.final_layer", refuse)
    found = instant(tiny(), ["pooled", "stages"])
    assert found.best.head == "stages"
    assert "one linear layer" in found.missing["pooled"]


@pytest.mark.parametrize("text", ["output_dir=mine", "model.head=stages"])
def test_a_key_that_the_command_sets_itself_is_refused(text):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(InputError, match=r"has no effect here\. Give --"):
        run(parser.parse_args([]), [text])


@pytest.mark.parametrize("command", ["instant", "probe"])
def test_keys_that_nothing_reads_without_training_are_named(command, pictures, tmp_path):
    sizes = ["training.final_epochs=1", "training.final_input_size=48"]
    words = [*TINY, *sizes, "training.mixup_alpha=0.2", "augmentation.train.HorizontalFlip.p=0"]
    place = ["--output", tmp_path] if command == "instant" else [f"output_dir={tmp_path}"]
    done = run_script("cli/flower_cli.py", command, f"dataset.root={pictures}", *place, *words)
    assert done.returncode == 0, done.stderr
    note = next(line for line in done.stdout.splitlines() if "without effect here" in line)
    assert "training.mixup_alpha" in note
    assert "augmentation.train" in note
    assert "final" not in note


def test_training_does_not_take_the_name_of_no_training(tiny):
    with pytest.raises(InputError, match=r"training\.name=instant: means a model without training"):
        train(tiny(f"training.name={UNTRAINED}"))
