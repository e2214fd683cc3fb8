"""The temperature acts wherever probabilities come from, before members are averaged, and never changes a label."""

import dataclasses

import numpy as np
import pytest

from data.inputs import find_inputs
from models.checkpoint import checkpoint_of, load_checkpoint, plain_fields, save_checkpoint
from prediction.logits import calibrated
from prediction.options import PredictionOptions
from prediction.pipeline import load_pipeline, predict_file, predict_images, uncalibrated
from prediction.provenance import describe_pipeline


def at(checkpoint, temperature, path):
    changes = {"temperature": temperature, "temperature_source": "20 images: a test"}
    save_checkpoint(dataclasses.replace(load_checkpoint(checkpoint), **changes), path)
    return path


def tempered(probabilities, temperature):
    powers = probabilities ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def test_two_logits_that_differ_by_one_bit_keep_their_order():
    generator = np.random.default_rng(0)
    low = generator.uniform(1, 30, 2000).astype(np.float32)
    logits = np.stack([low, np.nextafter(low, np.float32(100))], axis=1)
    for temperature in (0.05, 1.37, 3.0, 20.0):
        assert (calibrated(logits, temperature).argmax(axis=1) == 1).all()
    assert ((logits / 1.37).argmax(axis=1) == 0).any()


def test_each_member_has_its_own_temperature_before_the_average(checkpoint, other, test_folder, tmp_path):
    inputs = find_inputs([test_folder])
    paths = [at(checkpoint, 0.5, tmp_path / "a.pt"), at(other, 3.0, tmp_path / "b.pt")]
    views = PredictionOptions(views=("identity", "hflip"), weights=[3, 1])
    pipeline = load_pipeline(paths, views)
    found = predict_images(pipeline, inputs)
    rows = found.readable
    raw = [
        predict_images(uncalibrated(load_pipeline([path], PredictionOptions(views=views.views))), inputs)
        for path in paths
    ]
    first, second = (
        tempered(answers.probabilities[rows], temperature) for answers, temperature in zip(raw, (0.5, 3.0), strict=True)
    )
    np.testing.assert_allclose(found.probabilities[rows], 0.75 * first + 0.25 * second, atol=1e-6)
    assert predict_file(pipeline, inputs.paths[rows[1]]) == pytest.approx(found.probabilities[rows[1]], abs=1e-5)
    listed = describe_pipeline(pipeline)["checkpoints"]
    assert [entry["temperature"] for entry in listed] == [0.5, 3.0]
    assert {entry["temperature_source"] for entry in listed} == {"20 images: a test"}


def test_a_file_of_an_earlier_version_has_temperature_one(checkpoint, tmp_path):
    fields = plain_fields(load_checkpoint(checkpoint))
    older = {name: value for name, value in fields.items() if not name.startswith("temperature")}
    found = checkpoint_of(older, tmp_path)
    assert (found.temperature, found.temperature_source) == (1, "")
