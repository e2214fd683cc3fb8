"""flower_cli.py calibrate: what it writes, what it warns of, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest

from cli.calibrate import describe
from common.classes import ImageClass
from common.errors import InputError
from data.inputs import find_inputs
from data.table import write_classes
from evaluation.calibration import calibrate
from models.checkpoint import load_checkpoint, save_checkpoint
from prediction.pipeline import load_pipeline, predict_images
from prediction.probabilities import read_probabilities
from tests.conftest import write_pictures
from tools.calibrate_checkpoint import calibrate_checkpoint
from tools.cross_validation import join_folds
from training.run import set_up_run
from training.train import train
from training.validation import validation_logits


@pytest.fixture
def older(checkpoint, tmp_path):
    """The trained model as an older version wrote it: without a temperature, and with logits four times as large."""
    found = load_checkpoint(checkpoint)
    loud = {name: 4 * tensor if "classifier" in name else tensor for name, tensor in found.state_dict.items()}
    path = tmp_path / "older.pt"
    save_checkpoint(dataclasses.replace(found, state_dict=loud, temperature=1.0, temperature_source=""), path)
    return path


def test_the_checkpoint_itself_gets_the_temperature_and_no_label_changes(older, test_folder):
    inputs = find_inputs([test_folder])
    before = predict_images(load_pipeline([older]), inputs)
    found = calibrate_checkpoint(older)
    written = load_checkpoint(older)
    assert found.temperature_before == 1
    assert written.temperature == found.calibration.temperature != 1
    assert written.temperature_source == f"{found.calibration.images} validation images"
    after = predict_images(load_pipeline([older]), inputs)
    rows = before.readable
    assert (before.probabilities[rows].argmax(axis=1) == after.probabilities[rows].argmax(axis=1)).all()
    sharpened = before.probabilities[rows] ** (1 / written.temperature)
    expected = sharpened / sharpened.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after.probabilities[rows], expected, atol=1e-9)
    # it is fitted anew, not on top of the one that is there
    again = calibrate_checkpoint(older)
    assert again.calibration == found.calibration
    assert again.temperature_before == written.temperature
    assert "5 folds, each with the temperature of the others" in describe(again)[2]


def test_other_images_may_be_given_and_training_images_are_said(older, pictures, tmp_path):
    output = tmp_path / "new.pt"
    found = calibrate_checkpoint(older, pictures, output=output)
    trained_on = len(load_checkpoint(older).split["train"])
    assert (found.calibration.images, found.seen_in_training) == (48, trained_on)
    assert f"warning: {trained_on} of these images were seen in training" in describe(found)[-1]
    assert load_checkpoint(older).temperature == 1
    assert load_checkpoint(output).temperature == found.calibration.temperature


def test_bad_inputs_are_refused_and_nothing_is_written(older, pictures, tmp_path):
    before = older.read_bytes()
    with pytest.raises(InputError, match="Give one of them"):
        calibrate_checkpoint(older, pictures, tmp_path)
    with pytest.raises(InputError, match=r"none\.pt"):
        calibrate_checkpoint(tmp_path / "none.pt")
    with pytest.raises(InputError, match=r"ends in \.pt"):
        calibrate_checkpoint(older, output=tmp_path / "new.onnx")
    with pytest.raises(InputError, match="none"):
        calibrate_checkpoint(older, tmp_path / "none")
    with pytest.raises(InputError, match="0 best_model"):
        calibrate_checkpoint(older, folds=tmp_path / "folds")
    few = tmp_path / "few"
    write_pictures(few, [2, 2, 2, 2])
    with pytest.raises(InputError, match="8 images; a temperature needs 10"):
        calibrate_checkpoint(older, few)
    write_classes(few / "classes.csv", [ImageClass(k, str(900 + k), f"{k}") for k in range(4)])
    with pytest.raises(InputError, match="4 of its classes are unknown to the model, first category id 900"):
        calibrate_checkpoint(older, few)
    assert older.read_bytes() == before


def test_a_model_without_validation_images_says_what_to_give(older, tmp_path):
    found = load_checkpoint(older)
    save_checkpoint(dataclasses.replace(found, split={**found.split, "val": []}), tmp_path / "all.pt")
    with pytest.raises(InputError, match=r"held back no validation images\. Give other labelled images, or the folds"):
        calibrate_checkpoint(tmp_path / "all.pt")


@pytest.mark.integration
def test_the_folds_give_their_temperature_and_write_calibrated_answers(older, tiny, pictures, tmp_path):
    for fold in range(2):
        train(tiny(f"dataset.fold={fold}", "dataset.num_folds=2", f"output_dir={tmp_path / 'sweep' / str(fold)}"))
    joined = join_folds(tmp_path / "sweep", ("identity",), tmp_path / "oof")
    found = calibrate_checkpoint(older, folds=tmp_path / "sweep")
    assert load_checkpoint(older).temperature == found.calibration.temperature == joined.temperature
    assert (found.calibration.images, found.calibration.folds, found.other_architectures) == (48, 2, [])
    assert load_checkpoint(older).temperature_source == f"48 images: the folds of {tmp_path / 'sweep'}"
    facts = json.loads((tmp_path / "oof" / "predictions.json").read_text(encoding="utf-8"))
    first, second = (entry["temperature"] for entry in facts["checkpoints"])
    assert first != second
    # each fold's answers were divided by the temperature of the other one, not by its own model's
    run = tmp_path / "sweep" / "0" / "checkpoints" / "best_model.pt"
    alone = dataclasses.replace(load_checkpoint(run), temperature=first)
    save_checkpoint(alone, tmp_path / "alone.pt")
    saved = read_probabilities(tmp_path / "oof" / "probabilities.npz")
    inputs = find_inputs([pictures / "train" / name for name in alone.split["val"]])
    expected = predict_images(load_pipeline([tmp_path / "alone.pt"]), inputs)
    rows = [saved.image_ids.index(path.name) for path in inputs.paths]
    np.testing.assert_allclose(saved.values[rows], expected.probabilities, atol=1e-5)
    assert describe(dataclasses.replace(found, other_architectures=["test_vit"]))[-1].startswith(
        "warning: the folds are of test_vit; another architecture"
    )
    classes = [dataclasses.replace(entry, category_id=f"9{entry.category_id}") for entry in alone.classes]
    save_checkpoint(dataclasses.replace(load_checkpoint(older), classes=classes), tmp_path / "strange.pt")
    with pytest.raises(InputError, match="other classes than the checkpoint"):
        calibrate_checkpoint(tmp_path / "strange.pt", folds=tmp_path / "sweep")


@pytest.mark.integration
def test_it_fits_the_temperature_that_training_fits(tiny, tmp_path):
    # answers whose wrong ones are off by far more than 27 nats, the logarithm of 1e-12
    trained = train(tiny("training.learning_rate=0.1", "training.epochs=2")).best_model
    loud = load_checkpoint(trained)
    state = {name: 30 * tensor if "classifier" in name else tensor for name, tensor in loud.state_dict.items()}
    save_checkpoint(dataclasses.replace(loud, state_dict=state, temperature=1.0, temperature_source=""), trained)
    run = set_up_run(tiny())
    outputs = validation_logits(run, load_checkpoint(trained).build_model(), lambda _: None)
    margins = outputs.logits.max(axis=1) - outputs.logits[np.arange(len(outputs.labels)), outputs.labels]
    assert margins.max() > 40
    expected = calibrate(outputs.logits, outputs.labels, run.config.seed)
    assert expected is not None
    assert calibrate_checkpoint(trained).calibration.temperature == pytest.approx(expected.temperature, rel=1e-3)
