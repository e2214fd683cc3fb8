"""Views: what each does to an image, and that their average is the average."""

import math
from unittest import mock

import pytest
import torch

from common.errors import InputError
from prediction.options import PLAIN
from prediction.view_names import NAMES, SETS, parse_views
from prediction.views import CROP, VIEWS, ViewAverage, warp


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


@pytest.fixture
def smooth():
    """Square images (2, 3, 48, 48) without detail that a second resampling would lose."""
    noise = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return (255 * torch.nn.functional.interpolate(noise, size=48, mode="bicubic").clamp(0, 1)).to(torch.uint8)


def middle(images):
    return images[..., 8:-8, 8:-8].float()


def test_flips_are_their_own_inverses(images):
    for name in ("hflip", "vflip", "hvflip"):
        assert torch.equal(VIEWS[name](VIEWS[name](images)), images)
        assert not torch.equal(VIEWS[name](images), images)
    assert torch.equal(VIEWS["hvflip"](images), VIEWS["hflip"](VIEWS["vflip"](images)))


def test_a_rotation_is_undone_by_the_other_and_mirrored_by_a_flip(smooth):
    turned = VIEWS["rotate+5"](smooth)
    assert (middle(turned) - middle(smooth)).abs().max() > 20
    assert (middle(VIEWS["rotate-5"](turned)) - middle(smooth)).abs().mean() <= 1.5
    mirrored = VIEWS["hflip"](VIEWS["rotate-5"](VIEWS["hflip"](smooth)))
    assert (mirrored.int() - turned.int()).abs().max() <= 1


def test_a_rotation_turns_counter_clockwise():
    image = torch.zeros(1, 3, 101, 101, dtype=torch.uint8)
    image[..., 45:56, 80:91] = 255
    rows, columns = torch.nonzero(VIEWS["rotate+5"](image)[0, 0] > 127, as_tuple=True)
    # the spot lies 35 pixels to the right of the middle
    assert rows.float().mean() == pytest.approx(50 - 35 * math.sin(math.radians(5)), abs=0.6)
    assert columns.float().mean() == pytest.approx(50 + 35 * math.cos(math.radians(5)), abs=0.6)


def test_brightness_is_a_factor(images):
    assert torch.equal(VIEWS["brightness+10"](images), (images * 1.1).round().clamp(max=255).to(torch.uint8))
    assert VIEWS["brightness-10"](images).max() <= 230


def test_crops_are_enlarged_parts():
    ramp = torch.arange(64, dtype=torch.uint8).repeat(1, 3, 64, 1) * 2
    bounds = {name: VIEWS[name](ramp)[0, 0, 5, [0, -1]].tolist() for name in (*SETS["crops5"], "scale1.1")}
    assert bounds["crop_top_left"] == bounds["crop_bottom_left"] == pytest.approx([0, 126 * CROP], abs=2)
    assert bounds["crop_top_right"] == bounds["crop_bottom_right"] == pytest.approx([126 * (1 - CROP), 126], abs=2)
    assert bounds["crop_centre"] == pytest.approx([126 * (1 - CROP) / 2, 126 * (1 + CROP) / 2], abs=2)
    assert bounds["scale1.1"] == pytest.approx([63 - 63 / 1.1, 63 + 63 / 1.1], abs=2)
    across = ramp.transpose(-1, -2).contiguous()
    assert VIEWS["crop_top_right"](across)[0, 0, 0, 5] <= 2
    assert VIEWS["crop_bottom_left"](across)[0, 0, -1, 5] >= 124


def test_views_keep_shape_and_kind(images):
    for name, view in VIEWS.items():
        assert (view(images).shape, view(images).dtype) == (images.shape, torch.uint8), name


def test_probabilities_are_averaged(images):
    found = ViewAverage(Corner(), ("identity", "hflip"), "probabilities")(images).softmax(dim=1)
    model = Corner()
    expected = (model(images).softmax(dim=1) + model(images.flip(-1)).softmax(dim=1)) / 2
    torch.testing.assert_close(found, expected)


def test_each_view_is_made_of_its_own_square():
    squares = {fit: torch.full((2, 3, 4, 4), 50 * place) for place, fit in enumerate(("crop", "stretch", "pad"), 1)}
    seen = []

    def model(images):
        seen.append(images[:, 0, 0, 0].tolist())
        return torch.zeros(len(images), 2)

    classifier = torch.nn.Module()
    classifier.forward = model
    average = ViewAverage(classifier, ("stretch", "identity", "hflip", "pad"), "logits")
    assert average.squares == ("stretch", "crop", "pad")
    assert average(torch.cat([squares[fit] for fit in average.squares], dim=-2)).shape == (2, 2)
    assert seen == [[100, 100, 50, 50, 50, 50, 150, 150]]
    # a model that sees the whole picture anyway needs it once
    assert ViewAverage(classifier, ("identity", "stretch"), "logits", "stretch").squares == ("stretch",)


