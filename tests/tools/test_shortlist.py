"""A shortlist of tiny models: in, out for each reason, going on after an interruption, and what the command says."""

import json
import shutil
import time

import numpy as np
import pytest
import torch
import yaml

from common.errors import InputError, RunError
from configs import options
from configs.options import CONFIG_DIR
from models import weight_sources
from models.classifier import build_classifier
from models.weight_sources import WeightFinder
from tests.conftest import TINY
from tests.helpers import run_script
from tools import shortlist_model
from tools.shortlist import probe_order, shortlist
from tools.shortlist_file import Row, read_rows, sorted_rows, write_rows

WORDS = [word for word in TINY if not word.startswith(("model.architecture", "model.pretrained"))]

TOOL = ["cli/flower_cli.py", "shortlist"]

ROW = Row("a", "convnext", 32, 1.5, "fp32", 400_000)


@pytest.fixture(autouse=True)
def short_measuring(monkeypatch):
    """Leave time for the probe on a machine that is busy, and take little for the speed."""
    monkeypatch.setattr(shortlist_model, "_MOST_SECONDS_OF_SPEED", 0.2)


@pytest.fixture
def tiny_options(tmp_path, monkeypatch):
    """Two options of `model=`: `small` and `second`, of one architecture; their weights are only on the hub."""
    folder = tmp_path / "configs"
    shutil.copytree(CONFIG_DIR, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "model"))
    (folder / "model").mkdir()
    plain = yaml.safe_load((CONFIG_DIR / "model" / "convnext_tiny.yaml").read_text(encoding="utf-8"))
    for name in ("small", "second"):
        tiny = {**plain, "name": name, "architecture": "test_efficientnet.r160_in1k", "input_size": 32}
        (folder / "model" / f"{name}.yaml").write_text(yaml.safe_dump(tiny), encoding="utf-8")
    # the default run names an option, which has to be there
    default = yaml.safe_load((CONFIG_DIR / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    usual = next(entry["model"] for entry in default if isinstance(entry, dict) and "model" in entry)
    shutil.copy(folder / "model" / "small.yaml", folder / "model" / f"{usual}.yaml")
    for module in ("configs.options", "configs.compose", "models.catalog"):
        monkeypatch.setattr(f"{module}.CONFIG_DIR", folder)
    return folder


@pytest.fixture
def weights(tmp_path):
    """A folder with weights for `small`."""
    folder = tmp_path / "weights"
    folder.mkdir()
    model = build_classifier("test_efficientnet", 4, 32)
    torch.save(model.backbone.state_dict(), folder / "small.pth")
    return folder


@pytest.fixture
def words(pictures):
    # drawing large files takes more time than all the rest
    return [*WORDS, f"dataset.root={pictures}", "competition.input_size=64"]


def test_the_tiny_options_are_the_only_ones(tiny_options):
    assert {"small", "second"} < set(options.option_names("model"))


@pytest.mark.integration
def test_a_file_of_the_folder_is_used_and_a_model_without_weights_is_out(tiny_options, weights, words, tmp_path):
    target = tmp_path / "s.json"
    found = shortlist(words, ["second", "small"], weights, 20, 100, target)
    small, second = found.rows
    key = f"model.weights={weights / 'small.pth'}"
    assert (small.option, small.is_in, small.keys, small.family) == ("small", True, (key,), "efficientnet")
    assert small.probe_images == 20
    assert small.probe_top1 is not None
    assert small.probe_interval is not None
    assert small.probe_interval[0] <= small.probe_top1 <= small.probe_interval[1]
    assert min(small.latency_ms or 0, small.images_per_second or 0, small.images_per_second_last or 0) > 0
    assert (second.is_in, second.out_by, second.latency_ms) == (False, "weights", None)
    assert "HF_HUB_OFFLINE" in str(second.reason)
    saved = json.loads(target.read_text(encoding="utf-8"))
    assert saved["device"] == found.device
    assert [(model["option"], model["in"]) for model in saved["models"]] == [("small", True), ("second", False)]
    assert saved["models"][0]["keys"] == [key]
    assert saved["models"][1]["probe_top1"] is saved["models"][1]["images_per_second"] is None


@pytest.mark.slow
def test_an_interrupted_call_goes_on_and_a_model_that_got_weights_is_measured(
    tiny_options, weights, words, tmp_path, monkeypatch
):
    target, reported = tmp_path / "s.json", []
    first = shortlist(words, ["small", "second"], weights, 20, 100, target)
    shutil.copy(weights / "small.pth", weights / "second.pth")

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shortlist_model, "measure_run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            shortlist(words, ["small", "second"], weights, 20, 100, target)
    found = shortlist(
        words, ["small", "second"], weights, 20, 100, target, lambda row, reused: reported.append((row.option, reused))
    )
    assert found.reused == ("small",)
    assert dict(reported) == {"small": True, "second": False}
    assert first.rows[0] in found.rows
    assert all(row.is_in for row in found.rows)
    with pytest.raises(InputError, match="other words"):
        shortlist([*words, "seed=3"], ["small"], weights, 20, 100, target)


def test_a_model_that_is_too_large_is_out_before_its_weights_are_looked_for(tiny_options, words, tmp_path, monkeypatch):
    monkeypatch.setattr(WeightFinder, "find", lambda *_arguments: pytest.fail("weights were looked for"))
    for limit, unit in (("competition.max_model_mb=0.01", "MB"), ("competition.max_parameters=100", "M parameters")):
        (row,) = shortlist([*words, limit], ["small"], tmp_path, 20, 100).rows
        assert (row.is_in, row.out_by) == (False, "size")
        assert f"{unit}" in str(row.reason)
        assert "over the limit" in str(row.reason)


def test_a_model_that_only_fits_in_float16_says_so(tiny_options, words, tmp_path):
    (row,) = shortlist([*words, "competition.max_model_mb=0.3"], ["small"], tmp_path, 20, 100).rows
    assert (row.precision, row.out_by) == ("fp16", "weights")
    assert "float16" in row.notes[0]


@pytest.mark.integration
def test_on_a_cpu_a_model_is_out_only_far_over_the_limit_of_latency(tiny_options, weights, words):
    (row,) = shortlist([*words, "competition.max_latency_ms=0.001"], ["small"], weights, 20, 100).rows
    assert row.out_by == "latency"
    assert row.latency_ms is not None
    assert "not the judges' hardware" in str(row.reason)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("CUDA out of memory"), "out of memory"),
        (RunError("The loss is not finite."), "The loss is not finite."),
        (RuntimeError("no kernel"), "RuntimeError: no kernel"),
    ],
)
def test_a_model_that_cannot_be_measured_is_out_and_the_next_is_tried(
    tiny_options, weights, words, monkeypatch, error, reason
):
    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(shortlist_model, "latency_of", fail)
    found = shortlist(words, ["small", "second"], weights, 20, 100)
    assert {row.option: (row.out_by, row.reason) for row in found.rows}["small"] == ("latency", reason)
    assert len(found.rows) == 2


