"""docs/RECIPES.md: every option of model= is in each of its tables, and memory and hours are what the script prints."""

import re

import pytest
import yaml

from benchmarks.recipes_table import MEASURED, RELATIVES, forward_macs, markdown, row, sizes
from configs.options import CONFIG_DIR, named_models
from tests.helpers import REPOSITORY

PAGE = (REPOSITORY / "docs" / "RECIPES.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "heading", ["What the authors used", "Learning rates", "Figures to check against", "Memory and hours"]
)
def test_every_option_is_in_the_table(heading):
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    told = {name for cell in re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE) for name in cell.split(", ")}
    assert set(named_models()) <= told


def test_every_rate_is_that_of_the_yaml_file():
    section = PAGE.partition("## Learning rates\n")[2].partition("\n## ")[0]
    told = {
        name: float(rate)
        for names, rate in re.findall(r"^\| ([^|]+) \|[^|]+\|[^|]+\| (\S+e-\d) \|", section, re.MULTILINE)
        for name in names.split(", ")
    }
    for option in named_models():
        model = yaml.safe_load((CONFIG_DIR / "model" / f"{option}.yaml").read_text(encoding="utf-8"))
        assert told[option] == model["finetune_learning_rate"], option


def test_every_option_has_a_measured_speed_or_that_of_a_relative():
    assert set(RELATIVES.values()) <= set(MEASURED)
    for option in named_models():
        model = yaml.safe_load((CONFIG_DIR / "model" / f"{option}.yaml").read_text(encoding="utf-8"))
        assert model["architecture"].partition(".")[0] in MEASURED.keys() | RELATIVES.keys(), option


@pytest.mark.slow
def test_a_row_of_the_page_is_that_of_the_script():
    assert markdown(row("efficientnet_lite0", max(sizes("efficientnet_lite0")), 16_000 * 20)) in PAGE


@pytest.mark.slow
def test_the_other_rows_of_the_model_are_those_of_the_script():
    for size in sizes("efficientnet_lite0")[:-1]:
        assert markdown(row("efficientnet_lite0", size, 16_000 * 20)) in PAGE


@pytest.mark.integration
@pytest.mark.parametrize(
    ("architecture", "size", "published"),
    [("convnext_base.fb_in22k_ft_in1k_384", 384, 45.2), ("caformer_s36.sail_in22k_ft_in1k_384", 384, 26.0)],
)
def test_multiplications_are_those_that_the_authors_count(architecture, size, published):
    assert forward_macs(architecture, size) / 1e9 == pytest.approx(published, rel=0.01)
