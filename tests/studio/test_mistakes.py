"""The tab for mistakes without a browser: whose answers they are, their order, what is shown of one."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import studio.mistakes_view as module
from common.progress import watched
from data.corrections import DROP, Decision, append_decisions
from data.table import ImageTable, write_table
from evaluation.evaluate import evaluate
from prediction.pipeline import Pipeline
from studio.context import open_studio
from studio.mistakes import (
    Mistake,
    ask,
    find_mistakes,
    kept_answers,
    of_class,
    of_pair,
    pairs_of,
    validation_names,
)
from studio.mistakes_view import mistake_html, summary_html

A, B, C = Mistake("a", 0, 1, 0.6), Mistake("b", 0, 1, 0.9), Mistake("c", 2, 0, 0.95)


def test_the_most_frequent_pair_is_first_and_in_it_the_most_confident_mistake():
    groups = pairs_of([A, C, B])
    assert list(groups.items()) == [((0, 1), [B, A]), ((2, 0), [C])]


def test_a_class_is_looked_for_among_labels_and_answers():
    assert of_class([A, B, C], 2) == [C]
    assert of_class([A, B, C], 0) == of_class([A, B, C], -1) == [A, B, C]
    assert of_pair([A, B, C], (2, 0)) == [C]
    assert of_pair([A, B, C], ()) == [A, B, C]


@pytest.fixture
def wrong(checkpoint, pictures, tmp_path):
    """A page of pictures of which three validation labels are wrong by the model's own answers, and these labels."""
    root, run = tmp_path / "set", tmp_path / "run"
    shutil.copytree(pictures, root)
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(checkpoint, run / "checkpoints")
    model = run / "checkpoints" / "best_model.pt"
    page = open_studio(model, root, "en", tmp_path / "s", ["device=cpu"])
    assert isinstance(page.table, ImageTable)
    assert isinstance(page.pipeline, Pipeline)
    names = validation_names(page.pipeline, page.table)
    answers = ask(page.pipeline, page.table, names)
    labels = {name: label for name, (label, _) in answers.items()}
    given = {name: (label + 1) % 4 if name in names[:3] else label for name, label in labels.items()}
    rows = zip(page.table.image_ids, page.table.labels.tolist(), strict=True)
    known = {**dict(rows), **given}
    write_table(root / "train.csv", list(known), list(known.values()))
    return SimpleNamespace(
        page=open_studio(model, root, "en", tmp_path / "s", ["device=cpu"]), names=names, answers=answers, labels=labels
    )


@pytest.mark.integration
def test_the_mistakes_are_the_answers_that_differ_from_the_labels(wrong):
    found = find_mistakes(wrong.page.pipeline, wrong.page.table, wrong.answers)
    assert sorted(it.name for it in found.found) == sorted(wrong.names[:3])
    assert all((it.label - it.predicted) % 4 == 1 for it in found.found)
    assert found.images == len(wrong.names)
    assert f"3 of {len(wrong.names)} validation photographs" in summary_html(wrong.page, found)
    assert "Further" not in summary_html(wrong.page, found)


@pytest.mark.integration
def test_a_dropped_photograph_is_not_judged_and_counted(wrong, tmp_path):
    append_decisions(wrong.page.labels, [Decision(wrong.names[0], DROP)])
    again = open_studio(wrong.page.pipeline.members[0].path, wrong.page.data, "en", tmp_path / "s", ["device=cpu"])
    assert again.pipeline is not None
    assert again.table is not None
    found = find_mistakes(again.pipeline, again.table, wrong.answers)
    assert len(found.found) == 2
    assert "Further validation photographs: 1. They are dropped" in summary_html(again, found)


@pytest.mark.integration
def test_answers_that_evaluate_kept_are_used_if_they_are_of_this_model(wrong, other, tmp_path):
    pipeline = wrong.page.pipeline
    assert kept_answers(pipeline) is None
    folder = pipeline.members[0].path.parent.parent / "evaluation"
    evaluate(pipeline, output_dir=folder)
    kept = kept_answers(pipeline)
    assert kept is not None
    assert {name: label for name, (label, _) in kept.items()} == wrong.labels
    evaluate(pipeline, "train", output_dir=folder)
    assert kept_answers(pipeline) is None
    evaluate(pipeline, output_dir=folder)
    shutil.copy(other, pipeline.members[0].path)
    later = open_studio(pipeline.members[0].path, wrong.page.data, "en", tmp_path / "s", ["device=cpu"])
    assert later.pipeline is not None
    assert kept_answers(later.pipeline) is None
    (folder / "metrics.json").write_text("[]", encoding="utf-8")
    assert kept_answers(pipeline) is None


@pytest.mark.integration
def test_asking_the_model_tells_how_far_it_is(wrong):
    told = []
    with watched(lambda done, total: told.append((done, total))):
        ask(wrong.page.pipeline, wrong.page.table, wrong.names)
    assert told[-1] == (len(wrong.names), len(wrong.names))


@pytest.mark.integration
def test_a_mistake_shows_where_the_model_looks_and_its_heat_map_is_made_once(wrong, monkeypatch):
    page, made = wrong.page, []
    draw = module.heat_picture

    def count(*arguments):
        made.append(arguments)
        return draw(*arguments)

    monkeypatch.setattr(module, "heat_picture", count)
    (first, *_) = find_mistakes(page.pipeline, page.table, wrong.answers).found
    shown = [mistake_html(page, page.pipeline, page.table, first) for _ in range(2)]
    assert len(made) == 1
    assert shown[0] == shown[1]
    assert f"Label: 花 {first.label}. Answer: 花 {first.predicted}, {100 * first.confidence:.1f} %" in shown[0]
    # the square, the heat map, three examples of each class
    assert shown[0].count("<img") == 2 + 6
    assert made[0][3] == first.predicted
    assert np.shape(made[0][2]) == (32, 32, 3)
    append_decisions(page.labels, [Decision(first.name, DROP)])
    assert "no table uses it any more" in mistake_html(page, page.pipeline, page.table, first)
