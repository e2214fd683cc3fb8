"""Rules for code that are checked without running it: our own code keeps them, and what they allow."""

import shutil

import pytest

from competition.code_rules import check_code
from competition.profile import read_profile
from competition.zip_layout import REPOSITORY, code_files


@pytest.mark.integration
@pytest.mark.parametrize("name", ["flower_2025", "kit"])
def test_the_code_that_goes_into_a_zip_keeps_the_rules(tmp_path, name):
    profile, _ = read_profile(name, [])
    for place, source in code_files(profile.zip_layout).items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / place)
    template = profile.zip_layout.code == "template"
    requirements = REPOSITORY / "requirements.txt"
    checks = check_code(tmp_path / "code", requirements, template=template)
    assert {check.rule: check.figure for check in checks if not check.passed} == {}


@pytest.mark.parametrize(
    ("model", "fetched"),
    [
        ("'resnet18'", True),
        ("f'{name}'", True),
        ("name", True),
        ("'local-dir:model'", False),
        ("f'local-dir:{folder}'", False),
    ],
)
def test_weights_of_a_folder_are_no_download(tmp_path, model, fetched):
    (tmp_path / "model.py").write_text(f"timm.create_model({model}, pretrained=True)\n", encoding="utf-8")
    checks = {check.rule: check for check in check_code(tmp_path, tmp_path / "requirements.txt", template=False)}
    assert checks["code downloads"].passed is not fetched
