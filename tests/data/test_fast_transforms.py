"""The kit's faster transforms do what those of albumentations do: the same pixels, or the same distribution."""

import random

import albumentations
import cv2
import numpy as np
import pytest

from configs.compose import compose
from configs.options import option_names
from data import fast_transforms
from data.transforms import TrainTransform

ROWS, COLUMNS = np.mgrid[0:90, 0:120]
PICTURE = np.stack([ROWS * 2, COLUMNS * 2, 255 - ROWS - COLUMNS], axis=2).astype(np.uint8)
GREY = np.full((128, 128, 3), 120, np.uint8)
STRONGEST = "ultra_strong"


def drawn(transform, image, index):
    transform.set_random_state(np.random.default_rng(index), random.Random(index))
    return transform(image=image)["image"]


def pair_of(name, **arguments):
    """Return albumentations' transform and the kit's."""
    return getattr(albumentations, name)(**arguments), getattr(fast_transforms, f"Fast{name}")(**arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("RandomFog", {"fog_coef_range": (0.3, 0.5), "alpha_coef": 0.1}),
        ("RandomFog", {"fog_coef_range": (0.1, 1.0), "alpha_coef": 0.9}),
        ("RandomShadow", {"num_shadows_limit": (1, 2), "shadow_intensity_range": (0.2, 0.5)}),
        ("RandomShadow", {"num_shadows_limit": (3, 5), "shadow_intensity_range": (0.0, 1.0), "shadow_dimension": 7}),
    ],
)
@pytest.mark.parametrize("shape", [(90, 120), (61, 61), (33, 20), (5, 7)])
def test_fog_and_shadow_are_the_same_pixels(name, arguments, shape):
    slow, fast = pair_of(name, p=1.0, **arguments)
    image = np.ascontiguousarray(PICTURE[: shape[0], : shape[1]])
    for index in range(5):
        expected = drawn(slow, image, index)
        assert np.array_equal(drawn(fast, image, index), expected)
    assert not np.array_equal(image, expected)


def moments(transform, image=GREY, draws=40):
    """Return the mean and the spread of what is added to `image`, for each draw, float (draws, 2)."""
    added = [drawn(transform, image, index).astype(float) - image for index in range(draws)]
    return np.array([[one.mean(), one.std()] for one in added])


@pytest.mark.parametrize("arguments", [{}, {"mean_range": (0.05, 0.1)}, {"per_channel": False}])
def test_noise_has_the_spread_and_the_mean_that_are_asked_for(arguments):
    slow, fast = pair_of("GaussNoise", p=1.0, std_range=(0.02, 0.06), **arguments)
    expected, found = moments(slow), moments(fast)
    # albumentations cuts fractions off, which takes up to a tenth of a narrow spread, and half a level of the mean
    assert np.all((found[:, 1] / expected[:, 1] > 0.98) & (found[:, 1] / expected[:, 1] < 1.12))
    assert np.abs(found[:, 0] - expected[:, 0]).max() < 0.8


def test_noise_is_normal_white_and_new_in_each_draw():
    fast = fast_transforms.FastGaussNoise(std_range=(0.1, 0.1), p=1.0)
    first, second = (drawn(fast, GREY, index).astype(float)[..., 0] - 120 for index in range(2))
    assert first.std() == pytest.approx(25.5, rel=0.03)
    assert np.quantile(first, [0.0228, 0.1587, 0.8413, 0.9772]) == pytest.approx([-51, -25.5, 25.5, 51], abs=2)
    for other in (second, np.roll(first, 1, axis=0), np.roll(first, 1, axis=1), np.roll(first, 3, axis=1)):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.03


def test_channels_share_their_noise_where_they_should():
    shared = drawn(fast_transforms.FastGaussNoise(per_channel=False, p=1.0), GREY, 0)
    assert np.array_equal(shared[..., 0], shared[..., 2])
    own = drawn(fast_transforms.FastGaussNoise(p=1.0), GREY, 0)
    assert not np.array_equal(own[..., 0], own[..., 2])


