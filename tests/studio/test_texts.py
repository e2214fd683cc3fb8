"""Both languages say everything, and say it of the same things."""

import re
from string import Formatter

import pytest

from studio.texts import LANGUAGES, TEXTS, texts_in
from tests.helpers import REPOSITORY


def fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", TEXTS)
def test_both_languages_have_every_key_with_the_same_values(key):
    english, chinese = TEXTS[key]
    assert len(TEXTS[key]) == len(LANGUAGES)
    assert english.strip()
    assert fields(english) == fields(chinese)
    assert re.search(r"[\u4e00-\u9fff]", chinese)


def test_the_texts_that_the_page_shows_are_those_that_there_are():
    sources = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "studio").glob("*.py"))
    asked = set(re.findall(r"""say\(\s*["'](\w+)["']""", sources))
    assert asked <= set(TEXTS)
    for key in TEXTS:
        assert len(re.findall(rf"""["']{key}["']""", sources)) > 1, key


def test_values_are_filled_in():
    assert texts_in("zh")("page_of", page=2, pages=5) == "第 2 页，共 5 页"
