"""The tab Runs without a browser: the table, the curves, the keys that differ, pairs of runs, damage."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from common.csv_files import write_rows
from common.errors import InputError
from common.torch_files import sha256
from evaluation.evaluate import ANSWER_COLUMNS
from studio.context import Studio, open_studio
from studio.run_answers import RunAnswers, compare_pair, compare_pairs
from studio.run_list import find_runs, read_run
from studio.run_view import compared_html, differing_keys, list_runs, run_rows
from tests.studio.conftest import evaluated_runs
from tools.instant import instant

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory) -> Path:
    """A folder with three runs: two finished ones, of which one is evaluated, and an archived copy; read only."""
    root = tmp_path_factory.mktemp("runs") / "results"
    evaluated_runs(root, pictures, ("first", "花 <b>"))
    shutil.copytree(root / "first", root / "first" / "archive" / "2026-01-01_00-00-00")
    return root


@pytest.fixture
def runs(trained, tmp_path) -> Path:
    """A copy of the runs, to be damaged."""
    return shutil.copytree(trained, tmp_path / "results")


def page(runs: Path, language: str = "en") -> Studio:
    return open_studio(None, None, language, runs / "studio", [], runs=runs)


def test_every_folder_with_a_run_is_found_by_its_path(trained):
    found, problems = find_runs(trained)
    assert list(found) == ["first", "first/archive/2026-01-01_00-00-00", "花 <b>"]
    assert problems == []
    assert list(find_runs(trained, skip=trained / "first")[0]) == ["花 <b>"]
    assert list(find_runs(trained / "first")[0]) == ["first", "archive/2026-01-01_00-00-00"]
    assert find_runs(trained / "nothing")[0] == {}


def test_the_table_says_what_the_run_recorded(trained):
    listed, problems = list_runs(page(trained))
    rows = {row[0]: row for row in run_rows(listed, page(trained).say)}
    assert problems == []
    assert len(rows) == 3
    run = read_run("first", trained / "first")
    assert run.checkpoint is not None
    assert run.checkpoint.state_dict == {}
    top1 = [row["val_top1"] for row in run.history if row["val_top1"] is not None]
    assert rows["first"][2:5] == ["test_efficientnet", 32, "2 / 2"]
    assert rows["first"][6] == round(100 * max(top1), 2)
    assert rows["first"][5] == round(100 * run.checkpoint.metrics["val_top1_corrected"], 2)
    assert rows["first"][8] == "finished"


def test_a_model_without_training_is_finished_and_has_no_epochs(tiny, tmp_path):
    instant(tiny("dataset.val_split=0.25"), ["pooled"])
    listed, problems = list_runs(page(tmp_path))
    assert problems == []
    (row,) = run_rows(listed, page(tmp_path).say)
    assert row[4] == "–"
    assert row[8] == "finished"


def test_a_run_that_has_just_begun_or_goes_on_is_unfinished(runs):
    shutil.rmtree(runs / "first" / "checkpoints")
    history = runs / "first" / "history.csv"
    history.write_text("".join(history.read_text(encoding="utf-8").splitlines(True)[:2]), encoding="utf-8")
    begun = read_run("first", runs / "first")
    assert begun.finished is False
    assert begun.corrected_top1 is None
    assert begun.measured_top1 == begun.history[0]["val_top1"]
    history.unlink()
    assert run_rows([read_run("first", runs / "first")], page(runs).say)[0][4:8] == ["0 / 2", None, None, "–"]


def test_early_stopping_ends_a_run(runs):
    config = runs / "first" / "config.yaml"
    text = re.sub(r"(?m)^  epochs: .*", "  epochs: 50", config.read_text(encoding="utf-8"))
    for patience, finished in ((1, True), (2, False)):
        config.write_text(re.sub(r"patience: .*", f"patience: {patience}", text), encoding="utf-8")
        rows = [("1", "2", "2", "0.5", "1"), ("2", "2", "2", "0.5", "1")]
        write_rows(runs / "first" / "history.csv", ("epoch", "train_loss", "val_loss", "val_top1", "seconds"), rows)
        run = read_run("first", runs / "first")
        assert run.finished is finished
        assert run.minutes == (2 / 60, False)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.yaml", b"a: [1"),
        ("config.yaml", b"- 1\n"),
        ("config.yaml", b"\xff\xfe"),
        ("history.csv", b"epoch,train_loss,val_loss,val_top1,seconds\n1,2\n"),
        ("history.csv", b"epoch,train_loss,val_loss,val_top1,seconds\n1,x,2,0.5,1\n"),
        ("history.csv", b""),
        ("checkpoints/best_model.pt", b"PK half a file"),
    ],
)
def test_damage_is_one_sentence_and_the_rest_is_shown(runs, file, content):
    (runs / "first" / file).write_bytes(content)
    studio = page(runs)
    listed, problems = list_runs(studio)
    assert len(listed) == 3
    assert len(problems) == 1
    assert problems[0].startswith("first: ")
    assert Path(file).name in problems[0]
    assert next(row for row in run_rows(listed, studio.say) if row[0] == "first")[8] == "damaged, see below"
    assert "kit-curve" in compared_html(studio, ["first", "花 <b>"])


def test_chosen_runs_are_compared(trained):
    shown = compared_html(page(trained), ["first", "花 <b>", "../outside"])
    assert shown.count("data:image/svg+xml") == 3
    assert "<b>first" not in shown
    assert "花 &lt;b&gt;" in shown
    assert "<td>training.learning_rate</td><td>0.01</td><td>0.02</td>" in shown
    assert "training.epochs" not in shown
    assert "first + 花" in shown
    assert "outside" not in shown


def test_one_run_has_curves_and_no_comparison(trained):
    shown = compared_html(page(trained), ["first"])
    assert shown.count("data:image/svg+xml") == 3
    assert shown.count("Choose at least two runs.") == 2
    assert "Choose runs" in compared_html(page(trained), [])


def test_missing_answers_are_told_with_the_command_that_writes_them(runs):
    shutil.rmtree(runs / "first" / "evaluation")
    shown = compared_html(page(runs), ["first", "花 <b>"])
    root = runs / "first"
    command = f"python evaluate.py --checkpoint {root / 'checkpoints' / 'best_model.pt'} --output-dir {root}"
    assert command in shown
    assert "Both wrong" not in shown


def test_answers_of_another_model_do_not_count(runs):
    shutil.copy(runs / "花 <b>" / "checkpoints" / "best_model.pt", runs / "first" / "checkpoints" / "best_model.pt")
    assert "first: no answers of its model" in compared_html(page(runs), ["first", "花 <b>"])
    metrics = runs / "花 <b>" / "evaluation" / "metrics.json"
    metrics.write_text("{", encoding="utf-8")
    assert "metrics.json: damaged" in compared_html(page(runs), ["first", "花 <b>"])


def test_answers_without_a_class_of_the_model_are_one_sentence(runs):
    write_rows(runs / "first" / "evaluation" / "answers.csv", ANSWER_COLUMNS, [("a.png", "0", "99", "1")])
    assert "answers.csv: not the answers of" in compared_html(page(runs), ["first", "花 <b>"])


def test_the_pair_has_the_figures_of_evaluate(trained):
    studio = page(trained)
    shown = compared_html(studio, ["first", "花 <b>"])
    for name in ("first", "花 <b>"):
        folder = trained / name
        metrics = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
        assert f"{100 * metrics['top1']:.1f} %" in shown
        assert metrics["checkpoints"][0]["sha256"] == sha256(folder / "checkpoints" / "best_model.pt")
    with (trained / "first" / "evaluation" / "answers.csv").open(encoding="utf-8", newline="") as file:
        assert f"<td>{len(list(csv.DictReader(file)))}</td>" in shown


def answers_of(name: str, answered: str, true: str = "aabb", trained_on: str = "", folder: str = "d") -> RunAnswers:
    """Answers to images 0, 1, ...; one letter for each."""
    pairs = zip(true, answered, strict=True)
    return RunAnswers(name, {str(k): pair for k, pair in enumerate(pairs)}, folder, set(trained_on))


def test_figures_of_a_pair_are_those_counted_by_hand():
    pair = compare_pair(answers_of("one", "aaca"), answers_of("two", "acba"))
    assert pair is not None
    assert (pair.images, pair.disagreement, pair.both_wrong) == (4, 0.5, 0.25)
    assert (pair.first_top1, pair.second_top1, pair.either_right, pair.room) == (0.5, 0.5, 0.75, 0.25)
    assert pair.interval[0] < 0.75 < pair.interval[1]


def test_images_that_one_was_trained_on_do_not_count():
    first, second = answers_of("one", "aaca", trained_on="0"), answers_of("two", "acba", trained_on="12")
    pair = compare_pair(first, second)
    assert pair is not None
    assert pair.images == 1
    assert compare_pair(first, answers_of("two", "acba", trained_on="123")) is None


def test_other_folders_and_other_labels_are_refused():
    with pytest.raises(InputError, match="images of different folders: d and e"):
        compare_pair(answers_of("one", "aabb"), answers_of("two", "aabb", folder="e"))
    with pytest.raises(InputError, match="different labels of 1 images, first 1"):
        compare_pair(answers_of("one", "aabb"), answers_of("two", "aabb", true="acbb"))


def test_pairs_with_the_most_room_come_first():
    runs = [answers_of("one", "aaca"), answers_of("two", "aaca"), answers_of("three", "ccbb")]
    pairs, apart, problems = compare_pairs([*runs, answers_of("four", "aabb", trained_on="0123")])
    assert [(pair.first, pair.second) for pair in pairs][2:] == [("one", "two")]
    assert [pair.room for pair in pairs] == [0.5, 0.5, 0.0]
    assert apart == [("one", "four"), ("two", "four"), ("three", "four")]
    assert problems == []


def test_only_keys_that_differ_are_shown():
    configs = [{"a": 1, "b": [1, 2], "output_dir": "x"}, {"a": 1, "b": [1], "output_dir": "y", "c": None}]
    assert differing_keys(configs) == [("b", "[1, 2]", "[1]"), ("c", "–", "null")]


def test_the_chinese_tab_speaks_chinese(trained):
    studio = page(trained, "zh")
    shown = compared_html(studio, ["first", "花 <b>"])
    for text in ("验证损失", "不同的参数", "可集成的组合", "两者都错"):
        assert text in shown
    assert run_rows(list_runs(studio)[0], studio.say)[0][8] == "已完成"
