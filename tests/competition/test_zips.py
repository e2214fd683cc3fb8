"""Broken ZIPs of kinds that entrants really made: each is refused, and its fault named."""

import dataclasses
import stat
import zipfile

import numpy as np
import pytest
import torch

from common.errors import InputError
from competition.archive import check_archive, unpack
from competition.checks import failed
from competition.profile import read_profile
from competition.proof import prove
from competition.zip_layout import check_paths
from competition.zip_rules import inspect_zip
from tests.competition.conftest import CSV, NAMES, PREDICT

pytestmark = pytest.mark.integration


def faults(checks):
    return {check.rule: check.figure for check in failed(checks)}


def test_a_good_zip_passes_all_rules(build, profile, images):
    proof = prove(build(), profile, images, None)
    assert faults(proof.checks) == {}
    assert proof.csv == CSV.encode()
    assert sum(check.passed is True for check in proof.checks) > 15


@pytest.mark.parametrize(
    ("change", "rule", "figure"),
    [
        ({"members": {"code/notes.txt": "x"}}, "ZIP layout", "extra file code/notes.txt"),
        ({"members": {"code/__pycache__/model.pyc": "x"}}, "ZIP layout", "extra file code/__pycache__"),
        ({"members": {"code/utils.py": None}}, "ZIP layout", "missing code/utils.py"),
        ({"members": {"results/submission.csv": None}}, "CSV exists", "is not there"),
        ({"members": {"results/submission.csv": "\ufeff" + CSV}}, "CSV encoding", "BOM"),
        ({"members": {"results/submission.csv": CSV.replace("164", "0")}}, "CSV class ids", "labels 0..1 in place"),
        ({"members": {"results/submission.csv": CSV.replace("164", "-1")}}, "CSV class ids", "unknown ids: '-1'"),
        (
            {"members": {"results/submission.csv": CSV + "c.png,164,0.9\n"}},
            "CSV duplicates",
            "1 images more than once",
        ),
        (
            {"members": {"results/submission.csv": CSV.replace("c.png,164,0.900000\n", "")}},
            "CSV missing images",
            "1 missing: 'c.png'",
        ),
        ({"members": {"results/submission.csv": CSV.replace("filename", "name")}}, "CSV columns", "its columns are"),
        ({"members": {"model/config.json": "{}"}}, "class table", "none in model/config.json"),
        (
            {"weights": {"model": {"w": torch.zeros(2)}, "optimizer": {"w": torch.zeros(4)}}},
            "model files",
            "carries training state: optimizer",
        ),
        ({"members": {"model/best_model.pth": b"x"}}, "model files", "does not load with weights_only=True"),
        (
            {"members": {"code/model.py": "import timm\ntimm.create_model('x', pretrained=True)\n"}},
            "code downloads",
            "model.py, line 2: pretrained=True",
        ),
        (
            {"members": {"code/model.py": "import torch\ntorch.load('x', weights_only=False)\n"}},
            "code safe loading",
            "load(weights_only=False)",
        ),
        (
            {"members": {"code/model.py": "import hydra\nfrom models.losses import focal\n"}},
            "code imports",
            "model.py imports hydra, which is not in requirements.txt",
        ),
        (
            {"members": {"code/utils.py": "ROOT = '/home/me/flowers'\n"}},
            "code absolute paths",
            "utils.py, line 1: '/home/me/flowers'",
        ),
        ({"members": {"code/utils.py": "ROOT = 'D:\\\\flowers'\n"}}, "code absolute paths", "flowers"),
        ({"members": {"code/utils.py": "match x:\n    case 1: pass\n"}}, "code syntax", "utils.py"),
    ],
)
def test_what_the_files_show_is_named_without_running_them(build, profile, change, rule, figure):
    assert figure in faults(inspect_zip(build(**change), profile, NAMES))[rule]


def test_models_that_are_too_large_together_are_named(build):
    profile, _ = read_profile("flower_2025", ["competition.max_model_mb=0.001", "competition.max_parameters=5"])
    found = faults(inspect_zip(build(), profile, NAMES))
    assert "MB in 1 file(s)" in found["size of all models"]
    assert found["parameters"] == "0.0 M"


@pytest.mark.parametrize(
    ("code", "rule", "figure"),
    [
        (
            PREDICT.replace("output.write_text", "(lambda *_, **__: None)"),
            "runs from the ZIP's root",
            "success reported, but no CSV",
        ),
        (
            PREDICT.replace("output.parent.mkdir(parents=True, exist_ok=True)", ""),
            "runs from the ZIP's root",
            "exit code 1",
        ),
        (PREDICT.replace("sys.argv[2]", "sys.argv[3]"), "runs from the ZIP's root", "IndexError"),
        (PREDICT + "open('code/predict.py')\n", "runs from code/", "No such file"),
        (
            PREDICT + "import socket\nsocket.create_connection(('example.org', 80))\n",
            "network from code/",
            "example.org",
        ),
        (PREDICT.replace("[name +", "[name.upper() +"), "CSV written from the ZIP's root", "missing"),
        (
            PREDICT.replace("for name in names", "for name in names * 2"),
            "CSV written from the ZIP's root",
            "more than once",
        ),
        (PREDICT.replace(".suffix.lower()", ".suffix"), "CSV written from the ZIP's root", "1 missing: 'b.JPG'"),
        (PREDICT.replace(",164,0.9", ",1734,0.9"), "from the root = the CSV in the ZIP", "3 of 3 labels differ"),
        (PREDICT.replace(",164,0.9", ",164,0.8"), "from the root = the CSV in the ZIP", "differ by up to 0.1"),
    ],
)
def test_what_a_run_shows_is_named(build, profile, images, code, rule, figure):
    assert figure in faults(prove(build(members={"code/predict.py": code}), profile, images, None).checks)[rule]