def test_logits_are_averaged_if_asked(images):
    found = ViewAverage(Corner(), ("identity", "hflip"), "logits")(images)
    torch.testing.assert_close(found, (Corner()(images) + Corner()(images.flip(-1))) / 2)
    assert not torch.allclose(
        found.softmax(dim=1), ViewAverage(Corner(), ("identity", "hflip"), "probabilities")(images).softmax(dim=1)
    )


def test_views_are_parsed():
    assert parse_views(None) == PLAIN
    assert parse_views("identity,hflip") == ("identity", "hflip")
    assert parse_views("flips") == ("identity", "hflip", "vflip", "hvflip")
    assert parse_views("identity, crops5") == ("identity", *SETS["crops5"])
    assert len(parse_views("full")) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hflp", "no view 'hflp'. Did you mean 'hflip'"),
        ("hflip,hflip", "twice"),
        ("hflip,full", "twice"),
        ("", "no view ''"),
    ],
)
def test_bad_views_are_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_views(text)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_moves_no_pixel_of_a_view(smooth, dtype):
    expected = {name: view(smooth) for name, view in VIEWS.items()}
    with torch.autocast("cpu", dtype=dtype):
        found = {name: view(smooth) for name, view in VIEWS.items()}
    for name, images in expected.items():
        assert torch.equal(found[name], images), name


def test_places_come_from_no_matrix_product(smooth):
    """TF32, which only a GPU has, would round its factors."""
    used = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            used.append(getattr(function, "__name__", ""))
            return function(*args, **(kwargs or {}))

    with Watch():
        VIEWS["rotate+5"](smooth)
    assert "grid_sample" in used
    assert not {"affine_grid", "bmm", "matmul", "einsum", "mm"} & set(used)


def test_places_are_those_of_torchs_own_grid():
    image = torch.zeros(1, 3, 30, 50, dtype=torch.uint8)
    grids = []
    with mock.patch(
        "torch.nn.functional.grid_sample", side_effect=lambda images, grid, **_: grids.append(grid) or images
    ):
        warp(image, degrees=7, zoom=1.2, x=-1, y=0.5)
    cosine, sine = math.cos(math.radians(7)) / 1.2, math.sin(math.radians(7)) / 1.2
    rest = 1 - 1 / 1.2
    theta = torch.tensor([[[cosine, -sine * 30 / 50, -rest], [sine * 50 / 30, cosine, 0.5 * rest]]])
    expected = torch.nn.functional.affine_grid(theta, [1, 3, 30, 50], align_corners=False)
    torch.testing.assert_close(grids[0], expected, rtol=0, atol=1e-6)


def test_every_column_of_a_large_image_has_its_own_place_under_mixed_precision():
    noise = torch.randint(0, 256, (1, 3, 600, 600), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = ViewAverage(Columns(), ("scale1.1",), "probabilities")
    expected = model(noise)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(noise)
    assert torch.equal(found, expected)
    # an enlarged column differs from its neighbour, unless both come from the same place
    assert (found.diff(dim=1) != 0).all()


class Columns(torch.nn.Module):
    """Logits that are the mean of each column."""

    def forward(self, images):
        return images.float().mean(dim=(1, 2))


def test_a_probability_too_small_for_float32_is_no_fault(images):
    found = ViewAverage(Sure(200.0), ("identity", "hflip"), "probabilities")(images)
    assert found.isfinite().all()
    assert found.softmax(dim=1)[:, 0].tolist() == [1, 1, 1]


@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_view_that_is_not_finite_is_not_averaged_away(images, average, value):
    found = ViewAverage(Sure(value), ("identity", "brightness-10"), average)(images.clamp(min=1))
    assert found.isnan().all()


class Sure(torch.nn.Module):
    """Logits of which one is a given value in the image itself, and 0 in its other views."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, images):
        first = torch.arange(len(images)) < 3
        zeros = torch.zeros(len(images))
        return torch.stack([torch.where(first | (self.value == 200), self.value, zeros), zeros], dim=1)


def test_each_name_has_its_view():
    assert tuple(VIEWS) == NAMES
