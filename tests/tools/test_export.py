"""Exports: the same answers in another runtime, everything that explains them inside, nothing written otherwise."""

import json
import shutil

import numpy as np
import pytest
import torch

from cli.export import describe
from common.device import algorithms_kept, configure_algorithms
from common.errors import InputError, RunError
from competition.model_rules import check_models
from configs.compose import compose
from data.inputs import find_inputs
from data.table import read_table
from models.checkpoint import load_checkpoint
from prediction.options import PredictionOptions
from prediction.pipeline import load_pipeline, predict_file, predict_images
from prediction.runtime_packages import missing_packages
from prediction.runtimes import choose_runtime
from tests.helpers import run_process
from tools.export import export
from tools.export_options import COMBINATIONS, SUFFIX_OF

OPTIONAL = ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
needs_packages = pytest.mark.skipif(bool(missing_packages(OPTIONAL)), reason="requirements-export.txt is not installed")


@pytest.mark.slow
@needs_packages
@pytest.mark.parametrize(("runtime", "precision"), COMBINATIONS)
def test_an_export_answers_as_the_checkpoint_and_explains_itself(checkpoint, exported, test_folder, runtime, precision):
    output, figures = exported(runtime, precision)
    assert figures.files[0] == output
    assert figures.within_tolerance
    gain = figures.comparison.gain
    assert gain.low < gain.points < gain.high
    assert precision == "int8" or gain.points == 0
    assert len(describe(figures)) == 4
    assert {path.suffix for path in output.parent.iterdir()} <= {SUFFIX_OF[runtime], ".bin"}
    inputs = find_inputs([test_folder])
    before, after = load_pipeline([checkpoint]), load_pipeline([output])
    expected, found = (predict_images(pipeline, inputs).probabilities for pipeline in (before, after))
    difference = np.abs(found - expected)
    # rounding to int8 moves single answers of a model this small far
    assert (
        difference.mean() < 0.1 if precision == "int8" else difference.max() < {"fp32": 1e-4, "fp16": 1e-2}[precision]
    )
    assert predict_file(after, inputs.paths[1]) == pytest.approx(found[1], abs=1e-4)
    own, original = after.members[0].checkpoint, before.members[0].checkpoint
    assert (own.classes, own.input_size, own.split, own.config) == (
        original.classes,
        original.input_size,
        original.split,
        original.config,
    )
    assert after.runtime == runtime
    assert after.computed_in == ("float32" if runtime == "torch" else precision)


@pytest.mark.slow
@needs_packages
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_checkpoint_runs_in_another_runtime_with_views_and_weights(checkpoint, test_folder, runtime):
    inputs = find_inputs([test_folder])
    options = {"views": ("identity", "hflip"), "weights": [2, 1]}
    expected = predict_images(load_pipeline([checkpoint, checkpoint], PredictionOptions(**options)), inputs)
    found = predict_images(
        load_pipeline([checkpoint, checkpoint], PredictionOptions(runtime=runtime, **options)), inputs
    )
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-4)
    assert found.unreadable == expected.unreadable


def test_half_weights_take_half_the_room(checkpoint, tmp_path):
    export(checkpoint, "torch", "fp16", tmp_path / "half.pt")
    whole, half = (load_checkpoint(path).state_dict for path in (checkpoint, tmp_path / "half.pt"))
    floating = [name for name, tensor in whole.items() if tensor.is_floating_point()]
    assert all(half[name].dtype == torch.float16 for name in floating)
    assert sum(half[name].nbytes for name in floating) * 2 == sum(whole[name].nbytes for name in floating)


def test_weights_beyond_fp16_write_nothing(checkpoint, tmp_path):
    payload = torch.load(checkpoint, weights_only=True)
    # beyond 65504 it becomes infinite, and the answers no numbers
    payload["state_dict"]["backbone.classifier.bias"] += 1e5
    torch.save(payload, tmp_path / "large.pt")
    with pytest.raises(
        RunError, match=r"half.pt: not written: The model's answers for 8 images are not finite numbers"
    ):
        export(tmp_path / "large.pt", "torch", "fp16", tmp_path / "half.pt", overrides=["device=cpu"])
    assert not (tmp_path / "half.pt").exists()