def test_an_image_larger_than_the_bank_has_noise_everywhere(monkeypatch):
    monkeypatch.setattr(fast_transforms, "_noise_bank", lambda: np.random.default_rng(0).standard_normal(1000))
    monkeypatch.setattr(fast_transforms, "NOISE_VALUES", 1000)
    noise = fast_transforms._piece_of_noise((30, 30, 3), np.random.default_rng(1))
    assert noise.shape == (30, 30, 3)
    assert noise[-5:].std() == pytest.approx(1, abs=0.2)


def shifts_of(transform, shape, draws):
    """Return by how many pixels each pixel is shifted along x and y, float (draws, 2, *shape)."""
    found = []
    for index in range(draws):
        transform.set_random_state(np.random.default_rng(index), random.Random(index))
        maps = transform.get_params_dependent_on_data({"shape": (*shape, 3)}, {})
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        found.append([maps["map_x"] - columns, maps["map_y"] - rows])
    return np.array(found)


@pytest.mark.parametrize(("sigma", "shape"), [(8, (200, 200)), (8, (150, 203)), (5, (150, 202))])
def test_elastic_shifts_have_the_same_size_and_reach(sigma, shape):
    slow, fast = pair_of("ElasticTransform", alpha=60, sigma=sigma, p=1.0)
    expected, found = shifts_of(slow, shape, 16), shifts_of(fast, shape, 16)
    inner = (slice(None), slice(None), slice(3 * sigma, -3 * sigma), slice(3 * sigma, -3 * sigma))
    assert found[inner].std() == pytest.approx(expected[inner].std(), rel=0.08)
    assert abs(found[inner].mean()) < 0.03
    for distance in (sigma // 2, sigma, 2 * sigma):
        reaches = [np.corrcoef(f[..., distance:].ravel(), f[..., :-distance].ravel())[0, 1] for f in (found, expected)]
        assert reaches[0] == pytest.approx(reaches[1], abs=0.06)
    # shifts grow towards the borders, where albumentations repeats single pixels
    for column in (0, -1):
        assert found[..., column].std() == pytest.approx(expected[..., column].std(), rel=0.25)
    assert abs(np.corrcoef(found[inner][:, 0].ravel(), found[inner][:, 1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(
    "arguments", [{"sigma": 3}, {"approximate": True, "sigma": 8}, {"noise_distribution": "uniform", "sigma": 8}]
)
def test_other_elastic_transforms_are_left_to_albumentations(arguments):
    slow, fast = pair_of("ElasticTransform", alpha=200, p=1.0, **arguments)
    assert np.array_equal(drawn(fast, PICTURE, 3), drawn(slow, PICTURE, 3))


def test_one_shift_for_both_directions_where_asked_for():
    shifts = shifts_of(fast_transforms.FastElasticTransform(sigma=8, same_dxdy=True, p=1.0), (64, 80), 1)[0]
    assert np.allclose(shifts[0], shifts[1], atol=1e-4)


def slow_entries(entries):
    """Return the entries with albumentations' transforms in place of the kit's."""
    return {
        name: {**entry, "transform": str(entry.get("transform", name)).removeprefix("Fast")}
        for name, entry in entries.items()
    }


@pytest.mark.integration
@pytest.mark.parametrize("level", option_names("augmentation"))
def test_a_list_gives_images_like_those_of_albumentations(level):
    """Means, spreads and black shares of 300 views, of the whole list; the same crops in both."""
    size = 64
    entries = compose("config", [f"augmentation={level}", f"model.input_size={size}"]).augmentation.train
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (150, 180, 3), dtype=np.uint8), (0, 0), 4)
    image = cv2.normalize(image, np.empty_like(image), 20, 235, cv2.NORM_MINMAX)
    figures = []
    for chosen in (entries, slow_entries(entries)):
        transform = TrainTransform(chosen, size, seed=0)
        views = np.array([transform(image, 0, index) for index in range(300)], dtype=np.float32)
        figures.append(
            np.stack([views.mean((1, 2, 3)), views.std((1, 2, 3)), (views == 0).all(3).mean((1, 2))], axis=1)
        )
    spread = figures[1].std(0) / np.sqrt(300)
    assert np.all(np.abs(figures[0].mean(0) - figures[1].mean(0)) <= 4 * spread + 1e-3)