def test_a_damaged_file_of_weights_is_a_reason(tiny_options, weights, words):
    (weights / "small.pth").write_bytes(b"nothing")
    (row,) = shortlist(words, ["small"], weights, 20, 100).rows
    assert row.out_by == "weights"
    assert "damaged" in str(row.reason)


def test_a_hub_that_cannot_be_reached_is_asked_once(tiny_options, tmp_path, monkeypatch):
    asked = []

    class Session:
        def head(self, url: str, timeout: float) -> None:
            asked.append(url)
            raise OSError("blocked")

    monkeypatch.setattr(weight_sources.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weight_sources, "get_session", Session)
    from configs.compose import compose

    finder, config = WeightFinder(tmp_path), compose("config", ["model=small"]).model
    for _ in range(3):
        with pytest.raises(InputError, match="blocked"):
            finder.find("small", config)
    assert len(asked) == 1


def test_the_probe_keeps_three_images_of_each_class_and_its_smaller_samples_are_stratified():
    labels = np.repeat([0, 1, 2], [60, 30, 2])
    order = probe_order(labels, np.arange(92), 0)
    assert sorted(order) == list(range(92))
    assert np.bincount(labels[order[:8]]).tolist() == [3, 3, 2]
    assert abs(np.bincount(labels[order[:50]])[0] - 32) <= 2
    assert (order == probe_order(labels, np.arange(92)[::-1], 0)).all()


def test_rows_come_back_from_the_file_and_those_in_are_first(tmp_path):
    best = Row("b", "vit", 64, 2.0, "fp32", 1, probe_top1=0.9, probe_interval=(0.8, 0.95), keys=("k=v",), notes=("n",))
    out = Row("c", "vit", 64, 2.0, "fp32", 1, False, "no weights", "weights")
    too_large = Row("d", "vit", 64, 2.0, "fp32", 1, False, "900 MB", "size")
    rows = sorted_rows([out, ROW, too_large, best])
    assert [row.option for row in rows] == ["b", "a", "c", "d"]
    path = tmp_path / "s.json"
    write_rows(path, "cpu", {"words": ["seed=1"]}, rows)
    assert read_rows(path, {"words": ["seed=1"]}) == {"b": best, "a": ROW, "d": too_large}
    with pytest.raises(InputError, match=r"other words \(seed=1, now seed=2\)"):
        read_rows(path, {"words": ["seed=2"]})
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="is no shortlist"):
        read_rows(path, {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": 0}, "0 images"),
        ({"seconds_per_model": 0}, "0 seconds"),
        ({"options": []}, "is empty"),
        ({"options": ["convnext_tinny"]}, "Did you mean 'convnext_tiny'"),
        ({"words": ["model=convnext_tiny"]}, "compares options"),
        ({"words": ["model.weights=a.pth"]}, "compares options"),
        ({"json_file": "s.csv"}, "ends in .json"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(arguments, message):
    with pytest.raises(InputError, match=message):
        shortlist(**{"words": [], **arguments})


@pytest.mark.integration
def test_the_command_prints_a_table_and_its_exit_code_says_whether_a_model_is_in(tiny_options, weights, words):
    flags = ["--models", "small,second", "--weights-dir", weights, "--images", "20", "--seconds-per-model", "100"]
    done = run_script(*TOOL, *flags, *words)
    assert done.returncode == 0, done.stderr
    assert f"Best model: model=small model.weights={weights / 'small.pth'}" in done.stdout
    assert "out: no weights" in done.stdout
    (weights / "small.pth").unlink()
    done = run_script(*TOOL, *flags, *words)
    assert done.returncode == 1
    assert done.stdout.rstrip().endswith("No model can be used here: the table says of each why it is out.")
    assert run_script(*TOOL, "--images", "0").returncode == 2


@pytest.mark.integration
def test_few_seconds_mean_fewer_images(tiny_options, weights, words):
    started = time.monotonic()
    (row,) = shortlist(words, ["small"], weights, 36, 0.5).rows
    assert row.is_in
    assert row.probe_images == 12
    assert "12 images instead of 36" in row.notes[-1]
    assert time.monotonic() - started < 60
