"""Augmentation does what its YAML says: each entry at its probability, independently, and a function of the key."""

import collections
import functools
import pickle

import cv2
import numpy as np
import pytest

from common.errors import InputError
from configs.compose import compose
from configs.options import option_names
from configs.validate import CHOICES
from data.transforms import MAX_ASPECT, EvalTransform, FinishingTransform, TrainTransform, eval_image, reduction_of

SIZE = 64
FITS = CHOICES["model.fit"]
LEVELS = option_names("augmentation")


def noise_image(height=80, width=90):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth_image(height=SIZE, width=SIZE):
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) * 127 // height], axis=2).astype(
        np.uint8
    )


@functools.cache
def entries_of(level):
    return compose("config", [f"augmentation={level}", f"model.input_size={SIZE}"]).augmentation.train


ENTRIES = [(level, name) for level in LEVELS for name, entry in entries_of(level).items() if "transforms" not in entry]


@pytest.mark.parametrize(("level", "name"), ENTRIES, ids=[f"{level}-{name}" for level, name in ENTRIES])
def test_each_entry_changes_pixels_at_its_probability(level, name):
    entry = entries_of(level)[name]
    transform = TrainTransform({name: entry}, SIZE, seed=3)
    image = smooth_image()
    draws = 300
    changed = sum(not np.array_equal(transform(image, 0, index), image) for index in range(draws))
    # four standard deviations of a binomial, and a little for draws that happen to change nothing
    slack = 4 * np.sqrt(draws * entry["p"] * (1 - entry["p"])) + 0.03 * draws
    assert abs(changed - draws * entry["p"]) <= slack


@pytest.mark.parametrize("level", LEVELS)
def test_entries_fire_independently(level):
    entries = entries_of(level)
    transform = TrainTransform(entries, SIZE, seed=5)
    for member in transform.compose.transforms:
        member.deterministic = False
    transform.compose.save_applied_params = True
    fired = []
    image = smooth_image()
    for index in range(400):
        transform(image, 0, index)
        # a group, which always fires here, keeps no parameters
        fired.append([bool(getattr(member, "params", True)) for member in transform.compose.transforms])
    rates = np.array(fired, dtype=float)
    varying = rates[:, rates.std(axis=0) > 0]
    correlations = np.atleast_2d(np.corrcoef(varying.T))[np.triu_indices(varying.shape[1], k=1)]
    assert np.abs(correlations).max(initial=0) < 0.25


@pytest.mark.parametrize("level", LEVELS)
def test_a_view_depends_on_seed_epoch_and_index_alone(level):
    entries, image = entries_of(level), noise_image()
    transform, fresh = TrainTransform(entries, SIZE, seed=1), TrainTransform(entries, SIZE, seed=1)
    views = {key: transform(image, *key) for key in [(0, 0), (0, 1), (1, 0), (1, 1)]}
    for key in [(1, 1), (0, 0), (1, 0), (0, 1)]:
        assert np.array_equal(fresh(image, *key), views[key])
    assert not np.array_equal(views[0, 0], views[1, 0])
    assert not np.array_equal(views[0, 0], views[0, 1])
    assert not np.array_equal(TrainTransform(entries, SIZE, seed=2)(image, 0, 0), views[0, 0])


def test_a_pickled_transform_gives_the_same_views():
    transform = TrainTransform(entries_of("strong"), SIZE, seed=1)
    copy = pickle.loads(pickle.dumps(transform))
    assert np.array_equal(copy(noise_image(), 2, 3), transform(noise_image(), 2, 3))


@pytest.mark.parametrize("level", LEVELS)
def test_the_result_is_uint8_of_the_input_size(level):
    transform = TrainTransform(entries_of(level), SIZE, seed=0)
    for index in range(30):
        view = transform(noise_image(40, 200), 0, index)
        assert (view.shape, view.dtype) == ((SIZE, SIZE, 3), np.uint8)


