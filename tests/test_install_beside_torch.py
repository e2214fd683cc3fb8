"""install_beside_torch.py: pip runs for real, without a network, and only says what it would install."""

import sys
import zipfile
from importlib.metadata import version

import pytest

import install_beside_torch
from install_beside_torch import Failure, install


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder of wheels as pip's only source; holds a torch that nobody has."""
    info = "torch-99.0.dist-info"
    with zipfile.ZipFile(tmp_path / "torch-99.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 99.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": tmp_path.as_uri(), "DRY_RUN": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return tmp_path


@pytest.mark.integration
def test_torch_is_never_replaced(shop):
    wanted = shop / "wanted.txt"
    wanted.write_text("torch>=99\n", encoding="utf-8")
    with pytest.raises(Failure, match="nothing was replaced") as error:
        install(wanted)
    assert "torch==" + version("torch") in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.integration
def test_what_is_there_is_enough(shop, capsys):
    wanted = shop / "wanted.txt"
    wanted.write_text("torch>=2.6\nnumpy>=2\n", encoding="utf-8")
    install(wanted)
    assert "Installed beside torch==" + version("torch") in capsys.readouterr().out


def test_without_torch_another_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(install_beside_torch, "KEPT", ("torch", "no-such-torchvision"))
    monkeypatch.setattr(sys, "executable", "never started")
    with pytest.raises(Failure, match=r"no-such-torchvision is not installed here: python quickstart\.py installs"):
        install(tmp_path / "wanted.txt")
