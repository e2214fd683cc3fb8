"""Soups: the mean of weights, with statistics of its own, and nothing written where it does not gain."""

import pytest
import torch

from cli.soup import describe, describe_written
from common.errors import InputError, RunError
from configs.options import UNTRAINED
from models.checkpoint import load_checkpoint
from prediction.pipeline import load_pipeline
from tools.soup import averaged, soup


def changed(source, path, change):
    payload = torch.load(source, weights_only=True)
    change(payload)
    torch.save(payload, path)
    return path


@pytest.fixture
def pair(checkpoint, tmp_path):
    """A model that answers with one class alone, and one that does so with another, about a better one."""

    def lean(much):
        def change(payload):
            payload["state_dict"]["backbone.classifier.bias"] += torch.tensor([0, 0, much, -much])

        return change

    return [changed(checkpoint, tmp_path / f"lean{much}.pt", lean(much)) for much in (30, -30)]


def test_weights_are_averaged_and_shared_statistics_kept(checkpoint, pair):
    pipeline = load_pipeline(pair)
    first, second = (member.checkpoint.state_dict for member in pipeline.members)
    mixed = averaged(pipeline, [0, 1]).state_dict
    for name, value in mixed.items():
        expected = (first[name] + second[name]) / 2 if value.is_floating_point() else first[name]
        assert torch.equal(value, expected), name


def test_a_soup_with_a_trained_member_is_trained(checkpoint, tmp_path):
    def untrained(payload):
        payload["config"]["training"]["name"] = UNTRAINED

    other = changed(checkpoint, tmp_path / "instant.pt", untrained)
    for files, expected in (([other, checkpoint], "default"), ([other, other], UNTRAINED)):
        assert averaged(load_pipeline(files), [0, 1]).config["training"]["name"] == expected


def test_statistics_of_their_own_are_computed_anew(checkpoint, tmp_path):
    def shift(payload):
        for name, tensor in payload["state_dict"].items():
            if name.endswith("running_mean"):
                tensor += 5

    pipeline = load_pipeline([checkpoint, changed(checkpoint, tmp_path / "shifted.pt", shift)])
    first = pipeline.members[0].checkpoint.state_dict
    mixed = averaged(pipeline, [0, 1]).state_dict
    name = next(name for name in first if name.endswith("running_mean"))
    # the weights are equal, so the statistics are those of the training images, far from the mean of 0 and 5
    assert (mixed[name] - first[name]).abs().max() < 1
    assert all(torch.equal(mixed[name], first[name]) for name in first if name.endswith(".weight"))


def test_a_soup_that_gains_is_an_ordinary_checkpoint(pair, pictures, tmp_path):
    found = soup(load_pipeline(pair), pictures, tmp_path / "soup.pt")
    written = next(item for item in found.soups if item.kind == found.written)
    assert written.top1 > max(found.top1_of_members)
    assert written.gain.points == pytest.approx(100 * (written.top1 - max(found.top1_of_members)))
    checkpoint = load_checkpoint(tmp_path / "soup.pt")
    assert checkpoint.build_model()
    # it was measured on other images than those of its validation
    assert checkpoint.metrics == {}
    # fitted on the images that chose it, not taken from a member
    assert checkpoint.temperature == found.temperature != load_checkpoint(pair[0]).temperature
    assert checkpoint.temperature_source == f"{found.images} images: {found.source}"
    assert describe_written(found, tmp_path).endswith(
        f"its temperature, {found.temperature:.3f}, was fitted on these images"
    )
    assert describe(found)[3].startswith(f"uniform     {100 * found.soups[0].top1:.2f} %  models 1, 2;")


def test_equal_models_make_no_soup(checkpoint, tmp_path):
    with pytest.raises(RunError, match="nothing was written") as refused:
        soup(load_pipeline([checkpoint, checkpoint]), None, tmp_path / "soup.pt")
    assert [item.gain.points for item in refused.value.result.soups] == [0, 0]
    assert not (tmp_path / "soup.pt").exists()


def test_other_architectures_are_refused(checkpoint, tmp_path):
    def crop(payload):
        payload["crop_pct"] = 0.9

    other = changed(checkpoint, tmp_path / "other.pt", crop)
    with pytest.raises(InputError, match="its crop pct is not that of"):
        soup(load_pipeline([checkpoint, other]), None, tmp_path / "soup.pt")
