"""The judges' copy is what the kit does: the same pixels from any file, and old Python can read it."""

# a None where a value should be fails the test like any other fault
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false

import ast
import contextlib
import dataclasses
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from competition.zip_layout import TEMPLATE_DIR, TEMPLATE_FILES
from configs.compose import compose
from configs.validate import CHOICES
from data.flower_drawing import draw_jpegs
from data.images import UnreadableImage, read_image
from data.listing import list_images
from data.transforms import EvalTransform, eval_image
from models.classifier import build_classifier
from models.losses import get_loss_function
from prediction.logits import calibrated, softmax
from prediction.predictions_csv import COLUMNS
from prediction.views import VIEWS, WHOLE, squares_of
from tests.conftest import stripes
from tests.helpers import REPOSITORY, training_config
from tests.odd_images import ODD, SEE_THROUGH, encoded
from training.freezing import set_trainable
from training.linear_probe import fit_classifier
from training.optimizer import parameter_groups
from training.schedule import backbone_factor_at, build_schedule, learning_rate_at


@pytest.mark.parametrize("name", TEMPLATE_FILES)
def test_python_3_8_can_parse_it(name):
    source = (TEMPLATE_DIR / name).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    # built-in generics parse but fail when 3.8 evaluates them
    annotations = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    names = {node.value.id for node in annotations if isinstance(node.value, ast.Name)}
    assert not names & {"list", "dict", "tuple", "set", "type"}
    zips = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "zip"]
    assert not [keyword.arg for call in zips for keyword in call.keywords]


