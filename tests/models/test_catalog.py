"""The table of models is what the networks give, and says of each what the contest's limits make of it."""

import re
import sys

import pytest
from omegaconf import OmegaConf

from configs.compose import compose
from configs.options import named_models
from models import catalog
from models.catalog import model_options
from models.classifier import build_classifier, meta_classifier, parameter_count
from models.model_sizes import catalog_text, describe_model
from tests.helpers import REPOSITORY, run_script, run_words


@pytest.fixture(scope="module")
def options():
    return {option.option: option for option in model_options(100)}


def test_every_option_is_listed_with_its_licence(options):
    assert set(options) == set(named_models())
    assert {option.licence for option in options.values()} <= {"apache-2.0", "mit"}


def test_known_sizes_come_out(options):
    # figures of the architectures' papers, within a rounding of the head
    assert options["convnext_large"].megabytes_fp32 == pytest.approx(786, abs=1)
    assert options["convnext_large"].megabytes_fp16 == pytest.approx(393, abs=1)
    assert options["efficientnet_v2_l"].megabytes_fp32 == pytest.approx(472, abs=1)
    assert options["swin_transformer_v2"].megabytes_fp32 == pytest.approx(348, abs=1)
    assert options["convnext_base"].parameters == pytest.approx(87.7e6, rel=0.01)
    # of 1000 classes Google's own test counts 5,416,680 and 6,092,072, of which 900 * 1281 are of the classes left out
    assert options["efficientnet_lite1"].parameters == 5_416_680 - 900 * 1281
    assert options["efficientnet_lite2"].parameters == 6_092_072 - 900 * 1281


@pytest.mark.parametrize(
    ("option", "twin"), [("convnext_tiny_in12k", "convnext_tiny"), ("convnext_base_clip", "convnext_base")]
)
def test_other_weights_of_an_architecture_have_its_size(options, option, twin):
    assert options[option].megabytes_fp32 == options[twin].megabytes_fp32
    assert options[option].architecture != options[twin].architecture


def test_every_default_size_is_the_nearest_to_600(options):
    # the windows of TinyViT fill 512 px, and would be mostly padding at 600
    assert options["tiny_vit_21m_512"].input_size == 512
    others = {option.input_size for option in options.values() if option.option != "tiny_vit_21m_512"}
    assert others <= {588, 592, 600, 602, 608}
    assert options["convnext_base"].input_size == options["swin_transformer_v2"].input_size == 600


def test_the_guides_table_is_that_of_the_models_command(options):
    guide = (REPOSITORY / "docs" / "TRAINING_GUIDE.md").read_text(encoding="utf-8")
    rows = {name: line for line in guide.splitlines() for name in line.split("|")[1:2]}
    for option in options.values():
        row = next((line for names, line in rows.items() if option.option in re.split(r"[ ,]+", names)), None)
        assert row is not None, f"docs/TRAINING_GUIDE.md has no row of model={option.option}"
        figures = f"| {option.parameters / 1e6:.1f} M | {option.megabytes_fp32:.1f} | {option.megabytes_fp16:.1f} |"
        assert row.endswith(figures)


@pytest.mark.slow
def test_the_table_is_what_the_networks_give():
    assert catalog.CATALOG.read_text(encoding="utf-8") == catalog_text(), "write it: python -m models.model_sizes"


@pytest.mark.integration
@pytest.mark.parametrize("option", ["efficientnet_lite0", "convnext_tiny"])
def test_other_classes_follow_by_arithmetic(option):
    config = compose("config", [f"model={option}"]).model
    expected = describe_model(option, config, 7)
    assert next(row for row in model_options(7) if row.option == option) == expected


def test_an_option_that_the_table_lacks_is_built(tmp_path, monkeypatch):
    own = {"architecture": "test_efficientnet.r160_in1k", "head": "pooled", "input_size": 32}
    (tmp_path / "model").mkdir()
    OmegaConf.save(OmegaConf.create(own), tmp_path / "model" / "convnext_tiny.yaml")
    monkeypatch.setattr(catalog, "CONFIG_DIR", tmp_path)
    monkeypatch.setattr(catalog, "named_models", lambda: ["convnext_tiny"])
    (option,) = model_options(3)
    assert (option.architecture, option.input_size) == ("test_efficientnet.r160_in1k", 32)
    assert option.parameters < 1e6


@pytest.mark.integration
def test_the_table_is_read_without_torch():
    words = "import sys, cli.models, models.catalog; models.catalog.model_options(); sys.exit('torch' in sys.modules)"
    assert run_words([sys.executable, "-c", words]).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("option", named_models())
def test_every_option_accepts_its_drop_rates_and_checkpointing(option):
    model = compose("config", [f"model={option}"]).model
    import torch

    with torch.device("meta"):
        build_classifier(
            model.architecture, 100, model.input_size, model.drop_rate, model.drop_path_rate, grad_checkpointing=True
        )
    assert meta_classifier(model.architecture, 100, model.input_size).backbone.pretrained_cfg["hf_hub_id"]


def test_the_command_says_what_fits():
    done = run_script("cli/flower_cli.py", "models")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.split()}
    assert "785.5" in lines["convnext_large"]
    assert "fp32" not in lines["convnext_large"]
    assert "fp16" in lines["convnext_large"]
    assert "fp32 and fp16" in lines["convnext_base"]
    assert lines["convnext_large_clip"].split()[-2:] == ["fp16", "apache-2.0"]
    assert "500 MB" in lines["Limits"]


def test_the_search_lists_models_of_timm():
    done = run_script("cli/flower_cli.py", "models", "--search", "test_vit", "--classes", "3")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  test_")}
    assert set(rows) == {"test_vit.r160_in1k", "test_vit2.r160_in1k", "test_vit3.r160_in1k"}
    parameters = parameter_count(build_classifier("test_vit", 3, 160))
    size = f"{4 * parameters / 1e6:.1f}"
    assert rows["test_vit.r160_in1k"][:4] == ["160", f"{parameters / 1e6:.1f}", "M", size]
    assert rows["test_vit.r160_in1k"][-2:] == ["apache-2.0", "timm/test_vit.r160_in1k"]


def test_a_search_says_that_it_shows_the_first_and_that_it_found_none(monkeypatch):
    monkeypatch.setattr("models.timm_search.MOST_SHOWN", 2)
    done = run_script("cli/flower_cli.py", "models", "--search", "test_vit")
    assert "The first 2 of 3: a longer word shows others." in done.stdout
    done = run_script("cli/flower_cli.py", "models", "--search", "qqq")
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no pretrained model with this in its name" in done.stderr


def test_the_command_refuses_what_it_would_ignore():
    done = run_script("cli/flower_cli.py", "models", "training.epochs=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "takes no other override than competition" in done.stderr
