"""What flower_cli.py studio refuses, and what it says without gradio."""

import sys

import pytest

from tests.helpers import REPOSITORY, run_script, run_words

pytestmark = pytest.mark.integration

TOOL = ("cli/flower_cli.py", "studio")


def test_without_gradio_a_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("common.packages.find_spec", lambda name: None)
    done = run_script(*TOOL, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: The page needs the package gradio: pip install -r requirements-studio.txt\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "0"], "--port: expected 1 to 65535"),
        (["--run", "a", "--checkpoint", "b.pt"], "give one of them"),
        (["--language", "fr"], "invalid choice: 'fr'"),
    ],
)
def test_a_wrong_flag_is_one_line(tmp_path, flags, message):
    done = run_script(*TOOL, *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_model_the_page_is_built_without_torch():
    """Importing torch takes longer than reading a table of 20,000 images."""
    pytest.importorskip("gradio", reason="requirements-studio.txt is not installed")
    code = "import sys, studio.context, studio.page; print(sorted({'torch', 'timm', 'matplotlib'} & set(sys.modules)))"
    done = run_words([sys.executable, "-c", code], cwd=REPOSITORY)
    assert done.stdout.strip() == "[]", done.stderr
