"""The Dockerfile copies what exists, runs as a user without rights, and leaves the photographs of this machine out."""

import re
import shutil
import subprocess
from fnmatch import fnmatchcase

import pytest

from tests.helpers import REPOSITORY

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = re.findall(r"^([A-Z]+) (.*)$", re.sub(r"\\\n", " ", DOCKERFILE), flags=re.MULTILINE)


def is_left_out(path):
    """Say what .dockerignore says of a file: the last line that fits it or a folder above it counts."""
    left_out = False
    for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            parts, pattern = path.split("/"), line.lstrip("!").split("/")
            starts = range(len(parts)) if pattern[0] == "**" else [0]
            pattern = pattern[1:] if pattern[0] == "**" else pattern
            if any(
                len(parts[start:]) >= len(pattern) and all(map(fnmatchcase, parts[start:], pattern)) for start in starts
            ):
                left_out = not line.startswith("!")
    return left_out


def test_what_is_copied_exists_and_every_room_is_copied():
    copied = {
        word
        for instruction, words in INSTRUCTIONS
        if instruction == "COPY"
        for word in words.split()[:-1]
        if not word.startswith("--")
    }
    for name in copied:
        found = list(REPOSITORY.glob(name))
        assert found, name
        assert not all(is_left_out(path.relative_to(REPOSITORY).as_posix()) for path in found), name
    rooms = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} - {"tests"}
    assert rooms <= copied


def test_the_last_user_has_no_rights_and_torch_stays():
    users = [words for instruction, words in INSTRUCTIONS if instruction == "USER"]
    assert users
    assert users[-1] not in ("root", "0")
    installs = [words for instruction, words in INSTRUCTIONS if instruction == "RUN" and "install" in words]
    assert installs == ["python install_beside_torch.py"]
    assert "--shm-size=8g" in DOCKERFILE


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        (".venv/bin/python", True),
        (".git/config", True),
        ("data/flower100/train/1.jpg", True),
        ("data/flower100/train.csv", True),
        ("data/table.py", False),
        ("data/formats/folders.py", False),
        ("data/__pycache__/table.cpython-311.pyc", True),
        ("results/checkpoints/best_model.pt", True),
        ("results/.gitkeep", False),
        ("common/files.py", False),
    ],
)
def test_photographs_results_and_environments_are_left_out(path, left_out):
    assert is_left_out(path) is left_out


def docker(*words, timeout=60):
    return subprocess.run(["docker", *words], cwd=REPOSITORY, capture_output=True, encoding="utf-8", timeout=timeout)


@pytest.mark.slow
def test_the_image_is_built_and_runs():
    if shutil.which("docker") is None or docker("info").returncode != 0:
        pytest.skip("docker does not run here")
    (base,) = (words for instruction, words in INSTRUCTIONS if instruction == "FROM")
    if docker("pull", base, timeout=1800).returncode != 0:
        pytest.skip(f"{base} cannot be pulled here")
    built = docker("build", "--tag", "flower-kit-test", ".", timeout=1800)
    assert built.returncode == 0, built.stderr
    sizes = "model.input_size=64 training.final_input_size=null"
    training = f"train.py --config-name quickstart training.epochs=1 {sizes} dataset.demo.classes=2"
    run = docker("run", "--rm", "--shm-size=8g", "flower-kit-test", "python", *training.split(), timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Best model: results/checkpoints/best_model.pt" in run.stdout
    assert docker("run", "--rm", "flower-kit-test", "id", "--user").stdout.strip() == "1000"
