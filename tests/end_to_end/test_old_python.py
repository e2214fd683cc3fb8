"""The ZIP where the contest says that it may run: Python 3.8 and torch 1.9, with what its requirements.txt asks for.

The interpreter is found in the folder of pyenv or on PATH. Its packages (830 MB of torch, which PyPI has for Linux with
CUDA only) are installed into a temporary environment, unless FLOWER_JUDGES_PYTHON names one that has them.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from tests.helpers import run_script, run_words

pytestmark = pytest.mark.slow

# what the judges have before they install what the ZIP asks for
JUDGES_PACKAGES = ("torch==1.9.1", "torchvision==0.10.1")


def find_python(version: str) -> str | None:
    """Return an interpreter of a version such as 3.8 that this machine has, or None."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    name = "python.exe" if sys.platform == "win32" else "bin/python"
    found = sorted(path / name for path in (root / "versions").glob(f"{version}.*") if (path / name).is_file())
    return str(found[-1]) if found else shutil.which(f"python{version}")


def pip(python: Path | str, *words: str) -> subprocess.CompletedProcess:
    """Run pip install under an interpreter."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words]
    return run_words(command, timeout=600)


@pytest.fixture(scope="module")
def packed(checkpoint, test_folder, tmp_path_factory) -> Path:
    """A proven submission.zip; beside it stand predictions.csv and the proof."""
    folder = tmp_path_factory.mktemp("packed")
    predictions = folder / "predictions.csv"
    words = ["--checkpoint", checkpoint, "--input", test_folder, "--tta", "full,crops5", "--format", "official"]
    done = run_script("inference.py", *words, "--output", predictions)
    assert done.returncode == 0, done.stderr
    done = run_script("prepare_submission.py", "--predictions", predictions, "--output", folder / "submission.zip")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "submission.zip"


@pytest.fixture(scope="module")
def requirements(packed, tmp_path_factory) -> Path:
    """The requirements.txt of the ZIP."""
    with zipfile.ZipFile(packed) as archive:
        return Path(archive.extract("code/requirements.txt", tmp_path_factory.mktemp("requirements")))


@pytest.fixture(scope="module")
def old_python(requirements, tmp_path_factory):
    """A Python 3.8 with torch 1.9 and what the ZIP asks for."""
    given = os.environ.get("FLOWER_JUDGES_PYTHON")
    if given:
        yield Path(given)
        return
    found = find_python("3.8")
    if found is None:
        pytest.skip("no Python 3.8 on this machine")
    folder = tmp_path_factory.mktemp("judges")
    assert run_words([found, "-m", "venv", str(folder)]).returncode == 0
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = pip(python, *JUDGES_PACKAGES)
    if done.returncode != 0:
        pytest.skip(f"torch 1.9 cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    done = pip(python, "-r", str(requirements))
    assert done.returncode == 0, done.stderr
    yield python
    shutil.rmtree(folder)


@pytest.mark.parametrize("version", ["3.8", "3.9"])
def test_an_old_python_without_packages_can_meet_the_requirements(requirements, version):
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    index = pip(python, "--dry-run", "--ignore-installed", "six")
    if index.returncode != 0:
        pytest.skip(f"this pip reaches no packages: {index.stderr.strip().splitlines()[-1]}")
    done = pip(python, "--dry-run", "--ignore-installed", "-r", str(requirements))
    assert done.returncode == 0, done.stderr


def test_the_labels_are_the_kits_under_python_3_8_and_torch_1_9(packed, old_python, test_folder):
    output = packed.with_name("again.zip")
    predictions = packed.with_name("predictions.csv")
    words = ["--predictions", predictions, "--output", output, "--python", old_python]
    done = run_script("prepare_submission.py", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    proof = json.loads(packed.with_name("again_proof.json").read_text(encoding="utf-8"))
    own, _, old, old_from_code = proof["runs"]
    assert old["versions"]["python"].startswith("3.8.")
    assert old["versions"]["torch"].startswith("1.9.")
    assert old["versions"]["timm"] != own["versions"]["timm"]
    assert old_from_code["versions"] == old["versions"]
    under = f"under Python {old['versions']['python']}"
    figures = {check["rule"]: check["figure"] for check in proof["checks"]}
    assert figures[f"from the root = the kit's predictions {under}"].startswith("9 labels equal")
    assert f"torch {old['versions']['torch']}" in done.stdout
    done = run_script("prepare_submission.py", "--verify-only", packed, "--input", test_folder, "--python", old_python)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"from the root = the CSV in the ZIP {under}  9 labels equal" in done.stdout


FINETUNE = {"head_init": "probe", "freeze_layers": 0.4, "freeze_epochs": 1, "layer_decay": 0.8, "ema_decay": 0.9}


def test_the_judges_training_runs_under_python_3_8_and_torch_1_9(packed, old_python, pictures, test_folder, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
    path, start, trained = tmp_path / "model" / "config.json", tmp_path / "start.pth", tmp_path / "trained"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["training"].update(FINETUNE, loss_function="logit_adjusted", mixup_alpha=0.2)
    path.write_text(json.dumps(config), encoding="utf-8")
    weights = torch.load(tmp_path / "model" / "best_model.pth", weights_only=True)
    torch.save({name.removeprefix("backbone."): weights[name] for name in weights if "." in name}, start)
    training = [pictures / "train", pictures / "train.csv", "--weights", start, "--epochs", "3", "--output", trained]
    done = run_words([str(word) for word in [old_python, "code/train.py", *training]], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "starts from a probe" in done.stdout
    prediction = [test_folder, tmp_path / "p.csv", "--model-dir", trained]
    done = run_words([str(word) for word in [old_python, "code/predict.py", *prediction]], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 9
