"""A proof on a card that computes in 16 bits: good ZIPs pass in spite of its noise, wrong ones fail as ever."""

# a None where a value should be fails the test like any other fault
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false

import dataclasses
import json
import zipfile

import numpy as np
import pytest
import torch

from common.device import Precision
from common.errors import RunError
from competition.checks import failed
from competition.half_precision import packed_megabytes, round_to_half
from competition.profile import read_profile
from competition.proof import compare, prove
from competition.submission import prepare_submission
from competition.zip_writer import write_zip
from data.inputs import find_inputs
from prediction.logits import softmax
from prediction.pipeline import load_pipeline, predict_images
from prediction.predict import to_predictions
from prediction.predictions_csv import FORMATS, Prediction, write_predictions
from prediction.views import VIEWS
from tests.competition.conftest import CSV, PREDICT
from tests.conftest import stripes

RULE = "one run = the other"


def rows_of(probabilities):
    """Return a row an image for probabilities (N, C), rounded as in a CSV."""
    return [
        Prediction(f"{number}.jpg", int(row.argmax()), round(float(row.max()), 6))
        for number, row in enumerate(probabilities)
    ]


def noisy(logits, dtype, seed):
    """Return logits with noise of half a unit of the last place of `dtype`."""
    unit = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    generator = np.random.default_rng(seed)
    return logits + generator.uniform(-0.5, 0.5, logits.shape) * unit * 2.0 ** np.ceil(np.log2(np.abs(logits) + 1e-9))


