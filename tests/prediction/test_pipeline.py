"""One answer from several checkpoints and views, the same for one image as for many."""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from cli.competition_commands import find_pipeline
from common.device import Precision, algorithms_kept
from common.errors import InputError
from data.images import read_image
from data.inputs import find_inputs
from data.transforms import eval_image
from evaluation.labelled_images import choose_images
from evaluation.metrics import cross_entropy
from models.checkpoint import load_checkpoint, save_checkpoint
from prediction.logits import log_of
from prediction.options import PredictionOptions
from prediction.output_files import OutputFiles
from prediction.pipeline import load_pipeline, predict_file, predict_images, uncalibrated, with_views
from prediction.predict import predict, predict_to_files
from prediction.provenance import describe_pipeline, write_provenance
from prediction.recorded import read_provenance
from tests.conftest import write_picture
from training.train import train

FLIPPED = PredictionOptions(views=("identity", "hflip"))


def test_one_image_and_many_get_the_same_answer(checkpoint, test_folder):
    pipeline = load_pipeline([checkpoint], FLIPPED)
    inputs = find_inputs([test_folder])
    answers = predict_images(pipeline, inputs)
    readable = [row for row in range(len(inputs.paths)) if row not in answers.unreadable]
    for row in readable:
        assert predict_file(pipeline, inputs.paths[row]) == pytest.approx(answers.probabilities[row], abs=1e-5)
    assert answers.probabilities[readable].sum(axis=1) == pytest.approx(np.ones(len(readable)), abs=1e-6)


def test_unreadable_images_are_zeros_with_a_reason_and_damaged_ones_are_counted(checkpoint, test_folder):
    inputs = find_inputs([test_folder])
    answers = predict_images(load_pipeline([checkpoint]), inputs)
    assert {inputs.image_ids[row] for row in answers.unreadable} == {"broken.jpg"}
    row = inputs.image_ids.index("broken.jpg")
    assert answers.probabilities[row].sum() == 0
    assert [inputs.image_ids[row] for row in answers.recovered] == ["img_6.jpg"]


def test_an_odd_image_costs_its_own_row(checkpoint, test_folder, monkeypatch):
    def resize(image, *arguments):
        if image.shape == odd:
            raise MemoryError("Unable to allocate 21.6 GiB")
        return eval_image(image, *arguments)

    inputs = find_inputs([test_folder])
    odd = read_image(inputs.paths[1]).pixels[:-1].shape
    write_picture(inputs.paths[1].with_name("odd.png"), np.zeros(odd, np.uint8))
    monkeypatch.setattr("data.transforms.eval_image", resize)
    result = predict(load_pipeline([checkpoint]), test_folder)
    inputs.paths[1].with_name("odd.png").unlink()
    assert result.unreadable["odd.png"] == "MemoryError: Unable to allocate 21.6 GiB"
    row = next(prediction for prediction in result.predictions if prediction.image_id == "odd.png")
    assert (row.confidence, row.label) == (0, load_pipeline([checkpoint]).fallback_label)
    assert sum(prediction.confidence == 0 for prediction in result.predictions) == 2


def test_when_no_image_can_be_read_that_is_an_error(checkpoint, test_folder, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"hello")
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"None of the 2 images could be read, the first \(a.jpg\) because: not a JPEG"
    ):
        predict(load_pipeline([checkpoint]), tmp_path)
    output = OutputFiles(tmp_path / "predictions.csv")
    with pytest.raises(InputError, match="None of the 2 images"):
        predict_to_files(load_pipeline([checkpoint]), tmp_path, output)
    assert not output.predictions.exists()


def test_an_image_is_read_by_all_members_or_by_none(checkpoint, test_folder, monkeypatch):
    sizes = []

    def resize(image, *arguments):
        sizes.append(arguments)
        if len(sizes) == 1:
            raise MemoryError
        return eval_image(image, *arguments)

    inputs = find_inputs([test_folder / name for name in ("img_1.JPG", "img_2.jpeg")])
    monkeypatch.setattr("data.transforms.eval_image", resize)
    answers = predict_images(load_pipeline([checkpoint, checkpoint]), inputs)
    assert list(answers.unreadable) == [0]
    assert answers.probabilities.sum(axis=1) == pytest.approx([0, 1])


