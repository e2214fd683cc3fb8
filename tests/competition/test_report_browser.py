"""The HTML report in a browser: no barrier that axe knows, tables that sort, figures that enlarge."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from competition.report.html_report import to_html
from tests.browser import needs_browser, start_browser

pytestmark = [pytest.mark.slow, needs_browser]


@pytest.fixture(scope="module")
def visitor(tmp_path_factory):
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def page(visitor, paper, tmp_path):
    """Return a function that opens the report in a language."""

    def visit(language):
        path = tmp_path / "report 报告.html"
        path.write_text(to_html(paper[0](language)), encoding="utf-8")
        visitor.get(path.as_uri())
        return visitor

    return visit


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(page, language, scheme):
    found = find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("axe-core-python is not installed (requirements-dev.txt)")
    driver = page(language)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    colour = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(255, 255, 255)") == (scheme == "light")
    driver.execute_script(Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    answer = driver.execute_async_script("axe.run().then(arguments[0])")
    assert len(answer["passes"]) > 20
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in answer["violations"]] == []


def test_a_click_and_a_key_sort_the_rows_as_numbers(page):
    driver = page("en")
    table = driver.find_element("css selector", "table")

    def rows():
        return [cell.text for cell in table.find_elements("css selector", "tbody th")]

    name, images, top1 = table.find_elements("css selector", "thead th")
    assert rows() == ["rose", "lotus", "aster"]
    images.find_element("tag name", "button").click()
    assert rows() == ["rose", "aster", "lotus"]
    assert images.get_attribute("aria-sort") == "ascending"
    # the same button again, by the keyboard
    driver.switch_to.active_element.send_keys("\n")
    assert rows() == ["lotus", "aster", "rose"]
    assert images.get_attribute("aria-sort") == "descending"
    # 8.5 before 92.6, and an empty cell last in both directions
    top1.find_element("tag name", "button").click()
    assert rows() == ["lotus", "rose", "aster"]
    top1.find_element("tag name", "button").click()
    assert rows() == ["rose", "lotus", "aster"]
    name.find_element("tag name", "button").click()
    assert rows() == ["aster", "lotus", "rose"]
    assert [head.get_attribute("aria-sort") for head in (images, top1)] == [None, None]


def test_a_click_enlarges_a_figure_and_escape_closes_it(page):
    driver = page("en")
    dialog = driver.find_element("tag name", "dialog")
    assert not dialog.is_displayed()
    small = driver.find_element("css selector", "figure.picture img")
    width = small.size["width"]
    button = driver.find_element("css selector", "button.zoom")
    assert button.accessible_name == "Enlarge: A line that rises and falls."
    button.click()
    large = dialog.find_element("tag name", "img")
    assert dialog.is_displayed()
    assert large.size["width"] > 1.5 * width
    assert large.get_attribute("alt") == "A line that rises and falls."
    driver.switch_to.active_element.send_keys("\ue00c")
    assert not dialog.is_displayed()
    # the focus is back where it was, and the page takes keys again
    assert driver.switch_to.active_element == button


def test_the_page_asks_for_nothing_and_scrolls_in_one_direction_on_a_phone(page):
    driver = page("zh")
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    names = driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in names if not name.startswith("data:")] == []
    assert [entry["message"] for entry in driver.get_log("browser")] == []