@pytest.fixture(scope="module")
def logits():
    """Logits (2000, 100) of a good classifier: most images are sure, some are between two classes."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(2000, 100))
    values[np.arange(2000), generator.integers(0, 100, 2000)] += generator.uniform(2, 12, 2000)
    values[:5, :2] = 8
    return values


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_noise_of_16_bits_passes_in_its_own_tolerance_and_tipped_labels_are_counted(logits, dtype):
    one, other = (rows_of(softmax(noisy(logits, dtype, seed))) for seed in (1, 2))
    tipped = sum(row.label != expected.label for row, expected in zip(one, other, strict=True))
    assert 0 < tipped < 20
    check = compare(one, other, RULE, dtype)
    assert check.passed, check.figure
    assert check.figure.startswith(f"{2000 - tipped} labels equal, {tipped} tip between classes of equal probability")
    assert not compare(one, other, RULE).passed
    assert not compare(one, other, RULE, "float32").passed
    # the coarser of the two runs decides, in any order
    assert compare(one, other, RULE, f"float32+{dtype}").passed
    assert compare(other, one, RULE, f"mixed {dtype}+float32").passed


@pytest.mark.parametrize(
    ("found", "expected", "passed"),
    [
        ((0, 0.50), (1, 0.49), True),
        ((0, 0.30), (1, 0.30), True),
        # the first class cannot have lost so much
        ((0, 0.50), (1, 0.45), False),
        # two sure answers are not between two classes
        ((0, 0.90), (1, 0.90), False),
        ((0, 0.52), (1, 0.52), False),
        ((0, 0.50), (1, None), True),
        ((0, 0.90), (1, None), False),
        ((0, None), (1, None), False),
        ((0, 0.90), (0, 0.89), True),
        ((0, 0.90), (0, 0.87), False),
    ],
)
def test_a_label_tips_only_between_two_classes_of_equal_probability(found, expected, passed):
    one, other = ([Prediction("a.jpg", *row)] for row in (found, expected))
    assert compare(one, other, RULE, "bfloat16").passed == passed
    if found[0] != expected[0]:
        assert not compare(one, other, RULE).passed


def test_a_model_that_tells_no_classes_apart_is_no_proof():
    """All labels may tip where all probabilities are equal; a wrong order of the classes would pass."""
    one, other = ([Prediction(f"{number}.jpg", label, 0.01) for number in range(300)] for label in (0, 1))
    check = compare(one, other, RULE, "bfloat16")
    assert not check.passed
    assert "300 of 300 labels tip between classes of equal probability" in check.figure
    mixed = [*one[:3], *other[3:]]
    assert compare(mixed, other, RULE, "bfloat16").passed


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_pipeline(checkpoint).members[0].model.classifier


def answers(model, images, view="identity", scale=1.0):
    with torch.inference_mode():
        return model(VIEWS[view](images).float() * scale).numpy()


@pytest.mark.integration
@pytest.mark.parametrize(
    "mistake", [{"view": "vflip"}, {"view": "crop_top_left"}, {"view": "brightness+10"}, {"scale": 1 / 255}], ids=str
)
def test_wrong_pixels_do_not_pass_as_noise(model, mistake):
    """The wrong view, and pixels that are divided by 255 twice."""
    pictures = np.stack([stripes(label, index)[:32, :32] for index in range(100, 160) for label in range(4)])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    right = rows_of(softmax(answers(model, images)))
    assert compare(rows_of(softmax(noisy(answers(model, images), "bfloat16", 1))), right, RULE, "bfloat16").passed
    assert not compare(rows_of(softmax(answers(model, images, **mistake))), right, RULE, "bfloat16").passed


# the run from code/ answers otherwise by 0.01
NOISY = PREDICT.replace('",164,0.900000"', '",164," + str(0.9 + 0.01 * (Path.cwd().name == "code"))')


@pytest.mark.integration
@pytest.mark.parametrize(
    ("line", "precision", "passes"),
    [
        ("device: cuda, bfloat16", "bfloat16", True),
        ("device: cuda, float16", "float16", False),
        ("device: cpu, float32", "float32", False),
        ("I computed in bfloat16", "float32", False),
    ],
)
def test_the_tolerance_is_that_of_the_dtype_that_the_run_tells(build, profile, images, line, precision, passes):
    proof = prove(build(members={"code/predict.py": f"print({line!r})\n{NOISY}"}), profile, images, None)
    assert {run["precision"] for run in proof.runs} == {precision}
    broken = {check.rule: check.figure for check in failed(proof.checks)}
    assert broken == ({} if passes else {"from code/ = from the root": "confidences differ by up to 0.0100"})


@pytest.mark.integration
def test_the_kits_predictions_and_the_csv_in_the_zip_may_be_of_another_dtype(build, profile, images):
    reference = [Prediction(name, 0, 0.888) for name in ("a.jpg", "b.JPG", "c.png")]
    rule = "from the root = the kit's predictions"
    for precision, passes in (("float32", False), ("mixed bfloat16", True)):
        proof = prove(build(), profile, images, reference, precision=precision)
        assert (rule not in [check.rule for check in failed(proof.checks)]) == passes
    rule = "from the root = the CSV in the ZIP"
    classes = json.loads(zipfile.ZipFile(build()).read("model/config.json"))["classes"]
    for told, passes in (({}, False), ({"csv_dtype": "bfloat16"}, True), ({"csv_dtype": ["x"]}, False)):
        config = json.dumps({"classes": classes, **told})
        members = {"results/submission.csv": CSV.replace("0.900000", "0.888000"), "model/config.json": config}
        proof = prove(build(members=members), profile, images, None)
        assert (rule not in [check.rule for check in failed(proof.checks)]) == passes


@pytest.mark.integration
def test_the_run_sees_the_card_and_the_libraries_that_the_kit_sees(build, profile, images, monkeypatch):
    names = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_PATH", "LD_LIBRARY_PATH")
    for name in names:
        monkeypatch.setenv(name, "/there")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    code = f"import os\nassert all(os.environ.get(name) == '/there' for name in {names})\n"
    code += "assert 'PYTHONPATH' not in os.environ\n"
    proof = prove(build(members={"code/predict.py": code + PREDICT}), profile, images, None)
    assert failed(proof.checks) == []


@pytest.fixture
def pipeline(checkpoint):
    return load_pipeline(checkpoint)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("told", "expected"), [("mixed bfloat16", "bfloat16"), ("float32", "float32"), (None, "mixed float16")]
)
def test_predictions_keep_the_dtype_of_the_machine_that_made_them(
    pipeline, test_folder, tmp_path, monkeypatch, told, expected
):
    """A ZIP of a GPU's predictions may be packed on a laptop."""
    path, asked = tmp_path / "predictions.csv", []

    def proof(zip_file, profile, images, reference, pythons, precision):
        asked.append(precision)
        raise RunError("far enough")

    monkeypatch.setattr("competition.submission.prove", proof)
    monkeypatch.setattr("competition.submission._measure", lambda pipeline, profile: None)
    inputs = find_inputs([test_folder])
    write_predictions(
        path, FORMATS["official"], [Prediction(name, 0, 0.5) for name in inputs.image_ids], pipeline.classes
    )
    if told:
        path.with_suffix(".json").write_text(json.dumps({"precision": told}), encoding="utf-8")
    mixed = dataclasses.replace(pipeline, precision=Precision("cpu", torch.float16))
    with pytest.raises(RunError, match="far enough"):
        prepare_submission(mixed, path, test_folder, tmp_path / "z.zip", read_profile("flower_2025", [])[0])
    assert asked == [expected]