def test_without_a_crop_the_result_still_has_the_input_size():
    assert TrainTransform({"HorizontalFlip": {"p": 1.0}}, SIZE, 0)(noise_image(), 0, 0).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"RandomFgo": {}},
            "augmentation.train.RandomFgo: albumentations 2.0.8 has no transform 'RandomFgo'. Did you mean",
        ),
        ({"Cutout": {"transform": "CoarseDropout", "max_holes": 8}}, "'max_holes' are not valid"),
        ({"GaussNoise": {"var_limit": [10, 50]}}, "'var_limit' are not valid"),
        (
            {"HorizontalFlip": {"p": 3}},
            "HorizontalFlip refuses its arguments: p: Input should be less than or equal to 1",
        ),
        ({"RandomCrop": {"p": 1}}, "height: Field required; width: Field required"),
        ({"Affine": {"cval": 0}}, "'cval' are not valid"),
        ({"Blur": 3}, "augmentation.train.Blur: expected a mapping"),
        ({"Compose": {}}, "has no transform 'Compose'"),
        ({"OneOff": {}}, "has no transform 'OneOff'. Did you mean 'OneOf'"),
        ({"OneOf": {"p": 1}}, "augmentation.train.OneOf.transforms: expected a mapping of transforms"),
        ({"OneOf": {"transforms": [{"Blur": {}}]}}, "augmentation.train.OneOf.transforms: expected a mapping"),
        (
            {"Any": {"transform": "SomeOf", "transforms": {"Blu": {}}}},
            "augmentation.train.Any.transforms.Blu: ",
        ),
        ({"OneOf": {"transforms": {"Blur": {"limit": 3}}}}, "augmentation.train.OneOf.transforms.Blur: Blur refuses"),
        ({"OneOf": {"transforms": {"Blur": 3}}}, "augmentation.train.OneOf.transforms.Blur: expected a mapping"),
        ({"OneOf": {"transforms": {"Blur": {}}, "p": 3}}, "OneOf refuses its arguments: p: Input should be less"),
        ({"OneOf": {"transforms": {"Blur": {}}, "n": 1}}, "OneOf refuses its arguments: n: Extra inputs"),
        ({"OneOf": {"transforms": {"Blur": {"p": 0}}}}, "OneOf refuses its arguments: all its transforms have p: 0"),
        ({"SomeOf": {"transforms": {"Blur": {}}, "n": 2}}, "n: 2 of 1 transforms, unless one may be drawn twice"),
        ({"SomeOf": {"transforms": {"Blur": {}}, "n": "two"}}, "SomeOf refuses its arguments: n: Input should be a"),
    ],
)
def test_a_wrong_entry_names_its_key(entries, message):
    with pytest.raises(InputError) as error:
        TrainTransform(entries, SIZE, 0)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def marks(image):
    """Return which of two flips were applied to an image whose corners differ."""
    corners = [tuple(image[row, column]) for row in (0, -1) for column in (0, -1)]
    return "".join(str(corners.index((value,) * 3)) for value in (10, 20, 30))


def test_a_group_draws_by_its_weights_or_with_equal_chances():
    image = np.full((SIZE, SIZE, 3), 40, np.uint8)
    image[0, 0], image[0, -1], image[-1, 0] = 10, 20, 30
    flips = {"HorizontalFlip": {"p": 0.5}, "VerticalFlip": {"p": 0.25}, "Nothing": {"transform": "NoOp", "p": 0.25}}
    one = TrainTransform({"OneOf": {"transforms": flips, "p": 0.8}}, SIZE, seed=0)
    found = collections.Counter(marks(one(image, 0, index)) for index in range(1000))
    unchanged, across, down = "012", "103", "230"
    assert set(found) == {unchanged, across, down}
    assert found[across] == pytest.approx(0.4 * 1000, abs=60)
    assert found[down] == pytest.approx(0.2 * 1000, abs=50)
    sure = {name: {**entry, "p": 1.0} for name, entry in flips.items()}
    two = TrainTransform({"SomeOf": {"transforms": sure, "n": 2, "replace": True}}, SIZE, seed=0)
    found = collections.Counter(marks(two(image, 0, index)) for index in range(1800))
    # of nine pairs: twice the same flip, or twice nothing, shows nothing
    assert found[unchanged] == pytest.approx(600, abs=80)
    assert found[across] == pytest.approx(400, abs=70)
    assert sum(found.values()) - found[unchanged] - found[across] - found[down] == pytest.approx(400, abs=70)


