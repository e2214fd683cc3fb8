"""The pages keep their promises: lengths, links, paths, keys with their defaults, two languages, one version."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.flower_cli import COMMANDS
from configs.compose import compose, leaf_keys, to_plain
from configs.options import GROUPS, config_names, option_names
from models.losses import LOSSES
from prediction.view_names import SETS
from prediction.views import VIEWS
from tests.helpers import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])
FENCE = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)
# folders of the user, or made by a run
MADE_BY_USERS = (
    "configs/competition/mine.yaml",
    "data/flower100",
    "data/demo",
    "data/flowers102",
    "results/",
    "downloads",
    "report/",
)


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def page_id(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def anchors(page: Path) -> set[str]:
    """The names by which headings are linked: lower case, spaces as hyphens, other signs left out."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_lines_can_be_read_in_a_diff(page):
    long = [line for line in page.read_text(encoding="utf-8").splitlines() if len(line) >= 120]
    assert not long


def test_the_examples_of_augmentation_compose():
    section = read("docs/CONFIGURATION.md").partition("## Augmentation")[2].partition("\n## ")[0]
    examples = [cell for cell in re.findall(r"\| `(.+?)` \|$", section, re.MULTILINE) if not cell.startswith("python")]
    assert len(examples) == 6
    for example in examples:
        compose(overrides=example.split())


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_the_rows_of_a_table_have_the_cells_of_its_header(page):
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for table in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE):
        rows = table.splitlines()
        cells = [len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", row))) for row in rows]
        assert cells == [cells[0]] * len(rows), rows


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_is_short(name):
    assert len(read(name).splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_paths_of_the_repository_exist(page):
    rooms = "|".join(path.name for path in REPOSITORY.iterdir() if path.is_dir() and not path.name.startswith("."))
    for path in re.findall(rf"`((?:{rooms})/[\w./-]*)`", page.read_text(encoding="utf-8")):
        if not path.startswith(MADE_BY_USERS):
            assert (REPOSITORY / path).exists(), path


def test_every_page_is_in_the_index():
    index = read("docs/README.md")
    for page in REPOSITORY.glob("docs/*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


def test_both_readmes_have_the_same_content():
    english, chinese = read("README.md"), read("README.zh-CN.md")
    assert FENCE.findall(english) == FENCE.findall(chinese)
    for mark in (r"^#+ ", r"^\|", r"^- ", r"^\d\. ", r"^!\["):
        count = len(re.findall(mark, FENCE.sub("", english), flags=re.MULTILINE))
        assert len(re.findall(mark, FENCE.sub("", chinese), flags=re.MULTILINE)) == count, mark


def test_every_key_is_told_with_its_default():
    text = read("docs/CONFIGURATION.md")
    told = dict(re.findall(r"^- `([\w.]+)` \(`([^`]*)`\): \S", text, flags=re.MULTILINE))
    plain = to_plain(compose())
    for key in leaf_keys():
        if not key.startswith("augmentation."):
            assert key in told, key
            value: Any = plain
            for part in key.split("."):
                value = value[part]
            assert yaml.safe_load(told[key]) == value, key


def test_every_option_view_and_loss_is_told():
    configuration, tools, guide = read("docs/CONFIGURATION.md"), read("docs/TOOLS.md"), read("docs/TRAINING_GUIDE.md")
    for name in [*(option for group in GROUPS for option in option_names(group)), *config_names()]:
        assert re.search(rf"\b{name}\b", configuration), name
    for view in [*VIEWS, *SETS]:
        assert f"`{view}`" in tools, view
    for loss in LOSSES:
        assert f"| `{loss}` |" in guide, loss


def test_every_command_is_told_and_every_module_of_a_command_is_one():
    _, _, section = read("docs/TOOLS.md").partition("## Commands of ")
    told = set(re.findall(r"^\| `([\w-]+)", section.partition("\n## ")[0], flags=re.MULTILINE))
    assert told == set(COMMANDS)
    modules = {f"cli.{path.stem}" for path in REPOSITORY.glob("cli/*.py") if "\nHELP = " in path.read_text("utf-8")}
    assert modules == set(COMMANDS.values())


def test_one_version():
    (version,) = re.findall(r'^version = "([^"]+)"', read("pyproject.toml"), flags=re.MULTILINE)
    assert f"\nversion: {version}\n" in read("CITATION.cff")
    assert version in re.findall(r"^## (.*)", read("CHANGELOG.md"), flags=re.MULTILINE)[0]