@pytest.mark.integration
def test_the_size_is_that_of_the_packed_weights(pipeline):
    """On CUDA the model that predicts is a copy without BatchNorm, in 16 bits."""
    small = dataclasses.replace(pipeline.members[0], model=torch.nn.Linear(1, 1).half())
    weights = pipeline.members[0].checkpoint.state_dict.values()
    expected = sum(value.numel() for value in weights if value.is_floating_point()) * 2 / 1e6
    assert packed_megabytes(dataclasses.replace(pipeline, members=[small]), 2) == pytest.approx(expected)


@pytest.mark.integration
def test_rounded_weights_are_judged_in_float32(pipeline, test_folder):
    """In bfloat16 the computation itself would change more than the rounding."""
    inputs = find_inputs([test_folder])
    exact = to_predictions(pipeline, inputs, predict_images(pipeline, inputs))
    coarse = dataclasses.replace(pipeline, precision=Precision("cpu", torch.bfloat16))
    # as if noise had tipped all of them
    tipped = [dataclasses.replace(row, label=(row.label + 1) % 4) for row in exact]
    expected = round_to_half(pipeline, inputs, exact)
    assert round_to_half(coarse, inputs, tipped, "mixed bfloat16") == expected
    assert expected.precision == "float32"
    with pytest.raises(RunError, match="9 of 9 labels change"):
        round_to_half(coarse, inputs, tipped, "float32")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("device", "dtype", "use_amp", "here", "expected"),
    [
        ("cpu", None, True, False, ("float16", "float32")),
        ("cpu", None, True, True, ("float16", "float16")),
        ("cpu", torch.bfloat16, True, False, ("float16", "float32")),
        ("cpu", None, False, True, (None, "float32")),
        ("cuda", torch.float16, True, True, ("float16", "float16")),
        ("cuda", torch.bfloat16, True, True, ("bfloat16", "bfloat16")),
        ("cuda", None, True, True, (None, "float32")),
    ],
)
def test_the_judges_card_computes_in_float16_unless_other_is_asked(
    pipeline, tmp_path, monkeypatch, device, dtype, use_amp, here, expected
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: here)
    training = dataclasses.replace(pipeline.config.training, use_amp=use_amp)
    packed = dataclasses.replace(
        pipeline,
        device=torch.device(device),
        precision=Precision(device, dtype),
        config=dataclasses.replace(pipeline.config, training=training),
    )
    write_zip(tmp_path / "z.zip", packed, read_profile("flower_2025", [])[0], half=False)
    with zipfile.ZipFile(tmp_path / "z.zip") as archive:
        config = json.loads(archive.read("model/config.json"))
    assert (config["cuda_dtype"], config["csv_dtype"]) == expected
