"""The budget: which choices are on the front, which fits, and the table that a whole measurement writes."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest

import tools.latency_budget
from cli.budget import command_of
from common.errors import InputError
from configs.compose import compose
from evaluation.labelled_images import choose_images, correct_answers
from prediction.pipeline import load_pipeline
from prediction.runtime_packages import missing_packages
from tests.helpers import run_script
from tools.export import export
from tools.input_size import compare_sizes
from tools.latency_budget import Choice, DeployedModel, best_of, find_best, pareto_front
from tools.soup import soup


def choice(top1, p95, fits=True, allowed=True, runtime="torch"):
    deployed = DeployedModel("model 1", (Path("a b") / "best_model.pt",), runtime, "fp32")
    return Choice(deployed, ("identity", "hflip"), top1, p95, p95, 10.0, allowed, fits)


def test_the_front_holds_what_nothing_beats():
    fast, good, slow, equal = choice(0.8, 5), choice(0.9, 20), choice(0.85, 30), choice(0.9, 40)
    assert pareto_front([slow, equal, good, fast]) == [fast, good]


def test_the_best_fits_and_is_allowed():
    choices = [choice(0.8, 5), choice(0.9, 20, allowed=False), choice(0.95, 300, fits=False), choice(0.8, 4)]
    assert best_of(choices, allowed_only=True) is choices[3]
    assert best_of(choices, allowed_only=False) is choices[1]
    assert best_of(choices[2:3], allowed_only=False) is None


def test_the_command_line_is_ready():
    assert command_of(choice(0.8, 5)) == 'python inference.py --checkpoint "a b/best_model.pt" --tta identity,hflip'
    assert "--runtime onnx" in command_of(choice(0.8, 5, runtime="onnx"))
    deployed = DeployedModel("model 1", (Path("m.xml"),), "openvino", "int8", ("device=cpu",))
    assert command_of(dataclasses.replace(choice(0.8, 5), deployed=deployed, views=("identity",))) == (
        "python inference.py --checkpoint m.xml device=cpu"
    )


@pytest.mark.slow
def test_each_model_is_measured_by_its_own_weights_and_class_order(checkpoint, turned, other, tmp_path, monkeypatch):
    monkeypatch.setattr(tools.latency_budget, "IMAGES", 10)
    monkeypatch.setattr(tools.latency_budget, "COMBINATIONS", (("torch", "fp16"),))
    limits = compose("config").competition

    def top1_of(*paths):
        found = find_best(paths, limits, [("identity",)], None, tmp_path, ["device=cpu"])
        return [choice.top1 for choice in found.choices]

    # the same model with its classes in another order, alone and averaged, in fp32 and fp16
    expected = top1_of(checkpoint)
    assert top1_of(checkpoint, turned) == expected * 3
    # in the same folder, so that the first model's exports must not be taken for those of another
    best = load_pipeline([other])
    assert top1_of(other) == [correct_answers(best, choose_images(best, "val", None), "").mean()] * 2
    assert len(list(tmp_path.glob("*_fp16.pt"))) == 3


@pytest.mark.integration
def test_exported_models_are_refused_where_weights_are_needed(exported, tmp_path):
    pytest.importorskip("openvino")
    path, _ = exported("openvino", "fp32")
    pipeline = load_pipeline([path])
    for what, refuse in {
        "budget": lambda: find_best([path], compose("config").competition, [("identity",)], None, tmp_path, []),
        "export": lambda: export(path, "onnx", "fp32", tmp_path / "model.onnx"),
        "soup": lambda: soup(pipeline, None, tmp_path / "soup.pt"),
        "comparing input sizes": lambda: compare_sizes(pipeline, [64]),
    }.items():
        with pytest.raises(InputError, match=f"^{what}: needs best_model.pt in torch; a model of openvino is fixed"):
            refuse()


@pytest.mark.slow
def test_a_budget_is_measured_and_its_command_runs(checkpoint, test_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tools.latency_budget, "IMAGES", 10)
    words = ["budget", "--checkpoint", checkpoint, "--tta", "identity", "--tta", "identity,hflip"]
    done = run_script("cli/flower_cli.py", *words, "--max-latency", "10000", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "budget.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    measured = {(row["runtime"], row["precision"]) for row in rows}
    assert {("torch", "fp32"), ("torch", "fp16")} <= measured
    if not missing_packages(("onnx", "onnxscript", "onnxruntime", "openvino")):
        assert {("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "fp16")} <= measured
        assert "not for flower_2025" in done.stdout
    assert len(rows) == 2 * len(measured)
    assert all(0 < float(row["median_ms"]) <= float(row["p95_ms"]) for row in rows)
    assert (tmp_path / "out" / "budget.png").stat().st_size > 5000
    best = json.loads((tmp_path / "out" / "budget.json").read_text(encoding="utf-8"))["best"]
    assert best["runtime"] == "torch"
    command = done.stdout.split("best for flower_2025:")[1].splitlines()[1].split()
    found = run_script(*command[1:], "--input", test_folder, "--output", tmp_path / "predictions.csv")
    assert found.returncode == 0, found.stderr


@pytest.mark.integration
def test_nothing_that_fits_is_exit_code_1(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(tools.latency_budget, "IMAGES", 10)
    monkeypatch.setattr(tools.latency_budget, "COMBINATIONS", (("torch", "fp16"),))
    words = ["budget", "--checkpoint", checkpoint, "--tta", "identity", "--max-size", "0.001", "--json"]
    done = run_script("cli/flower_cli.py", *words, "--output", tmp_path)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["best"] is None
