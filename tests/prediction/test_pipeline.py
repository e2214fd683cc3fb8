"""One answer from several checkpoints and views, the same for one image as for many."""

import numpy as np
import pytest
import torch

from common.errors import InputError
from data.inputs import find_inputs
from prediction.options import PredictionOptions
from prediction.pipeline import load_pipeline, predict_file, predict_images

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


def test_classes_in_another_order_are_matched_by_category(checkpoint, turned, test_folder):
    inputs = find_inputs([test_folder])
    alone = predict_images(load_pipeline([checkpoint], FLIPPED), inputs).probabilities
    both = predict_images(load_pipeline([checkpoint, turned], FLIPPED), inputs).probabilities
    assert both == pytest.approx(alone, abs=1e-6)
    reverse = predict_images(load_pipeline([turned], FLIPPED), inputs).probabilities
    assert reverse == pytest.approx(alone[:, ::-1], abs=1e-6)
    assert not np.allclose(reverse, alone)


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
