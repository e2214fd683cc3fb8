"""What docs/PYTHON.md promises of arguments: paths may be text, a wrong argument is one sentence."""

import dataclasses
import importlib
import inspect
import re
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.flower_cli import COMMANDS
from common.errors import InputError
from competition.csv_rules import check_csv
from competition.profile import read_profile
from competition.proof import prove
from competition.report.write import write_report
from competition.submission import prepare_submission
from competition.zip_rules import inspect_zip
from configs.compose import compose
from data.prepare import Request
from evaluation.evaluate import evaluate
from prediction.latency import benchmark
from prediction.options import PredictionOptions
from prediction.output_files import OutputFiles
from prediction.pipeline import load_pipeline
from prediction.predict import predict, predict_to_files
from tests.helpers import REPOSITORY, working_directory
from tools.cross_validation import join_folds
from tools.ensemble import average_saved, fit_checkpoints, read_members
from tools.export import export
from tools.input_size import compare_sizes
from tools.latency_budget import find_best
from tools.tta_search import search_views

pytestmark = pytest.mark.integration

# command: (function, what it returns)
FUNCTIONS = {
    command: (function, returned)
    for command, function, returned in re.findall(
        r"^\| `(.+?\.py.*?)` \| `([\w.]+)`.*? \| (.+?) \|$",
        (REPOSITORY / "docs" / "PYTHON.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
}


def unchecked(value: Any) -> Any:
    """Return a value that the declared types refuse."""
    return value


def function_of(name: str):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.fixture
def pipeline(checkpoint):
    return load_pipeline(str(checkpoint), PredictionOptions(), ["device=cpu", "dataset.num_workers=0"])


def test_the_page_names_the_function_of_every_command():
    commands = {command.split()[1] for command in FUNCTIONS if command.startswith("flower_cli.py")}
    assert commands == {name.replace("_", "-") for name in COMMANDS}


@pytest.mark.parametrize("command", FUNCTIONS)
def test_a_function_of_the_page_returns_what_it_says(command):
    name, returned = FUNCTIONS[command]
    declared = typing.get_type_hints(function_of(name))["return"]
    for word in re.findall(r"`([A-Z]\w+)`", returned):
        found = (typing.get_args(declared) or (declared,))[0]
        assert found.__name__ == word
        assert dataclasses.is_dataclass(found)
        assert typing.get_origin(declared) is (list if returned.startswith("a list of") else None)


@pytest.mark.parametrize(
    "function",
    [function_of(name) for name, _ in FUNCTIONS.values()]
    + [load_pipeline, predict, predict_to_files, benchmark, evaluate],
    ids=lambda function: function.__name__,
)
def test_a_path_may_be_unchecked(function):
    for parameter in inspect.signature(function).parameters.values():
        declared = str(parameter.annotation)
        assert ("Path" in declared) == ("str | pathlib" in declared or "str | Path" in declared), parameter.name


def test_dataclasses_take_paths_as_unchecked():
    output = OutputFiles(unchecked("p.csv"), probabilities=unchecked("p.npz"))
    assert (output.predictions, output.probabilities) == (Path("p.csv"), Path("p.npz"))
    request = Request(unchecked("source"), unchecked("output"), unchecked("labels.csv"))
    assert (request.source, request.output, request.labels) == (Path("source"), Path("output"), Path("labels.csv"))


def test_paths_as_text_are_read_and_written(pipeline, checkpoint, pictures, test_folder, tmp_path):
    with working_directory(tmp_path):
        output = OutputFiles(unchecked("p.csv"), probabilities=unchecked("p.npz"))
        assert len(predict_to_files(pipeline, str(test_folder), output).files) == 3
        members = read_members(["p.npz", "p.npz"])
        assert average_saved(members, ["p.npz", "p.npz"], None, "mean.csv", "kit").members == 2
        exported = export(str(checkpoint), "torch", "fp16", "half.pt", str(pictures))
        assert exported.files == [Path("half.pt")]
        assert compare_sizes(pipeline, [32], data=str(pictures), keep="kept.pt").best == 32
        assert evaluate(pipeline, data=str(pictures), output_dir="out").files == Path("out")
    assert {path.name for path in tmp_path.iterdir()} == {
        *("p.csv", "p.json", "p.npz", "mean.csv", "mean.json", "half.pt", "kept.pt", "out")
    }


# what is wrong, a part of the sentence
OPTIONS = {
    "view": ({"views": ("hflop",)}, "no view 'hflop'. Did you mean 'hflip'?"),
    "view of another type": ({"views": (1,)}, "no view 1."),
    "no view": ({"views": ()}, "no view is named"),
    "empty text of views": ({"views": ""}, "no view ''"),
    "view twice": ({"views": ("hflip", "hflip")}, "a view stands in it twice"),
    "view in a set": ({"views": ("flips", "hflip")}, "a view stands in it twice"),
    "average": ({"average": "median"}, "average 'median': Choose from probabilities, logits."),
    "runtime": ({"runtime": "tensorrt"}, "runtime 'tensorrt': Choose from torch, onnx, openvino"),
    "precision": ({"precision": "int8"}, "precision 'int8': Choose from fp32, fp16, bf16."),
    "one weight": ({"weights": 2}, "expected a list of one number for each, not 2"),
    "weights as text": ({"weights": "2"}, "expected a list of one number for each, not '2'"),
    "a weight as text": ({"weights": ["1"]}, "expected a list of one number for each, not ['1']"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_that_is_not_known_is_one_sentence(checkpoint, case):
    wrong, message = OPTIONS[case]
    with pytest.raises(InputError) as error:
        load_pipeline(checkpoint, PredictionOptions(**wrong))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        ("hflip", ("hflip",)),
        ("identity, hflip", ("identity", "hflip")),
        (["flips"], ("identity", "hflip", "vflip", "hvflip")),
        ("flips", ("identity", "hflip", "vflip", "hvflip")),
    ],
)
def test_views_are_named_alone_or_in_sets(checkpoint, views, expected):
    found = load_pipeline(checkpoint, PredictionOptions(views=views), ["device=cpu"])
    assert found.views == expected
    assert found.members[0].model.views == expected


def test_weights_may_be_an_array(checkpoint):
    options = PredictionOptions(weights=unchecked(np.array([1, 3], np.float32)))
    found = load_pipeline([checkpoint] * 2, options, ["device=cpu"])
    assert [member.weight for member in found.members] == [0.25, 0.75]


ARGUMENTS = {
    "predict, no images": (lambda p: predict(p, []), "The list of images is empty"),
    "predict, empty text": (lambda p: predict(p, ""), "An empty text is no path"),
    "predict, an empty text among others": (lambda p: predict(p, ["a.png", ""]), "An empty text is no path"),
    "predict, a number": (lambda p: predict(p, unchecked(3)), "3: expected a path or a list of images"),
    "predict to files, no images": (lambda p: predict_to_files(p, [], OutputFiles(Path("p.csv"))), "images is empty"),
    "predict to files, form": (
        lambda p: predict_to_files(p, "images", OutputFiles(Path("p.csv"), "offical")),
        "format 'offical': Did you mean 'official'? Choose from kit, official, class, kaggle.",
    ),
    "predict to files, top-k": (
        lambda p: predict_to_files(p, "images", OutputFiles(Path("p.csv"), top_k=unchecked(2.5))),
        "top-k 2.5: expected 1 to 4",
    ),
    "predict to files, below a file": (
        lambda p: predict_to_files(p, "images", OutputFiles(Path("file/o.csv"))),
        "is a file, so nothing can lie below it",
    ),
    "output, empty": (lambda p: OutputFiles(unchecked("")), "An empty text is no path"),
    "benchmark, no images": (lambda p: benchmark(p, []), "The list of images is empty"),
    "load, none": (lambda p: load_pipeline([]), "The list of checkpoints is empty"),
    "load, empty": (lambda p: load_pipeline(""), "An empty text is no path"),
    "load, overrides as text": (
        lambda p: load_pipeline(p.members[0].path, overrides="device=cpu"),
        "overrides are a list of texts",
    ),
    "compose, text": (lambda p: compose(overrides="training.epochs=1"), "overrides are a list of texts, such as"),
    "profile, text": (
        lambda p: read_profile("kaggle", "competition.max_latency_ms=5"),
        "overrides are a list of texts",
    ),
    "export, text": (lambda p: export("a.pt", "torch", "fp16", "b.pt", overrides="device=cpu"), "overrides are a list"),
    "evaluate, split": (lambda p: evaluate(p, "vall"), "split 'vall': Did you mean 'val'? Choose from val, test"),
    "evaluate, both": (lambda p: evaluate(p, "test", data="images"), "Give one of them."),
    "sizes, split": (lambda p: compare_sizes(p, [32], "vall"), "split 'vall': Did you mean 'val'?"),
    "sizes, both": (lambda p: compare_sizes(p, [32], "val", "images"), "Give one of them."),
    "search, both": (lambda p: search_views(p, "val", "images"), "Give one of them."),
    "fit, data": (lambda p: fit_checkpoints(p, ""), "An empty text is no path"),
    "budget, views": (
        lambda p: find_best("a.pt", p.config.competition, [("hflop",)], None, "out"),
        "no view 'hflop'. Did you mean 'hflip'?",
    ),
    "folds, folder": (lambda p: join_folds("", "flips", "out"), "An empty text is no path"),
    "report, language": (lambda p: write_report("run", "out", "fr", []), "language 'fr': Choose from en, zh."),
    "average, form": (
        lambda p: average_saved(unchecked(None), ["a.npz"], None, "p.csv", "xx"),
        "format 'xx': Choose from kit, official",
    ),
    "submission, suffix": (
        lambda p: prepare_submission(p, "p.csv", "images", "out.txt", p.config.competition),
        "out.txt: name a file that ends in .zip.",
    ),
    "ZIP, missing": (lambda p: inspect_zip("no.zip", p.config.competition, None), "no.zip: no such ZIP"),
    "proof, missing": (lambda p: prove("no.zip", p.config.competition, None, None), "no.zip: no such ZIP"),
    "CSV, empty": (lambda p: check_csv("", ["id"], None, None), "An empty text is no path"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_an_argument_that_is_wrong_is_one_sentence(pipeline, tmp_path, case):
    call, message = ARGUMENTS[case]
    (tmp_path / "images").mkdir()
    (tmp_path / "file").touch()
    with working_directory(tmp_path), pytest.raises(InputError) as error:
        call(pipeline)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "images"]