def test_classes_in_another_order_are_matched_by_category(checkpoint, turned, test_folder):
    inputs = find_inputs([test_folder])
    alone = predict_images(load_pipeline([checkpoint], FLIPPED), inputs).probabilities
    both = predict_images(load_pipeline([checkpoint, turned], FLIPPED), inputs).probabilities
    assert both == pytest.approx(alone, abs=1e-6)
    reverse = predict_images(load_pipeline([turned], FLIPPED), inputs).probabilities
    assert reverse == pytest.approx(alone[:, ::-1], abs=1e-6)
    assert not np.allclose(reverse, alone)


def fitted(checkpoint, path, fit):
    """Write the checkpoint with another fit, and return where."""
    payload = torch.load(checkpoint, weights_only=True)
    torch.save({**payload, "fit": fit}, path)
    return path


def at_temperature_one(checkpoint: Path, path: Path) -> Path:
    """Copy a checkpoint; its temperature would act on averages of views, not on each view."""
    save_checkpoint(dataclasses.replace(load_checkpoint(checkpoint), temperature=1.0), path)
    return path


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_a_view_of_the_whole_picture_is_what_a_model_of_that_fit_sees(checkpoint, test_folder, tmp_path, fit):
    """The view is averaged with the image itself, and a model trained with this fit sees it as the image itself."""
    checkpoint = at_temperature_one(checkpoint, tmp_path / "plain.pt")
    inputs = find_inputs([test_folder])
    own, whole = (
        predict_images(load_pipeline([path]), inputs).probabilities
        for path in (checkpoint, fitted(checkpoint, tmp_path / "fitted.pt", fit))
    )
    assert np.abs(own - whole).max() > 0.01
    both = load_pipeline([checkpoint], PredictionOptions(views=("identity", fit)))
    answers = predict_images(both, inputs)
    assert answers.probabilities == pytest.approx((own + whole) / 2, abs=1e-6)
    row = answers.readable[-1]
    assert predict_file(both, inputs.paths[row]) == pytest.approx(answers.probabilities[row], abs=1e-5)
    alone = predict_images(with_views(both, (fit,)), inputs).probabilities
    assert alone == pytest.approx(whole, abs=1e-6)


@pytest.mark.integration
def test_the_shipped_model_sees_what_validation_saw(tiny):
    config = tiny("training.epochs=1", "training.warmup_epochs=0", "model.fit=stretch")
    train(config)
    pipeline = load_pipeline([f"{config.output_dir}/checkpoints/best_model.pt"])
    checkpoint = pipeline.members[0].checkpoint
    assert checkpoint.fit == "stretch"
    images = choose_images(pipeline, "val", None)
    # the temperature was fitted after this loss
    loss = cross_entropy(log_of(predict_images(uncalibrated(pipeline), images.inputs).probabilities), images.labels)
    assert loss == pytest.approx(checkpoint.metrics["val_loss"], abs=1e-4)


def test_members_of_other_fits_each_see_their_own_squares(checkpoint, test_folder, tmp_path):
    inputs, stretched = find_inputs([test_folder]), fitted(checkpoint, tmp_path / "stretched.pt", "stretch")
    views = PredictionOptions(views=("hflip", "stretch"))
    first, second = (predict_images(load_pipeline([path], views), inputs) for path in (checkpoint, stretched))
    together = predict_images(load_pipeline([checkpoint, stretched], views), inputs).probabilities
    assert together == pytest.approx((first.probabilities + second.probabilities) / 2, abs=1e-6)


def test_members_count_by_their_weights(checkpoint, other, test_folder):
    inputs = find_inputs([test_folder])
    first, second = (predict_images(load_pipeline([path]), inputs).probabilities for path in (checkpoint, other))
    weighted = load_pipeline([checkpoint, other], PredictionOptions(weights=[3, 1]))
    assert predict_images(weighted, inputs).probabilities == pytest.approx(0.75 * first + 0.25 * second, abs=1e-6)
    assert predict_file(weighted, inputs.paths[1]) == pytest.approx(0.75 * first[1] + 0.25 * second[1], abs=1e-5)