@pytest.mark.parametrize("level", ["trivial", "randaugment"])
def test_a_group_depends_on_the_key_alone_and_each_of_its_transforms_works(level):
    (group,) = (entry for entry in entries_of(level).values() if "transforms" in entry)
    image = (noise_image(SIZE, SIZE) * 0.9 + 12).astype(np.uint8)
    first, fresh = (TrainTransform({"Group": group}, SIZE, seed=4) for _ in range(2))
    keys = [(epoch, index) for epoch in range(3) for index in range(20)]
    views = {key: first(image, *key) for key in keys}
    assert all(np.array_equal(fresh(image, *key), views[key]) for key in reversed(keys))
    assert len({view.tobytes() for view in views.values()}) > 40
    assert len(group["transforms"]) == 14
    for name, entry in group["transforms"].items():
        alone = TrainTransform({name: entry}, SIZE, seed=4)
        changed = sum(not np.array_equal(alone(image, 0, index), image) for index in range(40))
        assert (changed == 0) if name == "Identity" else (changed >= 34), name


def test_eval_image_keeps_the_shape_of_things():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 100:] = 255
    view = eval_image(image, 50)
    assert view.shape == (50, 50, 3)
    # the centre crop of a picture that is black on the left and white on the right
    assert view[:, :24].max() == 0
    assert view[:, 26:].min() == 255


def test_eval_image_leaves_an_image_of_the_size_as_it_is():
    image = noise_image(SIZE, SIZE)
    assert np.array_equal(eval_image(image, SIZE), image)


def test_crop_pct_cuts_the_border_away():
    image = np.full((100, 100, 3), 255, np.uint8)
    image[10:90, 10:90] = 7
    assert (eval_image(image, 80, crop_pct=0.8) == 7).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (37, 41), (601, 599), (20000, 1), (1, 20000)])
def test_any_shape_becomes_a_square(shape, fit):
    assert eval_image(np.zeros((*shape, 3), np.uint8), 60, fit=fit).shape == (60, 60, 3)


@pytest.mark.parametrize("fit", FITS)
def test_an_image_of_the_size_stays_as_it_is_however_it_fits(fit):
    image = noise_image(SIZE, SIZE)
    assert np.array_equal(eval_image(image, SIZE, fit=fit), image)


def wide_image():
    """An image uint8 (90, 160, 3) whose left and right fifths are all red and blue, and grey between."""
    image = np.full((90, 160, 3), 128, np.uint8)
    image[:, :32], image[:, 128:] = (255, 0, 0), (0, 0, 255)
    return image


def test_stretched_an_image_is_whole_and_fills_the_square():
    view = eval_image(wide_image(), 50, fit="stretch")
    assert (view[:, :9] == (255, 0, 0)).all()
    assert (view[:, 11:39] == 128).all()
    assert (view[:, 41:] == (0, 0, 255)).all()


def test_padded_an_image_is_whole_and_mirrored_above_and_below():
    image = wide_image()
    image[:9], image[81:] = (0, 255, 0), 0
    view = eval_image(image, 160, fit="pad")
    assert np.array_equal(view[35:125], image)
    assert np.array_equal(view[:35], image[:35][::-1])
    assert np.array_equal(view[125:], image[-35:][::-1])
    turned = eval_image(image.transpose(1, 0, 2), 160, fit="pad")
    assert np.array_equal(turned, view.transpose(1, 0, 2))


