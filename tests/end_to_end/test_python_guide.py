"""The Python of docs/PYTHON.md and of the README runs as written, and gives the figures of the commands."""

import re
import shutil

import pytest

from tests.conftest import TINY
from tests.helpers import REPOSITORY, run_script, working_directory


def blocks(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(checkpoint, other, pictures, test_folder, tmp_path):
    """A working directory with the files that the pages name."""
    for name, source in {"results": checkpoint, "runs/b": other}.items():
        target = tmp_path / name / "checkpoints" / "best_model.pt"
        target.parent.mkdir(parents=True)
        shutil.copyfile(source, target)
    shutil.copytree(test_folder, tmp_path / "data" / "flower100" / "test")
    for name, source in {"a.jpg": "img_0.png", "b.jpg": "img_2.jpeg"}.items():
        shutil.copyfile(test_folder / source, tmp_path / "data" / "flower100" / "test" / name)
    return tmp_path


def run(page, pictures):
    """Run all blocks of a page one after the other and return the variables."""
    tiny = ", ".join(repr(option) for option in (*TINY, f"dataset.root={pictures}"))
    variables = {}
    for block in blocks(page):
        code = block.replace('"dataset=demo", "training.epochs=1"', f'{tiny}, "training.epochs=1"')
        exec(compile(code, page, "exec"), variables)
    return variables


@pytest.mark.integration
def test_the_page_runs_and_agrees_with_the_commands(folder, pictures):
    with working_directory(folder):
        found = run("docs/PYTHON.md", pictures)
        commands = {
            "evaluate": run_script("evaluate.py", "--checkpoint", "results/checkpoints/best_model.pt", cwd=folder),
            "inference": run_script(
                *("inference.py", "--checkpoint", "results/checkpoints/best_model.pt", "--format", "official"),
                *("--input", "data/flower100/test", "--output", "results/command.csv"),
                cwd=folder,
            ),
        }
    assert all(done.returncode == 0 for done in commands.values()), commands
    assert f"top-1              {100 * found['found'].metrics.top1:.2f} %" in commands["evaluate"].stdout
    rows = (folder / "results" / "command.csv").read_text(encoding="utf-8").splitlines()[1:]
    result = found["result"]
    assert [row.split(",")[0] for row in rows] == result.image_ids
    categories = [result.classes[prediction.label].category_id for prediction in result.predictions]
    assert [row.split(",")[1] for row in rows] == categories
    assert list(result.unreadable) == ["broken.jpg"]
    assert found["averaged"].image_ids == ["a.jpg", "b.jpg"]
    assert found["averaged"].probabilities.sum(axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert [path.as_posix() for path in found["files"]] == ["results/predictions.csv", "results/predictions.json"]
    assert (folder / "results" / "predictions.csv").is_file()
    assert 0 <= found["trained"].best_top1 <= 1
    assert (folder / found["trained"].best_model).is_file()
    assert found["timed"].latency.p95_ms > 0
    assert "size of all models" not in found["broken"]


def test_the_example_of_the_readme_is_that_of_the_page():
    (example,) = blocks("README.md")
    assert example == blocks("docs/PYTHON.md")[0]
    assert blocks("README.zh-CN.md") == [example]
