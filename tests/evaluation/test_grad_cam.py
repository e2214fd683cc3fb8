"""Activation maps have the image's size, and show the place that decides."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalSubscript=false

import numpy as np
import pytest
import torch

from evaluation.grad_cam import attention_map
from models.classifier import build_classifier

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_convnext", "test_resnet", "swinv2_cr_tiny_ns_224"])
def test_a_map_has_the_images_size_and_goes_up_to_one(architecture):
    torch.manual_seed(0)
    size = 224 if "swin" in architecture else 64
    model = build_classifier(architecture, 4, size).eval()
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    maps = [attention_map(model, image, label) for label in range(4)]
    found = [places for places in maps if places is not None]
    assert found
    for places in found:
        assert places.shape == (size, size)
        assert places.min() >= 0
        assert 0.3 < places.max() <= 1


def test_the_bright_place_is_the_one_that_decides():
    class Backbone(torch.nn.Module):
        num_features = 1

        def forward_features(self, images):
            return torch.nn.functional.avg_pool2d(images.mean(dim=1, keepdim=True), 8)

        def forward_head(self, features):
            total = features.mean(dim=(1, 2, 3))
            return torch.stack([total, -total], dim=1)

    from models.classifier import Classifier

    model = Classifier(Backbone(), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    image[16:, 16:] = 255
    places = attention_map(model, image, 0)
    assert places[:8, :8].max() == 0
    assert places[-8:, -8:].min() > 0.9
    assert attention_map(model, image, 1) is None


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_convnext", "test_vit"])
def test_a_stage_head_shows_the_place_that_decides_its_logit(architecture):
    """Without the head's own logit the map would be that of a channel with the number of the class."""
    torch.manual_seed(0)
    size = 160 if "vit" in architecture else 64
    model = build_classifier(architecture, 4, size, head="last_block").eval()
    assert model.head is not None
    with torch.no_grad():
        model.head.classifier.weight.zero_()
        # the average of the first channel decides class 2, and nothing class 1
        model.head.classifier.weight[2, 0] = 1.0
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    with torch.no_grad():
        channel = model.stage_maps(model.normalised(pixels))[-1][0, 0].clamp(min=0)
    full = torch.nn.functional.interpolate(
        (channel / channel.max())[None, None], size=(size, size), mode="bilinear", align_corners=False
    )
    places = attention_map(model, image, 2)
    assert places is not None
    np.testing.assert_allclose(places, full[0, 0], atol=1e-5)
    assert attention_map(model, image, 1) is None
