"""A model without training: an ordinary checkpoint with the best head."""

import pytest

from cli.instant import describe, describe_ranking
from common.errors import InputError, RunError
from configs.options import HEADS
from models.checkpoint import load_checkpoint
from prediction.pipeline import load_pipeline
from tools.instant import OUT_OF_FOLD, instant, rank_backbones

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