def test_it_imports_nothing_of_the_kit():
    allowed = {"torch", "timm", "cv2", "numpy", "PIL", "model", "utils"} | set(sys.stdlib_module_names)
    for name in TEMPLATE_FILES:
        for node in ast.walk(ast.parse((TEMPLATE_DIR / name).read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {module.partition(".")[0] for module in modules} <= allowed


def zoo():
    colour = Image.fromarray(stripes(1, 0))
    turned = Image.Exif()
    turned[0x0112] = 6
    sixteen = np.arange(48 * 40, dtype=np.uint16).reshape(40, 48) * 30
    jpeg = encoded(colour, "JPEG", quality=90)
    files = {
        "rgb.jpg": jpeg,
        "turned.jpg": encoded(colour, "JPEG", exif=turned),
        "cmyk.jpg": encoded(colour.convert("CMYK"), "JPEG"),
        "grey.png": encoded(colour.convert("L"), "PNG"),
        "rgba.png": encoded(colour.convert("RGBA"), "PNG"),
        "la.png": encoded(colour.convert("LA"), "PNG"),
        "palette.gif": encoded(colour, "GIF"),
        "sixteen.png": cv2.imencode(".png", sixteen)[1].tobytes(),
        "lossy.webp": encoded(colour, "WEBP"),
        "plain.bmp": encoded(colour, "BMP"),
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "truncated.png": encoded(colour, "PNG")[:900],
        "empty.jpg": b"",
        "text.jpg": b"hello",
    }
    generator = np.random.default_rng(0)
    for source in ("rgb.jpg", "rgba.png", "palette.gif", "lossy.webp"):
        for number in range(25):
            data = bytearray(files[source])
            for position in generator.integers(0, len(data), 4):
                data[position] = generator.integers(0, 256)
            files[f"mutated_{number}_{source}"] = bytes(data)
    return files


def test_every_file_gives_the_pixels_that_the_kit_sees(utils, tmp_path):
    read = unreadable = 0
    for name, data in zoo().items():
        path = tmp_path / name
        path.write_bytes(data)
        try:
            expected = read_image(path).pixels
        except UnreadableImage:
            unreadable += 1
            with pytest.raises(ValueError):
                utils.read_image(path)
            continue
        read += 1
        assert np.array_equal(utils.read_image(path), expected), name
        for size, crop in ((32, 1.0), (64, 0.9)):
            assert np.array_equal(utils.eval_image(expected, size, crop), eval_image(expected, size, crop)), name
    assert read > 60
    assert unreadable > 2


@pytest.mark.parametrize("name", ODD)
def test_odd_files_give_the_pixels_that_the_kit_sees(utils, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(ODD[name]())
    try:
        expected = read_image(path).pixels
    except UnreadableImage:
        with pytest.raises(ValueError):
            utils.read_image(path)
        return
    assert np.array_equal(utils.read_image(path), expected)
    assert np.array_equal(utils.eval_image(expected, 32, 0.9), eval_image(expected, 32, 0.9))


# versions of OpenCV differ in the others
WITHOUT_PILLOW = [name for name in SEE_THROUGH if not name.endswith(".tiff") and name != "animated.webp"]


@pytest.mark.parametrize("name", [*WITHOUT_PILLOW, "turned.jpg", "turned.png", "rgb12.png", "grey16.png"])
def test_without_pillow_transparency_and_depth_are_the_same(utils, tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(ODD[name]())
    expected = read_image(path).pixels
    monkeypatch.setattr(utils, "Image", None)
    assert np.array_equal(utils.read_image(path), expected)


@pytest.mark.parametrize("shape", [(1, 20000), (20000, 1), (3, 5000), (64, 259), (50, 150), (1, 1)])
def test_shapes_are_cut_as_the_kit_cuts_them(utils, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for size, crop in ((32, 1.0), (600, 0.95)):
        for fit in CHOICES["model.fit"]:
            assert np.array_equal(utils.eval_image(image, size, crop, fit), eval_image(image, size, crop, fit)), fit


def test_the_squares_of_the_views_are_the_kits(utils):
    image = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    for views in (["identity", "hflip"], ["stretch", "identity", "pad"], ["pad"]):
        for fit in CHOICES["model.fit"]:
            entry = {"input_size": 16, "crop_pct": 0.9, "fit": fit}
            expected = EvalTransform(16, 0.9, squares_of(views, fit))(image)
            assert np.array_equal(utils.squares(image, entry, views), expected), (views, fit)
    assert utils.WHOLE == WHOLE


def test_one_odd_image_costs_its_own_row(template_predict, test_folder, monkeypatch, capsys):
    """Whatever fails after decoding is the fault of that image alone."""
    real, names = template_predict.squares, template_predict.list_images(test_folder)

    def fails_once(image, entry, views):
        failures.append(image)
        if len(failures) == 1:
            raise cv2.error("Insufficient\n memory")
        return real(image, entry, views)

    failures = []
    monkeypatch.setitem(template_predict.in_batches.__globals__, "READERS", 1)
    monkeypatch.setattr(template_predict, "squares", fails_once)
    entries = [{"input_size": 32, "crop_pct": 1.0, "fit": "crop"}, {"input_size": 16, "crop_pct": 0.9, "fit": "pad"}]
    batches = list(template_predict.read_in_batches(test_folder, names, 4, entries, ["identity", "stretch"]))
    assert [len(batch) for batch in batches] == [4, 4, 1]
    found = dict(zip(names, [squares for batch in batches for squares in batch], strict=True))
    assert [name for name, squares in found.items() if squares is None] == ["broken.jpg", "img_0.png"]
    assert [square.shape for square in found["img_1.JPG"]] == [(64, 32, 3), (32, 16, 3)]
    warnings = capsys.readouterr().err
    assert "warning: img_0.png: error Insufficient memory; confidence 0" in warnings
    assert "warning: broken.jpg: not an image" in warnings


def test_training_that_can_read_no_image_stops_with_a_sentence(template_train, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"")
    rows = [(tmp_path / "a.png", 0), (tmp_path / "gone.png", 1)]
    with pytest.raises(SystemExit, match="none of the 2 training images could be read"):
        list(template_train.batches(rows, 32, 2, np.random.RandomState(0), False))
    assert "a.png: the file is empty; left out" in capsys.readouterr().err


def test_the_views_are_the_kits(utils):
    assert list(utils.VIEWS) == list(VIEWS)
    images = torch.randint(0, 256, (2, 3, 33, 33), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for name, view in VIEWS.items():
        assert torch.equal(utils.VIEWS[name](images), view(images)), name


def test_the_columns_are_the_kits():
    text = (TEMPLATE_DIR / "predict.py").read_text(encoding="utf-8")
    constants = {
        ast.unparse(node.targets[0]): ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
    }
    for content, name in (("image", "IMAGE_COLUMNS"), ("category", "CATEGORY_COLUMNS")):
        assert set(constants[name]) == {column for column, holds in COLUMNS.items() if holds == content}


def test_the_same_files_are_listed(utils, test_folder):
    assert utils.list_images(test_folder) == list(list_images(test_folder))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep file names as Unicode, and links need rights")
@pytest.mark.parametrize("refusals", [2, 9])
def test_a_csv_that_a_scanner_holds_for_a_moment_is_renamed(utils, tmp_path, monkeypatch, refusals):
    replace, tries = utils.os.replace, []

    def held_at_first(source, target):
        tries.append(source)
        if len(tries) <= refusals:
            raise PermissionError(13, "being used by another process")
        replace(source, target)

    monkeypatch.setattr(utils.os, "replace", held_at_first)
    monkeypatch.setattr(utils, "RENAMING_TRIES", 3)
    if refusals > 3:
        with pytest.raises(PermissionError):
            utils.write_csv(tmp_path / "out.csv", ["a"], [("1",)])
    else:
        utils.write_csv(tmp_path / "out.csv", ["a"], [("1",)])
        assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "a\n1\n"
    assert len(tries) == 3


def test_odd_folders_are_listed_alike(utils, tmp_path):
    for name in ("b.jpg", "sub/a.JPG", "@eaDir/a.jpg", ".x.jpg", "caf\udce9.jpg", "line\nfeed.png", "notes.txt"):
        (tmp_path / "test" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "test" / name).write_bytes(b"")
    (tmp_path / "test" / "sub" / "circle").symlink_to(tmp_path / "test")
    (tmp_path / "test" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "z.jpg").write_bytes(b"")
    expected = ["b.jpg", "caf%E9.jpg", "line%0Afeed.png", "linked/z.jpg", "sub/a.JPG"]
    assert list(list_images(tmp_path / "test")) == expected
    assert [utils.printable(name) for name in utils.list_images(tmp_path / "test")] == expected


def is_readable(path):
    with contextlib.suppress(UnreadableImage):
        return read_image(path) is not None
    return False


def test_photographs_give_the_pixels_that_the_kit_sees(utils, tmp_path):
    photographs = draw_jpegs(tmp_path, 600, 51)
    assert len(photographs) > 50
    # and real ones, where a data set is prepared in its usual place
    for folder in (REPOSITORY / "data").glob("*/train"):
        found = list(list_images(folder).values())
        photographs += [path for path in found[:: max(len(found) // 50, 1)] if is_readable(path)]
    for path in photographs:
        pixels = read_image(path).pixels
        assert np.array_equal(utils.read_image(path), pixels)
        assert np.array_equal(utils.eval_image(pixels, 160, 0.95), eval_image(pixels, 160, 0.95))


COUNTS = [30, 10, 2, 0]


@pytest.mark.parametrize(
    "options",
    [{}, {"focal_alpha": [0.1, 0.2, 0.3, 0.4], "focal_gamma": 0.5, "logit_adjustment": 1.5, "class_balance_beta": 0.9}],
    ids=["defaults", "other values"],
)
@pytest.mark.parametrize("targets", ["labels", "mixed"])
@pytest.mark.parametrize("name", CHOICES["training.loss_function"])
def test_the_templates_loss_is_the_kits(template_train, name, targets, options):
    config = training_config(loss_function=name, label_smoothing=0.1, **options)
    generator = torch.Generator().manual_seed(0)
    logits, labels = 3 * torch.randn(6, 4, generator=generator), torch.tensor([0, 1, 2, 3, 0, 1])
    wanted = torch.nn.functional.one_hot(labels, 4).float()
    if targets == "mixed":
        wanted = 0.7 * wanted + 0.3 * wanted.flip(0)
    expected = get_loss_function(config, COUNTS)(logits, labels if targets == "labels" else wanted)
    loss_of = template_train.build_loss(dataclasses.asdict(config), np.array(COUNTS), torch.device("cpu"))
    torch.testing.assert_close(loss_of(logits, wanted), expected)


def test_the_recipe_of_few_shot_trains_by_the_kits_loss(template_train):
    config = compose("config", ["training=few_shot"]).training
    logits, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 0, 1])
    expected = get_loss_function(config, COUNTS)(logits, labels)
    loss_of = template_train.build_loss(dataclasses.asdict(config), np.array(COUNTS), torch.device("cpu"))
    plain = template_train.build_loss(
        dataclasses.asdict(config) | {"loss_function": "label_smoothing"}, np.array(COUNTS), torch.device("cpu")
    )
    wanted = torch.nn.functional.one_hot(labels, 4).float()
    torch.testing.assert_close(loss_of(logits, wanted), expected)
    assert abs(loss_of(logits, wanted) - plain(logits, wanted)) > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_function": "hinge"}, "loss_function=hinge of config.json is none of cross_entropy, "),
        ({"loss_function": "focal", "focal_alpha": [0.5, 0.5]}, "focal_alpha of config.json: 2 weights, 4 classes"),
    ],
)
def test_a_loss_that_cannot_be_ends_the_training_with_a_sentence(template_train, options, message):
    recipe = dataclasses.asdict(training_config()) | options
    with pytest.raises(SystemExit, match=message):
        template_train.build_loss(recipe, np.array(COUNTS), torch.device("cpu"))


ARCHITECTURES = ("test_resnet", "test_convnext", "tf_efficientnet_lite0")


def learning(model):
    return [parameter.requires_grad for parameter in model.parameters()], [part.training for part in model.modules()]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("head_only", [False, True])
def test_the_template_trains_the_layers_that_the_kit_trains(template_train, architecture, head_only):
    config = compose("config", ["training=finetune", "training.freeze_layers=0.4", "training.freeze_epochs=1"])
    model = build_classifier(architecture, 5, 160)
    recipe = dataclasses.asdict(config.training) | {"pretrained": True, "learning_rate": 1e-3}
    template_train.set_trainable(model, recipe, head_only)
    theirs = learning(model)
    set_trainable(model, config, head_only)
    assert theirs == learning(model)
    assert any(theirs[0])
    assert not all(theirs[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("backbone_warmup", [0.0, 2.0])
def test_each_parameter_has_the_kits_rate_and_decay(template_train, architecture, backbone_warmup):
    config = training_config(layer_decay=0.8, head_lr_multiplier=3.0, backbone_warmup_epochs=backbone_warmup)
    model = build_classifier(architecture, 5, 160)
    expected = {
        id(parameter): (pytest.approx(group["lr_scale"]), group["weight_decay"], group["in_backbone"])
        for group in parameter_groups(model, config)
        for parameter in group["params"]
    }
    optimizer = template_train.build_optimizer(model, dataclasses.asdict(config))
    found = {
        id(parameter): (group["scale"], group["weight_decay"], group["in_backbone"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert found == expected


@pytest.mark.parametrize(
    ("epochs", "warmup", "of_backbone"),
    [(4, 1, 0), (2, 3, 0), (3, 0, 0), (4, 1, 2), (3, 0, 9), (2.4, 1.2, 0), (0.1, 1, 0)],
)
def test_every_step_has_the_kits_learning_rate(template_train, epochs, warmup, of_backbone):
    config = training_config(
        epochs=epochs, warmup_epochs=warmup, backbone_warmup_epochs=of_backbone, learning_rate=1e-3, min_lr=1e-5
    )
    schedule, recipe = build_schedule(config, 7), dataclasses.asdict(config)
    assert template_train.total_steps(7, recipe) == schedule.total_steps
    for step in range(schedule.total_steps):
        assert template_train.learning_rate(step, 7, recipe) == pytest.approx(learning_rate_at(step, schedule))
        assert template_train.backbone_factor(step, 7, recipe) == pytest.approx(backbone_factor_at(step, schedule))


def test_the_templates_probe_is_the_kits(template_train):
    generator = np.random.default_rng(0)
    labels = np.array([0] * 20 + [1] * 10 + [2] * 4)
    features = (generator.normal(size=(34, 6)) * [1, 5, 0.1, 1, 1, 1] + labels[:, None]).astype(np.float32)
    expected = fit_classifier(features, labels, 3)
    weight, bias = template_train.fit_classifier(torch.from_numpy(features), torch.from_numpy(labels), 3)
    logits = features @ weight.numpy().T + bias.numpy()
    differences = logits - expected.logits(features)
    # one constant for all classes of an image changes nothing
    assert np.abs(differences - differences.mean(axis=1, keepdims=True)).max() < 0.02


def test_it_divides_by_the_temperature_as_the_kit_and_by_nothing_with_an_older_config(template_predict):
    logits = np.random.default_rng(0).normal(0, 4, (50, 6))
    raw = torch.from_numpy(softmax(logits))
    np.testing.assert_allclose(template_predict.calibrated(raw, 1.7).numpy(), calibrated(logits, 1.7), atol=1e-12)
    entry = {"weight": 1.0, "class_order": None, "fit": "crop"}
    config = {"classes": [{}] * 6, "views": ["identity"], "average": "probabilities", "batch_size": 50}
    images = [[np.zeros((1, 1, 3), np.uint8)]] * 50

    def model(batch):
        return torch.from_numpy(logits).float()

    def answers(**more):
        return template_predict.answer_at_once([({**entry, **more}, model)], images, config, torch.device("cpu"), None)

    for found, temperature in ((answers(), 1.0), (answers(temperature=1.7), 1.7)):
        expected = calibrated(logits, temperature)
        assert [label for label, _ in found] == expected.argmax(axis=1).tolist()
        np.testing.assert_allclose([confidence for _, confidence in found], expected.max(axis=1), atol=1e-6)