def test_a_side_is_made_smaller_without_aliasing_while_the_other_grows():
    """Fine stripes across the long side become grey, although the short side is enlarged."""
    stripes = np.zeros((20, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    view = eval_image(stripes, 40, fit="stretch").astype(int)
    assert np.abs(view - 127.5).max() <= 2


def test_what_a_list_leaves_in_another_shape_fits_as_in_evaluation():
    image = wide_image()
    for fit in FITS:
        view = TrainTransform({}, 50, 0, fit=fit)(image, 0, 0)
        assert np.array_equal(view, eval_image(image, 50, fit=fit))
    crop = TrainTransform({**CROP}, 50, 0, fit="stretch")(image, 0, 0)
    assert np.array_equal(crop, TrainTransform({**CROP}, 50, 0)(image, 0, 0))


def test_several_fits_stand_one_below_the_other():
    image = wide_image()
    expected = np.concatenate([eval_image(image, 50, fit="stretch"), eval_image(image, 50, 0.9, "crop")])
    assert np.array_equal(EvalTransform(50, 0.9, ("stretch", "crop"))(image), expected)


def uncut(image, input_size, crop_pct=1.0):
    """Resize the whole image and cut then: what `eval_image` does where no side is extremely long."""
    height, width = image.shape[:2]
    scale = round(input_size / crop_pct) / min(height, width)
    new_width, new_height = max(round(width * scale), input_size), max(round(height * scale), input_size)
    if (new_width, new_height) != (width, height):
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, (new_width, new_height), interpolation=interpolation)
    top, left = (new_height - input_size) // 2, (new_width - input_size) // 2
    return image[top : top + input_size, left : left + input_size]


ORDINARY = [(90, 90), (90, 120), (120, 90), (90, 160), (161, 91), (50, 150), (151, 50), (40, 160), (1, 4), (67, 100)]


@pytest.mark.parametrize("shape", ORDINARY)
@pytest.mark.parametrize(("size", "crop_pct"), [(60, 1.0), (224, 0.95), (33, 0.875)])
def test_ordinary_shapes_are_resized_whole(shape, size, crop_pct):
    image = noise_image(*shape)
    assert np.array_equal(eval_image(image, size, crop_pct), uncut(image, size, crop_pct))


@pytest.mark.parametrize("shape", [(60, 300), (301, 50), (64, 257)])
def test_a_long_image_shows_what_it_would_show_whole(shape):
    image = cv2.GaussianBlur(noise_image(*shape), (0, 0), 6)
    difference = np.abs(eval_image(image, 48).astype(int) - uncut(image, 48))
    assert difference.mean() < 1
    assert difference.max() <= 4


EXTREME = [(1, 20000), (20000, 1), (3, 5000), (5000, 3), (1, 1), (2, 3)]


@pytest.mark.parametrize("shape", EXTREME)
def test_an_extreme_shape_asks_for_no_more_than_a_few_squares(monkeypatch, shape):
    resize, areas = cv2.resize, []

    def counting(image, size, **options):
        areas.append(size[0] * size[1])
        return resize(image, size, **options)

    monkeypatch.setattr(cv2, "resize", counting)
    assert eval_image(noise_image(*shape), 600).shape == (600, 600, 3)
    assert max(areas) <= (MAX_ASPECT + 1) * 600 * 600


@pytest.mark.parametrize("level", LEVELS)
def test_extreme_shapes_are_augmented(level):
    transform = TrainTransform(entries_of(level), SIZE, seed=0)
    for shape in EXTREME:
        for index in range(3):
            assert transform(noise_image(*shape), 0, index).shape == (SIZE, SIZE, 3)


def test_a_transform_that_enlarges_is_given_no_extreme_shape():
    entries = {"SmallestMaxSize": {"max_size": 600, "p": 1.0}}
    assert TrainTransform(entries, SIZE, seed=0)(noise_image(1, 20000), 0, 0).shape == (SIZE, SIZE, 3)


CROP = {"RandomResizedCrop": {"scale": [0.25, 1.0], "ratio": [0.75, 1.3333333], "p": 1.0}}


def box_of(transform, height, width, index):
    """Return the crop (left, top, right, bottom) of the view 0, `index` of an image, in shares of its sides."""
    (member,) = transform.compose.transforms
    transform(np.zeros((height, width, 3), np.uint8), 0, index)
    return np.array(member.params["crop_coords"]) / [width, height, width, height]


def test_an_image_is_reduced_as_far_as_its_own_crop_allows():
    transform = TrainTransform(CROP, SIZE, seed=1)
    height, width, found, same = 500, 600, set(), []
    for index in range(200):
        factor = transform.reduction(width, height, 0, index)
        left, top, right, bottom = box_of(transform, height, width, index)
        side = min((right - left) * width, (bottom - top) * height)
        assert side / factor >= SIZE
        assert factor == 8 or side / (2 * factor) < SIZE
        smaller = box_of(transform, height // factor, width // factor, index)
        same.append(np.abs(smaller - [left, top, right, bottom]).max() <= 1.5 * factor / height)
        found.add(factor)
    assert found == {2, 4}
    # rounding rarely decides that a crop which did not fit does, or the other way round; then another one is drawn
    assert np.mean(same) >= 0.98


def test_views_of_a_reduced_image_are_those_of_the_whole_one():
    """Of 2,000 draws: the same crops, so that means agree; and none is blurred by more than decoding does."""
    whole = cv2.GaussianBlur(noise_image(400, 480), (0, 0), 3)
    transform = TrainTransform(CROP, 48, seed=1)
    halves = {factor: cv2.resize(whole, None, fx=1 / factor, fy=1 / factor, interpolation=3) for factor in (1, 2, 4, 8)}
    differences = []
    for index in range(2000):
        factor = transform.reduction(480, 400, 0, index)
        view, expected = transform(halves[factor], 0, index), transform(whole, 0, index)
        differences.append(np.abs(view.mean((0, 1)) - expected.mean((0, 1))).max())
    assert np.mean(differences) < 0.5
    assert max(differences) < 4


@pytest.mark.parametrize(
    ("entries", "size"),
    [
        ({"HorizontalFlip": {"p": 1.0}, **CROP}, (4000, 3000)),
        ({"RandomResizedCrop": {**CROP["RandomResizedCrop"], "p": 0.5}}, (4000, 3000)),
        ({}, (4000, 3000)),
        (CROP, (127, 4000)),
        (CROP, (SIZE, SIZE)),
        (CROP, (2 * SIZE - 1, 200)),
        (CROP, (400, 4000)),
    ],
)
def test_every_pixel_counts_where_no_crop_comes_first_or_the_image_is_small_or_long(entries, size):
    transform, (width, height) = TrainTransform(entries, SIZE, seed=1), size
    assert {transform.reduction(width, height, 0, index) for index in range(20)} == {1}


def test_a_large_photograph_is_reduced_by_eight_at_most():
    transform = TrainTransform(CROP, SIZE, seed=1)
    assert {transform.reduction(6000, 4000, 0, index) for index in range(20)} == {8}


def test_each_epoch_reduces_for_its_own_size():
    first, final = TrainTransform(CROP, SIZE, seed=1), TrainTransform(CROP, 4 * SIZE, seed=1)
    finishing = FinishingTransform(first, final, final_from=3)
    for epoch, own in ((2, first), (3, final)):
        reduction = reduction_of(finishing, epoch, 5)
        assert reduction is not None
        assert reduction(1000, 1000) == own.reduction(1000, 1000, epoch, 5)
    assert reduction_of(EvalTransform(SIZE, 1.0), 0, 0) is None
