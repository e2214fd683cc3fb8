"""The tab Data without a browser: only what is shown is decoded."""

import json
import shutil

import numpy as np
import pytest

import studio.thumbnails as module
from common.classes import ImageClass
from data.prepare import Request, prepare_data
from data.table import ImageTable
from studio.context import open_studio
from studio.data_facts import duplicate_pairs, page_of, read_summary, summary_rows
from studio.data_view import CLASSES_PER_PAGE, pairs_html, photographs_html, summary_html
from studio.texts import texts_in
from tests.conftest import stripes, write_picture, write_pictures

pytestmark = pytest.mark.integration


@pytest.fixture
def decoded(monkeypatch) -> list:
    """The files that were decoded for thumbnails."""
    names, read = [], module.read_image

    def count(path, reduction=None):
        names.append(path.name)
        return read(path, reduction)

    monkeypatch.setattr(module, "read_image", count)
    return names


def large_table(folder, images: int, classes: int) -> ImageTable:
    """A table of many rows whose files are few: the rows of a class share their first file."""
    ids = [f"{row % classes}/{row}.png" for row in range(images)]
    for label in range(classes):
        (folder / str(label)).mkdir()
    for row in range(3 * CLASSES_PER_PAGE * classes):
        if row < images:
            write_picture(folder / ids[row], stripes(row % classes, row))
    known = [ImageClass(label, str(label), f"class {label}") for label in range(classes)]
    return ImageTable(ids, np.arange(images) % classes, known, folder)


def test_of_20_000_images_one_page_is_decoded_and_only_once(studio, tmp_path, decoded):
    table = large_table(tmp_path, 20_000, 4)
    shown, page = photographs_html(studio, table, -1, 1)
    assert (len(decoded), page.count, shown.count("<img")) == (4, 1, 4)
    assert "5000 images" in shown
    _, page = photographs_html(studio, table, 2, 1)
    assert (len(decoded), page.count) == (4 + CLASSES_PER_PAGE - 1, -(-5000 // CLASSES_PER_PAGE))
    photographs_html(studio, table, 2, 1)
    assert len(decoded) == 4 + CLASSES_PER_PAGE - 1
    photographs_html(studio, table, 2, 2)
    assert len(decoded) == 4 + 2 * CLASSES_PER_PAGE - 1


def test_a_changed_file_gets_a_new_thumbnail_and_a_missing_one_an_empty_box(studio, tmp_path):
    path = tmp_path / "a.png"
    write_picture(path, stripes(0, 0))
    before = studio.thumbnails.source(path)
    write_picture(path, stripes(3, 1))
    assert studio.thumbnails.source(path) != before
    path.write_text("damaged", encoding="utf-8")
    assert studio.thumbnails.source(path) is None
    path.unlink()
    assert studio.thumbnails.source(path) is None


@pytest.mark.parametrize(("number", "shown"), [(0, [0, 1]), (2, [2, 3]), (3, [4]), (99, [4])])
def test_a_page_beyond_the_ends_is_the_first_or_the_last(number, shown):
    page = page_of(np.arange(5), number, 2)
    assert (page.items.tolist(), page.count) == (shown, 3)
    assert page_of(np.arange(0), 7, 2).number == 1


def test_near_duplicates_are_shown_side_by_side_with_their_classes(studio, tmp_path):
    root = tmp_path / "set"
    write_pictures(root, [3, 3])
    # the first files of the two classes
    shutil.copy(root / "train" / "0000.png", root / "train" / "0001.png")
    table = open_studio(None, root, "en", tmp_path / "s", []).table
    assert table is not None
    pairs = duplicate_pairs(table, root)
    assert [0, 3, 0] in pairs.tolist()
    shown, _ = pairs_html(studio, table, pairs, 1)
    assert "0000.png · 0001.png" in shown
    assert "different classes" in shown


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_summary_of_prepare_data_is_told(tmp_path, language):
    for label in range(2):
        (tmp_path / "source" / f"花{label}").mkdir(parents=True)
        for index in range(3):
            write_picture(tmp_path / "source" / f"花{label}" / f"{index}.png", stripes(label, index))
    (tmp_path / "source" / "notes.md").write_text("x", encoding="utf-8")
    prepare_data(Request(tmp_path / "source", tmp_path / "set"))
    say = texts_in(language)
    rows = dict(summary_rows(read_summary(tmp_path / "set") or {}, say))
    assert rows[say("images")] == "6"
    assert "48x40 (6)" in rows[say("sizes")]
    assert "notes.md" in rows[say("left_out")]
    assert say("layout") in rows


def test_a_damaged_summary_is_one_sentence(checkpoint, tmp_path):
    root = tmp_path / "set"
    write_pictures(root, [2, 2])
    page = open_studio(None, root, "en", tmp_path / "s", [])
    assert "no summary.json" in summary_html(page)
    (root / "summary.json").write_text(json.dumps([1]), encoding="utf-8")
    assert "not the summary of prepare-data" in summary_html(page)
