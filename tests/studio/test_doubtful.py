"""The tab for doubtful labels without a browser: which image comes next, what is written, what is taken back."""

import dataclasses

import pytest

from common.csv_files import write_rows
from data.corrections import DROP, KEEP, RELABEL, Decision, append_decisions, read_decisions
from studio.context import open_studio
from studio.decisions import decide, take_back
from studio.doubtful import Doubt, examples, next_doubt, read_doubts
from studio.doubtful_view import Visit, after_skip, view
from tests.conftest import write_pictures
from tools.label_errors import LABEL_ERROR_COLUMNS, SAME_PICTURE, SURE_OF_ANOTHER


def doubt(name: str) -> Doubt:
    return Doubt(name, name, 0, 1, 0.1, 0.8, SURE_OF_ANOTHER)


def test_skipped_images_come_after_all_others_in_the_order_of_skipping():
    doubts, visit = [doubt(name) for name in "abc"], Visit()
    seen = []
    for name in ("a", "b", "c", "a"):
        visit = after_skip(visit, name)
        found = next_doubt(doubts, (), visit.skipped)
        seen.append(found and found.image_id)
    assert seen == ["b", "c", "a", "b"]
    assert next_doubt(doubts, ("b", "c"), visit.skipped) == doubts[0]
    assert next_doubt(doubts, ("a", "b", "c"), visit.skipped) is None


ROWS = [
    ("0000.png", 0, "花 0", 1, "花 1", "0.0210", "0.9000", SURE_OF_ANOTHER),
    ("0001.png", 1, "花 1", 2, "花 2", "0.0500", "0.8000", SAME_PICTURE),
    ("0003.png", 0, "花 0", 2, "花 2", "0.1000", "0.7000", SURE_OF_ANOTHER),
]


@pytest.fixture
def page(tmp_path):
    root = tmp_path / "set"
    write_pictures(root, [3, 3, 3])
    found = open_studio(None, root, "en", tmp_path / "s", [], tmp_path / "audit")
    write_rows(found.audit / "label_errors.csv", LABEL_ERROR_COLUMNS, ROWS)
    return found


@pytest.mark.integration
def test_a_doubt_is_shown_with_its_photograph_probabilities_and_examples_of_both_classes(page):
    seen = view(page, page.table, page.labels, Visit())
    assert seen.doubt is not None
    assert seen.doubt.image_id == "0000.png"
    for text in ("Given: 花 0, 2.1 %", "Suggested: 花 1, 90.0 %", "0000.png: the model is sure of another class"):
        assert text in seen.content
    # the photograph, and of both classes those that nobody doubts
    assert seen.content.count("<img") == 1 + 1 + 2
    assert "0 of 3 decided" in seen.progress
    second = view(page, page.table, page.labels, Visit(("0000.png",)))
    assert second.doubt is not None
    assert second.doubt.image_id == "0001.png"
    assert "the same picture has another label" in second.content
    assert "Skipped: 1." in second.progress


@pytest.mark.integration
def test_decisions_of_all_people_count_and_each_takes_back_only_their_own(page):
    told, own = decide(page, Decision("0000.png", RELABEL, 1), ())
    assert "0000.png: the label is now 花 1." in told
    # somebody else, by flower_cli.py correct
    append_decisions(page.labels, [Decision("0001.png", DROP), Decision("0004.png", KEEP)])
    seen = view(page, page.table, page.labels, Visit(own=own))
    assert seen.doubt is not None
    assert seen.doubt.image_id == "0003.png"
    assert "2 of 3 decided" in seen.progress
    told, same = decide(page, Decision("0001.png", KEEP), own)
    assert "Decided already, nothing is written. 0001.png: no table uses it any more." in told
    assert same == own
    told, left, image_id = take_back(page, own)
    assert (left, image_id) == ((), "0000.png")
    assert [it.image_id for it in read_decisions(page.labels)] == ["0001.png", "0004.png"]
    assert "This window has no decision to take back." in take_back(page, left)[0]
    assert "is not in corrections.csv any more" in take_back(page, own)[0]
    again = view(page, page.table, page.labels, Visit(), image_id)
    assert again.doubt is not None
    assert again.doubt.image_id == "0000.png"


@pytest.mark.integration
def test_when_all_are_decided_the_page_says_what_applies_them(page):
    append_decisions(page.labels, [Decision(row[0], KEEP) for row in ROWS])
    seen = view(page, page.table, page.labels, Visit())
    assert seen.doubt is None
    assert "3 of 3 decided" in seen.progress
    assert "Training, evaluation and the audit apply corrections.csv" in seen.content


@pytest.mark.integration
def test_rows_of_other_data_are_counted_and_not_shown(page):
    other = ("none.png", 0, "花 0", 1, "花 1", "0.1", "0.8", SURE_OF_ANOTHER)
    renumbered = ("0004.png", 1, "花 7", 2, "花 2", "0.1", "0.8", SURE_OF_ANOTHER)
    write_rows(page.audit / "label_errors.csv", LABEL_ERROR_COLUMNS, [other, renumbered, ROWS[2]])
    found = read_doubts(page.audit, page.labels)
    assert found is not None
    assert ([it.image_id for it in found[0]], found[1]) == (["0003.png"], 2)
    assert "of other data and not shown: 2." in view(page, page.table, page.labels, Visit()).progress


@pytest.mark.integration
def test_without_a_list_the_page_gives_the_command_and_an_empty_or_damaged_list_is_said(page, tmp_path):
    path = page.audit / "label_errors.csv"
    write_rows(path, LABEL_ERROR_COLUMNS, [])
    assert "found no doubtful label" in view(page, page.table, page.labels, Visit()).content
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    assert "kit-problem" in view(page, page.table, page.labels, Visit()).content
    path.unlink()
    spaced = dataclasses.replace(page, audit=tmp_path / "my audit")
    content = view(spaced, page.table, page.labels, Visit()).content
    assert f"--output &quot;{spaced.audit}&quot;" in content
    assert "flower_cli.py audit --label-errors model=efficientnet_lite0" in content
    assert f"dataset.root={page.data}" in content


@pytest.mark.integration
def test_examples_are_of_the_class_and_not_doubtful(page):
    assert examples(page.table, 0, {"0000.png"}, 5) == ["0003.png", "0006.png"]
    assert examples(page.table, 0, set(), 1) == ["0000.png"]
