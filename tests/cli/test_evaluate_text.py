"""What evaluate.py says about confidence: before and after the temperature, and which answers to look at."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false

import dataclasses

import numpy as np
import pytest

from cli.evaluate_text import describe_evaluation
from evaluation.abstention import abstention_table, most_kept
from evaluation.calibration import reliability
from evaluation.evaluate import evaluate
from evaluation.plots import reliability_figure
from models.checkpoint import load_checkpoint, save_checkpoint
from prediction.options import PredictionOptions
from prediction.pipeline import load_pipeline, uncalibrated
from tools.calibrate_checkpoint import calibrate_checkpoint

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def measured(checkpoint, pictures):
    return evaluate(load_pipeline([checkpoint]), data=pictures)


@pytest.fixture(scope="module")
def raw(checkpoint, pictures):
    return evaluate(uncalibrated(load_pipeline([checkpoint])), data=pictures)


def test_the_error_before_is_that_of_the_model_without_its_temperature(measured, raw, checkpoint):
    assert measured.temperature == load_checkpoint(checkpoint).temperature != 1
    assert measured.error_before.value == pytest.approx(raw.metrics.calibration_error, abs=1e-6)
    assert measured.metrics.top1 == raw.metrics.top1
    assert (measured.correct == raw.correct).all()
    lines = describe_evaluation(measured)
    place = next(number for number, line in enumerate(lines) if line.startswith("calibration error"))
    assert f"{100 * raw.metrics.calibration_error:.2f} %" in lines[place + 1]
    assert f"; the temperature {measured.temperature:.3f} mends it" in lines[place + 1]


def test_a_model_that_was_never_calibrated_is_told_how(raw):
    assert raw.error_before is None
    assert any(
        "not calibrated   its temperature is 1; 'python cli/flower_cli.py" in it for it in describe_evaluation(raw)
    )


def test_several_models_have_a_temperature_each(checkpoint, other, pictures):
    found = evaluate(load_pipeline([checkpoint, other]), data=pictures)
    assert "each model with its own temperature, before the average" in "\n".join(describe_evaluation(found))


def test_the_table_says_what_is_left_and_what_of_it_is_right(measured):
    confidences = np.array([0.99, 0.9, 0.8, 0.7, 0.6])
    correct = np.array([True, True, False, True, False])
    found = dataclasses.replace(
        measured,
        kept=abstention_table(confidences, correct, (1.0, 0.4)),
        targets={target: most_kept(confidences, correct, target) for target in (0.6, 0.95)},
    )
    lines = describe_evaluation(found)
    start = next(number for number, line in enumerate(lines) if line.startswith("keep the answers"))
    assert " ".join(lines[start + 1].split()) == "100.0 % 0.600 5 60.00 % (95 %: 23.07 to 88.24)"
    assert " ".join(lines[start + 2].split()) == "40.0 % 0.900 2 100.00 % (95 %: 34.24 to 100.00)"
    assert lines[start + 3].endswith("the 5 answers (100.0 %) with a confidence from 0.600")
    assert lines[start + 4].endswith("the 2 answers (40.0 %) with a confidence from 0.900")
    none = dataclasses.replace(found, targets={0.95: None})
    assert "95 % right         no part of the answers" in describe_evaluation(none)


def test_the_picture_has_a_curve_with_the_temperature_and_one_without():
    generator = np.random.default_rng(0)
    confidences = generator.uniform(0.3, 1, 200)
    correct = generator.uniform(0, 1, 200) < confidences
    curves = {name: (confidences**power, correct) for name, power in (("temperature 1", 2), ("1.5", 1))}
    bins = reliability(confidences, correct)
    figure = reliability_figure(curves)
    upper, lower = figure.axes
    told = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert [text.split(",")[0] for text in told[1:]] == list(curves)
    # a curve beside the diagonal, with a dot for each bin
    drawn = [line.get_xdata() for line in upper.get_lines() if len(line.get_xdata()) == len(bins)]
    np.testing.assert_allclose(drawn[-1], [it.confidence for it in bins])
    # below, the answers of the last curve
    assert sum(bar.get_height() for bar in lower.patches) == len(confidences)


@pytest.mark.parametrize("factor", [5.0, 0.2], ids=["overconfident", "underconfident"])
def test_logits_of_a_wrong_scale_are_mended_and_keep_their_labels(checkpoint, pictures, tmp_path, factor):
    found = load_checkpoint(checkpoint)
    loud = {name: factor * tensor if "classifier" in name else tensor for name, tensor in found.state_dict.items()}
    path = tmp_path / "loud.pt"
    save_checkpoint(dataclasses.replace(found, state_dict=loud, temperature=1.0, temperature_source=""), path)
    calibrate_checkpoint(path, pictures)
    pipeline = load_pipeline([path])
    after, before = evaluate(pipeline, data=pictures), evaluate(uncalibrated(pipeline), data=pictures)
    assert after.metrics.calibration_error < before.metrics.calibration_error
    assert after.metrics.loss < before.metrics.loss
    assert (after.correct == before.correct).all()


def test_the_corrected_top1_is_that_of_the_image_alone(checkpoint):
    """Other views, or other models beside it, had no choice of an epoch that was corrected."""
    plain = evaluate(load_pipeline([checkpoint]))
    assert plain.corrected_top1 == load_checkpoint(checkpoint).metrics["val_top1_corrected"]
    assert f"expect about {100 * (plain.corrected_top1 or 0):.2f} %" in describe_evaluation(plain)[-1]
    mirrored = evaluate(load_pipeline([checkpoint], PredictionOptions(views="identity,hflip")))
    assert mirrored.corrected_top1 is None
    assert "expect a little less" in describe_evaluation(mirrored)[-1]
