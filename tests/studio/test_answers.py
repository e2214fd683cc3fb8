"""The tab Try without a browser: answers, examples, untidy files."""

import csv
import re

import cv2
import numpy as np
import pytest

from studio.answers import answer_files, answer_photograph, write_answers
from studio.try_view import example_sources, file_rows, photograph_html
from tests.conftest import stripes, write_picture

pytestmark = pytest.mark.integration


def test_an_answer_has_calibrated_bars_a_heat_map_views_and_milliseconds(studio, pictures):
    path = sorted((pictures / "train").iterdir())[0]
    answer = answer_photograph(studio.pipeline, studio.model, path)
    shares = [share for _, share in answer.best]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert answer.views[0][1:] == pytest.approx(answer.best[0])
    assert len(answer.views) == 7
    assert 0 < answer.milliseconds < 60_000
    assert answer.limit_ms == 100
    assert answer.heat is not None
    assert answer.heat.shape == answer.picture.shape == (32, 32, 3)


def test_each_class_has_an_example_of_its_own(studio):
    labels = [found.label for found in studio.pipeline.classes]
    sources = example_sources(studio, studio.pipeline, labels)
    assert all(str(source).startswith("data:image/jpeg;base64,") for source in sources.values())
    assert len(set(sources.values())) == len(labels)


def untidy(kind: str, path):
    if kind == "four channels":
        cv2.imwrite(str(path), np.dstack([stripes(1, 3), np.full((40, 48), 90, np.uint8)]))
    elif kind == "huge":
        cv2.imwrite(str(path), np.zeros((6000, 7000), np.uint8))
    elif kind == "claims to be huge":
        content = bytearray(cv2.imencode(".png", stripes(0, 0))[1].tobytes())
        content[16:24] = (100_000).to_bytes(4, "big") * 2
        path.write_bytes(content)
    elif kind == "text":
        path.write_text("no picture", encoding="utf-8")
    else:
        path.touch()


@pytest.mark.parametrize("kind", ["four channels", "huge", "claims to be huge", "text", "empty"])
def test_an_untidy_file_is_answered_or_one_sentence(studio, tmp_path, kind):
    path = tmp_path / "<b>&.png"
    untidy(kind, path)
    shown = photograph_html(studio, studio.pipeline, str(path))
    if kind in ("four channels", "huge"):
        assert shown.count("kit-bar") == 4
    else:
        assert re.fullmatch(r'<p class="kit-problem">&lt;b&gt;&amp;\.png: this image cannot be read: .+\.</p>', shown)
    assert "<b>&" not in shown


def test_a_folder_is_a_table_and_a_csv(studio, test_folder, tmp_path):
    paths = [test_folder / name for name in ("img_0.png", "broken.jpg", "花.png", "notes.txt")]
    answers = answer_files(studio.pipeline, paths)
    rows = file_rows(studio, answers)
    assert [row[0] for row in rows] == [path.name for path in paths]
    assert rows[0][1:] == rows[2][1:]
    assert "cannot be read" in rows[1][1]
    assert "cannot be read" in rows[3][1]
    write_answers(tmp_path / "p.csv", answers)
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["image_id"] for row in written] == [path.name for path in paths]
    assert written[0]["name"].startswith("花")
    assert written[1]["name"] == ""
    assert written[1]["problem"]


def test_two_files_of_one_name_have_a_row_each(studio, tmp_path):
    for label, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        write_picture(tmp_path / folder / "x.png", stripes(label, 7))
    answers = answer_files(studio.pipeline, [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"])
    assert [answer.name for answer in answers] == ["x.png", "x.png"]