@pytest.mark.slow
@pytest.mark.parametrize(("milliseconds", "slow"), [(0, False), (60, True)])
def test_a_zip_that_takes_too_long_an_image_is_named(build, profile, images, milliseconds, slow):
    for number in range(100):
        (images / f"{number}.jpg").write_bytes(b"")
    code = PREDICT + f"import time\ntime.sleep({milliseconds / 1000} * len(names))\n"
    limited = dataclasses.replace(profile, max_latency_ms=30)
    proof = prove(build(members={"code/predict.py": code}), limited, images, None)
    assert ("time an image" in faults(proof.checks)) == slow
    assert [run["images"] for run in proof.runs] == [103, 16]
    assert milliseconds - 20 < proof.ms_an_image < milliseconds + 25


def test_too_few_images_give_no_time(build, profile, images):
    proof = prove(build(), profile, images, None)
    (check,) = [check for check in proof.checks if check.rule == "time an image"]
    assert check.passed is None
    assert "not measured; needs more than 80 images" in check.figure


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../evil.py", "leads out"),
        ("/etc/evil", "leads out"),
        ("C:/evil", "leads out"),
        ("code\\..\\..\\evil", "leads out"),
        ("CODE/PREDICT.PY", "twice"),
    ],
)
def test_members_that_would_harm_are_refused_before_unpacking(build, profile, name, fault):
    path = build(members={name: "x"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.filelist[-1].filename = name
    check = check_archive(path, profile.max_model_mb)
    assert check.passed is False
    assert fault in check.figure
    assert [check.rule for check in prove(path, profile, None, None).checks] == ["ZIP archive"]


def test_links_and_bombs_are_refused(tmp_path, profile):
    path = tmp_path / "z.zip"
    link = zipfile.ZipInfo("model/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "symbolic link" in check_archive(path, profile.max_model_mb).figure
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"\0" * 3_000_000)
    assert check_archive(path, 500).passed is True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("competition.archive.SPARE_BYTES", 1_000_000)
        assert "more than 2 MB" in check_archive(path, 1).figure
        with pytest.raises(InputError, match="ZIP bomb"):
            unpack(path, tmp_path / "out", 1)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("predictions", "model/best_model.pth"),
        ("predictions", "Model/Best_Model.pth"),
        ("model_config", "code/requirements.txt"),
        ("requirements", "results/submission.csv"),
        ("predictions", "code/predict.py"),
    ],
)
def test_a_layout_that_gives_two_files_one_path_is_refused(key, path):
    with pytest.raises(InputError, match=f"two files of the ZIP would be {path.lower()}"):
        read_profile("flower_2025", [f"competition.zip_layout.{key}={path}"])


@pytest.mark.parametrize(
    "path", ["", ".", "/a.csv", "../a.csv", "a/../b.csv", "a\\b.csv", "C:/a.csv", "a//b.csv", "a/"]
)
@pytest.mark.parametrize("key", ["model", "model_config", "predictions", "requirements"])
def test_a_layout_with_a_path_outside_the_zip_is_refused(key, path):
    with pytest.raises(InputError, match=r"is no path of a file within a ZIP|two files of the ZIP"):
        read_profile("flower_2025", [f"competition.zip_layout.{key}={path}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("competition.runtimes=[torch,tf]", "competition.runtimes: tf: Choose from torch, onnx, openvino"),
        ("competition.csv_columns=[id,labl]", "competition.csv_columns: labl: Did you mean 'label'?"),
        ("competition.csv_columns=[id,confidence]", "competition.csv_columns: its columns are id, confidence"),
        ("competition.csv_columns=[]", "competition.csv_columns: its columns are"),
    ],
)
def test_a_profile_that_no_zip_can_keep_is_refused(override, message):
    with pytest.raises(InputError) as error:
        read_profile("flower_2025", [override])
    assert message in str(error.value)


def test_the_predictions_may_not_have_the_path_of_a_further_model(profile):
    layout = dataclasses.replace(profile.zip_layout, predictions="model/model_2.pth")
    check_paths(layout, 1)
    with pytest.raises(InputError, match=r"two files of the ZIP would be model/model_2\.pth"):
        check_paths(layout, 2)


def test_what_is_no_zip_is_bad_input(tmp_path, profile):
    (tmp_path / "z.zip").write_bytes(b"PK, but not a ZIP")
    with pytest.raises(InputError, match="not a ZIP file"):
        inspect_zip(tmp_path / "z.zip", profile, None)
    with pytest.raises(InputError, match="no such ZIP"):
        inspect_zip(tmp_path / "none.zip", profile, None)


def test_a_damaged_zip_is_bad_input_or_a_broken_rule_wherever_the_damage_is(build, profile, tmp_path):
    whole = build().read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for position in generator.integers(0, len(whole), 150):
        data = bytearray(whole)
        data[position : position + 3] = generator.bytes(3)
        path = tmp_path / "damaged.zip"
        path.write_bytes(bytes(data))
        try:
            refused += bool(failed(inspect_zip(path, profile, NAMES)))
        except InputError:
            refused += 1
    assert refused > 100