def test_unreadable_images_count_for_neither_model(checkpoint, pictures, tmp_path):
    table = read_table(pictures / "train.csv", pictures / "train")
    shutil.copytree(pictures, tmp_path / "data")
    for image_id in table.image_ids[::2]:
        (tmp_path / "data" / "train" / image_id).write_bytes(b"no image")
    found = export(checkpoint, "torch", "fp16", tmp_path / "half.pt", tmp_path / "data").comparison
    assert found.equal == found.images == len(table.image_ids) // 2


def test_too_large_a_difference_writes_nothing(checkpoint, tmp_path):
    with pytest.raises(RunError, match="not written") as refused:
        export(checkpoint, "torch", "fp16", tmp_path / "half.pt", tolerance=0)
    assert "more than 0 in probability" in describe(refused.value.result)[3]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("runtime", "precision", "name", "message"),
    [
        ("onnx", "int8", "a.onnx", "onnx fp32, openvino fp32, openvino fp16, openvino int8, torch fp16"),
        ("tensorrt", "fp16", "a.onnx", "not offered"),
        ("torch", "fp16", "a.onnx", r"must end in \.pt"),
    ],
)
def test_what_is_not_offered_is_refused_with_the_list(checkpoint, tmp_path, runtime, precision, name, message):
    with pytest.raises(InputError, match=message):
        export(checkpoint, runtime, precision, tmp_path / name)


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setattr("prediction.runtimes.importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs openvino\. Type: pip install -r requirements-export\.txt"):
        choose_runtime("openvino", torch.device("cpu"))
    assert choose_runtime("auto", torch.device("cpu")) == "torch"


@needs_packages
@pytest.mark.parametrize("name", ["a.onnx", "a.xml"])
@pytest.mark.parametrize("content", [b"", b"no model", b"<net></net>", b"\x08\x07" * 40])
def test_what_is_no_export_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="not a model that"):
        load_pipeline([tmp_path / name])


@pytest.mark.integration
@needs_packages
def test_a_strangers_model_is_checked_like_a_checkpoint(exported, tmp_path):
    import onnx

    model = onnx.load(str(exported("onnx", "fp32")[0]))
    facts = json.loads(model.metadata_props[0].value)
    for changed, message in (
        ({"classes": facts["classes"][:1]}, "less than two classes"),
        ({"input_size": "x"}, "not a int"),
        ({"split": {"train": 1, "val": []}}, "split is not lists"),
    ):
        model.metadata_props[0].value = json.dumps({**facts, **changed})
        onnx.save(model, str(tmp_path / "b.onnx"))
        with pytest.raises(InputError, match=message):
            load_pipeline([tmp_path / "b.onnx"])


@needs_packages
def test_a_precision_that_the_runtime_does_not_choose_is_refused(checkpoint):
    with pytest.raises(InputError, match="precision fp16: only torch chooses it"):
        load_pipeline([checkpoint], PredictionOptions(runtime="onnx", precision="fp16"))


@pytest.mark.slow
@needs_packages
def test_the_gate_counts_an_exported_models_parameters_and_refuses_its_runtime(checkpoint, exported):
    limits = compose("config").competition
    checks = {
        path.suffix: {check.rule: check for check in check_models(load_pipeline([path]), limits)}
        for path in (checkpoint, exported("openvino", "fp32")[0])
    }
    assert checks[".xml"]["parameters"] == checks[".pt"]["parameters"]
    assert [checks[suffix]["runtime"].passed for suffix in (".pt", ".xml")] == [True, False]


@needs_packages
def test_auto_takes_the_fastest_that_is_installed():
    assert choose_runtime("auto", torch.device("cpu")) == "openvino"
    assert choose_runtime("auto", torch.device("cuda")) == "torch"


def test_an_export_leaves_the_choice_of_algorithms_as_it_was(checkpoint, tmp_path):
    with algorithms_kept():
        configure_algorithms(torch.device("cuda"), search_kernels=True)
        export(checkpoint, "torch", "fp16", tmp_path / "half.pt")
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.benchmark
        assert torch.get_float32_matmul_precision() == "high"


CTRL_C_AFTER_A_MODEL = """
import gc, os, signal, sys
sys.path.insert(0, os.getcwd())
from prediction.options import PredictionOptions
from prediction.pipeline import load_pipeline
load_pipeline(sys.argv[1:], PredictionOptions(runtime="openvino"))
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.slow
@needs_packages
def test_ctrl_c_after_a_model_of_openvino_is_an_interrupt(checkpoint, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(CTRL_C_AFTER_A_MODEL, encoding="utf-8")
    done = run_process(script, checkpoint)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted")