@pytest.mark.parametrize(
    ("weights", "message"), [([1], "1 weights for 2 members"), ([1, -1], "from 0 on"), ([0, 0], "not all")]
)
def test_weights_that_make_no_sense_are_refused(checkpoint, weights, message):
    with pytest.raises(InputError, match=message):
        load_pipeline([checkpoint, checkpoint], PredictionOptions(weights=weights))


def test_models_of_other_classes_are_refused(checkpoint, tmp_path):
    payload = torch.load(checkpoint, weights_only=True)
    payload["classes"][0]["category_id"] = "999"
    torch.save(payload, tmp_path / "other.pt")
    with pytest.raises(InputError, match="its classes are not those of"):
        load_pipeline([checkpoint, tmp_path / "other.pt"])


def test_a_precision_that_the_device_does_not_compute_is_refused(checkpoint):
    with pytest.raises(InputError, match="precision fp16: float16 is not fast on this cpu device"):
        load_pipeline([checkpoint], PredictionOptions(precision="fp16"), overrides=["device=cpu"])


def test_a_dtype_that_the_card_only_emulates_is_said_and_replaced(checkpoint, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (7, 5))
    monkeypatch.setattr("prediction.pipeline.choose_device", lambda _name: torch.device("cuda"))
    monkeypatch.setattr("prediction.pipeline.cap_device_memory", lambda _device: False)
    monkeypatch.setattr("prediction.pipeline.prepared", lambda model, *_: model)
    with algorithms_kept():
        pipeline = load_pipeline([checkpoint], PredictionOptions(precision="bf16"))
        assert (str(pipeline.precision), pipeline.asked_precision) == ("mixed float16", "fp16")
        assert "warning: cards of compute capability 7.5 only emulate bfloat16" in capsys.readouterr().err
        assert str(load_pipeline([checkpoint]).precision) == "mixed float16"
        assert str(load_pipeline([checkpoint], PredictionOptions(precision="fp32")).precision) == "float32"
        assert not torch.backends.cudnn.benchmark
        assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("chosen", "asked", "expected"),
    [
        (Precision("cuda", torch.float16), "fp16", "fp16"),
        (Precision("cuda", torch.bfloat16), "bf16", "bf16"),
        # float16 by default: another device may choose otherwise
        (Precision("cuda", torch.float16), None, None),
        (Precision("cpu", None), "fp32", "fp32"),
        (Precision("cpu", None), None, "fp32"),
    ],
)
def test_the_record_keeps_a_precision_given_by_hand(checkpoint, test_folder, tmp_path, chosen, asked, expected):
    output = OutputFiles(tmp_path / "predictions.csv")
    pipeline = load_pipeline([checkpoint])
    predict_to_files(pipeline, test_folder, output)
    facts = describe_pipeline(dataclasses.replace(pipeline, precision=chosen, asked_precision=asked))
    write_provenance(output.predictions, facts)
    provenance = read_provenance(output.predictions)
    assert provenance is not None
    assert provenance.precision == expected


def test_predictions_are_repeated_in_the_precision_given_by_hand(checkpoint, test_folder, tmp_path):
    predictions = tmp_path / "predictions.csv"
    pipeline = dataclasses.replace(load_pipeline([checkpoint]), asked_precision="fp16")
    predict_to_files(pipeline, test_folder, OutputFiles(predictions))
    flags = argparse.Namespace(
        checkpoint=None, predictions=predictions, tta=None, average=None, weights=None, runtime=None, precision=None
    )
    with pytest.raises(InputError, match="precision fp16: float16 is not fast on this cpu device"):
        find_pipeline(flags, read_provenance(predictions), ["device=cpu"])
    flags.precision = "fp32"
    assert find_pipeline(flags, read_provenance(predictions), ["device=cpu"]).computed_in == "float32"


def test_float16_weights_load_as_float32(checkpoint, tmp_path, test_folder):
    payload = torch.load(checkpoint, weights_only=True)
    payload["state_dict"] = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in payload["state_dict"].items()
    }
    torch.save(payload, tmp_path / "half.pt")
    inputs = find_inputs([test_folder])
    whole, half = (
        predict_images(load_pipeline([path]), inputs).probabilities for path in (checkpoint, tmp_path / "half.pt")
    )
    assert half == pytest.approx(whole, abs=1e-2)
