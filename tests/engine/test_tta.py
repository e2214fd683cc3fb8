"""Views: what each does to an image, and that their average is the average."""

import pytest
import torch

from configs.errors import InputError
from engine.tta import PLAIN, VIEWS, ViewAverage, parse_views


class Corner(torch.nn.Module):
    """Logits that depend on where the pixels are."""

    def forward(self, images):
        return torch.stack([images[:, 0, 0, 0].float() / 50, images[:, 1, 0, -1].float() / 50], dim=1)


@pytest.fixture
def images():
    return torch.randint(0, 256, (3, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_flip_mirrors_left_and_right_and_undoes_itself(images):
    flipped = VIEWS["hflip"](images)
    assert torch.equal(flipped[..., 0], images[..., -1])
    assert not torch.equal(flipped, images)
    assert torch.equal(VIEWS["hflip"](flipped), images)
    assert torch.equal(VIEWS["identity"](images), images)


def test_probabilities_are_averaged(images):
    found = ViewAverage(Corner(), ("identity", "hflip"), "probabilities")(images).softmax(dim=1)
    model = Corner()
    expected = (model(images).softmax(dim=1) + model(images.flip(-1)).softmax(dim=1)) / 2
    torch.testing.assert_close(found, expected)


def test_logits_are_averaged_if_asked(images):
    found = ViewAverage(Corner(), ("identity", "hflip"), "logits")(images)
    torch.testing.assert_close(found, (Corner()(images) + Corner()(images.flip(-1))) / 2)
    assert not torch.allclose(
        found.softmax(dim=1), ViewAverage(Corner(), ("identity", "hflip"), "probabilities")(images).softmax(dim=1)
    )


def test_views_are_parsed():
    assert parse_views(None) == PLAIN
    assert parse_views("identity,hflip") == ("identity", "hflip")


@pytest.mark.parametrize(
    ("text", "message"),
    [("hflp", "no view 'hflp'. Did you mean 'hflip'"), ("hflip,hflip", "twice"), ("", "no view ''")],
)
def test_bad_views_are_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_views(text)
