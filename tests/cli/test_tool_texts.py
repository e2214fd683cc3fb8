"""What the tools print: figures made by hand, and the lines that come of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from cli import audit, budget, export, oof, probe, soup, tune
from cli.comparison_text import describe_sizes, describe_view_search
from cli.ensemble_text import describe_average, describe_fit
from cli.entry import with_figures
from cli.prepare_data import describe_crop
from common.classes import ImageClass
from common.errors import RunError
from configs.compose import compose
from data.table import ImageTable
from evaluation.evaluate import Metrics
from evaluation.intervals import Gain
from tools.ablation import Difference, markdown
from tools.cross_validation import CrossValidation
from tools.data_audit import Audit, DuplicatePair, Suspect
from tools.ensemble import AveragedPredictions, WeightFit
from tools.export import Comparison, Export
from tools.input_size import SizeComparison, SizeScore
from tools.latency_budget import Budget, Choice, DeployedModel
from tools.probe_baseline import ProbeResult
from tools.search_results import Search, Trial
from tools.soup import Soup, SoupComparison
from tools.tta_search import ViewGain, ViewSearch
from tools.variants import BASE, Variant

GAIN = Gain(1.5, -0.25, 3.0)

METRICS = Metrics(40, 0.9, (0.8, 0.95), 1.0, (0.9, 1.0), 0.88, (0.7, 0.9), 0.89, (0.7, 0.95), 0.3, 0.05, (0.01, 0.1))


def test_ablation():
    found = [
        Difference(Variant(BASE, ()), 2, 0.9, 0.01, float("nan"), 3.21, 0.0, (0.0, 0.0)),
        Difference(Variant("without ema", ("training.ema_decay=null",)), 2, 0.89, 0.02, 0.5, 3.0, -0.01, (-0.02, 0.0)),
        Difference(Variant("sgd", ()), 1, 0.88, float("nan"), 0.5, 3.0, -0.02, (-0.03, 0.0)),
    ]
    assert markdown(found).splitlines()[2:] == [
        "| base | 90.00 | 1.00 |  |  |  | 3.2 | 2 |",
        "| without ema | 89.00 | 2.00 | -1.00 | -2.00 to +0.00 | 50.00 | 3.0 | 2 |",
        "| sgd | 88.00 |  | -2.00 | -3.00 to +0.00 | 50.00 | 3.0 | 1 |",
        "",
        "Intervals of fewer than 3 seeds cover other images, but not another training.",
    ]


def test_tune():
    def trial(number, state, top1=None, problem=""):
        words = (f"training.epochs={number}",)
        return Trial(number, state, words, top1, number, number, 0.51, problem, Path("t") / str(number))

    failed = trial(3, "failed", problem="No luck.")
    trials = [trial(7, "finished", 0.925), trial(5, "finished", 0.9), trial(6, "pruned", 0.95), failed]
    found = Search(tuple(trials), "python train.py a=b", 0.0125, Path("trials.csv"), None, "2 are too few", False)
    assert found.best == trials[0]
    assert tune.describe(found) == [
        "trial  top-1 %  best epoch  minutes  overrides",
        "    7    92.50           7      0.5  training.epochs=7",
        "    5    90.00           5      0.5  training.epochs=5",
        "trials      2 finished, 1 pruned, 1 failed; all in trials.csv",
        "importance  not drawn: 2 are too few",
        "failed      first trial 3: No luck.",
        "note: the validation images chose the best trial and its epoch, so its top-1 is optimistic; expect at least "
        "1.25 points less on new images.",
        f"Best model: {Path('t/7/checkpoints/best_model.pt')}",
        "The same again: python train.py a=b",
    ]
    none = Search((failed,), None, 0.0, Path("trials.csv"), Path("importance.png"), "", True)
    assert none.all_failed
    assert tune.describe(none) == [
        "trials      1 failed; all in trials.csv",
        "importance  importance.png",
        "failed      first trial 3: No luck.",
        "No trial has finished, so there is no best one.",
    ]


def test_audit():
    table = ImageTable(
        ["a.jpg", "b.jpg"], np.array([0, 1]), [ImageClass(0, "1", "rose"), ImageClass(1, "2", "lily")], Path()
    )
    pair = DuplicatePair(0, 1, "hash, 3 bits of 256")
    suspect = Suspect(1, 0, 0.125, 0.75, "the model is sure of another class")
    found = Audit(table, 2, [pair], [pair], 1, Path("data/duplicates.csv"), [suspect])
    assert audit.describe(found, Path("audit")) == [
        "images            2 in 2 classes, 2 readable",
        f"by embedding      1 further pairs, added to {Path('data/duplicates.csv')}",
        "near-duplicates   1 pairs, 1 of them with different labels",
        "  a.jpg (rose) = b.jpg (lily): hash, 3 bits of 256",
        f"doubtful labels   1, the most doubtful first in {Path('audit/label_errors.csv')}",
        "  b.jpg: lily (0.12), or rose (0.75)? the model is sure of another class",
    ]
    kept = Audit(table, 2, [], [], None, Path("d.csv"), [suspect], kept=3)
    assert audit.describe(kept, Path("audit"))[3] == "  3 others are left out: corrections.csv keeps their labels"
    # what was not looked for has no line
    assert len(audit.describe(Audit(table, 2, [], [], None, Path("d.csv"), None), Path("audit"))) == 2


def test_budget():
    limits = compose().competition
    slow = DeployedModel("model 1", (Path("a/best_model.pt"),), "torch", "fp32")
    fast = DeployedModel("model 1", (Path("m.xml"),), "openvino", "int8", ("device=cpu",))
    choices = [
        Choice(slow, ("identity",), 0.9, 40.0, 50.0, 80.0, allowed=True, fits=True),
        Choice(fast, ("identity", "hflip"), 0.9, 8.0, 9.0, 20.0, allowed=False, fits=True),
    ]
    found = Budget(choices, choices[1:], choices[0], choices[1], limits, "a CPU", 40, ["not measured without onnx"])
    lines = budget.describe(found)
    assert lines[0] == "note: not measured without onnx"
    assert " ".join(lines[3].split()) == "* model 1 openvino int8 identity+hflip 90.00 8.0 9.0 20.0 not for flower_2025"
    assert lines[4].startswith("  model 1 torch fp32 identity ")
    assert lines[5:] == [
        f"limits: p95 {limits.max_latency_ms:g} ms, {limits.max_model_mb:g} MB",
        "best for flower_2025: model 1 torch fp32 identity",
        "  python inference.py --checkpoint a/best_model.pt",
        "best with any runtime: model 1 openvino int8 identity+hflip",
        "  python inference.py --checkpoint m.xml --tta identity,hflip device=cpu",
    ]
    facts = json.loads(json.dumps(budget.as_json(found)))
    assert facts["notes"] == ["note: not measured without onnx"]
    assert [row["front"] for row in facts["choices"]] == [False, True]
    assert facts["best"]["command"] == "python inference.py --checkpoint a/best_model.pt"
    nothing = Budget(choices, choices[1:], None, None, limits, "a CPU", 40, [])
    assert budget.describe(nothing)[-1].startswith("Nothing fits flower_2025 here.")
    assert budget.as_json(nothing)["best"] is None


@pytest.mark.parametrize(
    ("precision", "tolerance", "last"),
    [
        ("fp16", 0.01, "tolerance   within 0.01 in probability (--tolerance)"),
        ("fp16", 0.001, "tolerance   more than 0.001 in probability (--tolerance)"),
        ("int8", 0.2, "tolerance   within 20 points of top-1 (--tolerance)"),
    ],
)
def test_export(precision, tolerance, last):
    comparison = Comparison(
        images=10,
        equal=9,
        equal_but_narrow=10,
        narrow=2,
        largest_difference=0.005,
        top1_before=0.9,
        top1_after=0.8,
        gain=Gain(-10, -30, 0),
    )
    assert export.describe(Export(comparison, precision, tolerance)) == [
        "labels      9 of 10 equal; without the 2 whose two best classes are within 0.001, 8 of 8",
        "difference  at most 5.0e-03 in probability",
        "top-1       90.00 % before, 80.00 % after: -10.00 points (95 %: -30.00 to +0.00)",
        last,
    ]


def test_oof():
    found = CrossValidation(2, ["tiny"], METRICS, [0.85, 0.95], 0.0707, 1.25, 0.28, 0.03, 1, 2, 42)
    lines = oof.describe(found)
    assert lines[:2] == [
        "images             40, each answered by the one of 2 models that never saw it",
        "top-1              90.00 %  (95 %: 80.00 to 95.00)",
    ]
    assert lines[7:9] == [
        "top-1 of the folds 85.00, 95.00 %, spread 7.07",
        "temperature        1.250: fitted on the other folds, the calibration error is 3.00 %, the loss 0.2800",
    ]
    assert lines[10:] == [
        "warning: 2 of 42 images were held back by none of these models.",
        "warning: 1 images could not be read.",
    ]


def test_probe():
    found = ProbeResult("resnet18", 224, 80, 4, 0.1, 20, "validation", 0.9, (0.7, 0.97), 1.0, 3)
    assert probe.describe(found) == [
        "warning: 3 images could not be read: left out.",
        "backbone  resnet18 at 224 px, frozen",
        "fitted    on 80 images, 4 classes; C=0.1 by cross-validation",
        "top-1     90.00 %  (95 %: 70.00 to 97.00) of 20 images (validation)",
        "top-5     100.00 %",
    ]


def test_soup():
    soups = [Soup("uniform", [0, 1], 0.9, GAIN), Soup("greedy", [1], 0.8, Gain(0, 0, 0))]
    found = SoupComparison(20, "val split", [Path("a.pt"), Path("b.pt")], [0.7, 0.8], soups)
    lines = [
        "20 images (val split)",
        "model 1     70.00 %  a.pt",
        "model 2     80.00 %  b.pt",
        "uniform     90.00 %  models 1, 2; +1.50 against the best (95 %: -0.25 to +3.00)",
        "greedy      80.00 %  models 2; +0.00 against the best (95 %: +0.00 to +0.00)",
    ]
    assert soup.describe(found) == lines
    # a refusal shows what was measured
    assert str(with_figures(RunError("Nothing was written.", found), soup.describe)).splitlines() == [
        "Nothing was written.",
        *lines,
    ]
    assert str(with_figures(RunError("Out of space."), soup.describe)) == "Out of space."


def test_input_sizes():
    found = SizeComparison(
        [SizeScore(224, 0.8, Gain(0, 0, 0)), SizeScore(256, 0.815, GAIN)], 224, 256, 20, "val", 0.004
    )
    assert describe_sizes(found) == [
        "size  top-1 %   gain  95 % interval",
        " 224    80.00  as trained",
        " 256    81.50  +1.50  -0.25 to +3.00",
        "best  256 px, of 20 images (val), which chose it: expect 0.40 points less on new ones",
    ]


@pytest.mark.parametrize(
    ("chosen", "too_slow", "last"),
    [
        (("identity", "hflip"), [], "--tta identity,hflip"),
        (("identity",), [("identity", "hflip")], "A view that helps takes more than 100 ms: leave --tta out."),
        (("identity",), [], "No view helps: leave --tta out."),
    ],
)
def test_view_search(chosen, too_slow, last):
    found = ViewSearch(
        images=20,
        source="val split",
        hardware="a CPU",
        plain_top1=0.8,
        plain_ms=10.0,
        views=[ViewGain("hflip", 0.85, 9.5)],
        chosen=chosen,
        top1=0.815,
        gain=GAIN,
        p95_ms=21.0,
        too_slow=too_slow,
        flattery=0.002,
    )
    lines = describe_view_search(found, compose().competition)
    assert lines[0] == "20 images (val split); latency on a CPU, of files of 600x600"
    assert lines[2].split() == ["(identity", "alone)", "80.00", "(10.0)"]
    assert lines[3].split() == ["hflip", "85.00", "+5.00", "9.5"]
    assert lines[4] == (
        "chosen      top-1 81.50 %, +1.50 points (95 %: -0.25 to +3.00) on the images that chose it, "
        "which flatters by about 0.20; p95 21.0 ms of 100 ms"
    )
    assert lines[5:] == [last]


def test_ensemble():
    fit = WeightFit(20, "val split", 0.5, 0.4, 0.8, 0.815, GAIN, [0.25, 0.75])
    assert describe_fit(fit) == [
        "fit         on 20 images (val split); figures on the fifth that each fit did not see",
        "log loss    equal 0.5000, fitted 0.4000",
        "top-1       equal 80.00 %, fitted 81.50 % (difference 95 %: -0.25 to +3.00)",
        "weights     0.250 0.750",
    ]
    assert describe_average(AveragedPredictions(9, 1, 2, True)) == ["images      9, 1 unreadable, mean of 2 files"]
    lines = describe_average(AveragedPredictions(9, 0, 2, False))
    assert lines[0] == "images      9, mean of 2 files"
    assert "no ZIP can repeat their mean" in lines[1]


def test_a_crop_that_loses_much_names_the_remedy():
    assert describe_crop({"mean": 0.25, "much": 0.03}) == (
        "centre crop          loses 25 % of the area on average; 3 % of the images lose more than 25 %"
    )
    assert "model.fit=stretch or pad" in describe_crop({"mean": 0.3, "much": 0.4})
