"""The notebook is valid, holds no outputs, its commands parse, and it runs from top to bottom."""

import ast
import shlex
import shutil
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.end_to_end.test_guide import check_line
from tests.helpers import REPOSITORY, working_directory

NOTEBOOK = REPOSITORY / "notebooks" / "flower_kit.ipynb"
SIZES = "model.input_size=64 training.final_input_size=null"
SMALL = f"--config-name quickstart training.epochs=2 {SIZES} dataset.num_workers=0 device=cpu"
SMALL_DEMO = "dataset.demo.classes=3 dataset.demo.images_per_class=12 dataset.demo.image_size=128"


def read_notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def commands(notebook, source):
    """Return the commands of `run(...)` as they are when SOURCE is `source`."""
    cells = code_of(notebook)
    (constants,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    values = {"shlex": shlex, "shown": Path("results/notebook/least_certain")}
    exec(constants.source, values)
    values["SOURCE"] = source
    found = []
    for node in (node for cell in cells for node in ast.parse(cell).body):
        if isinstance(node, ast.If) and not source:
            # what prepares the photographs of SOURCE
            continue
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            name = node.targets[0].id
            values.setdefault(name, eval(compile(ast.Expression(node.value), NOTEBOOK.name, "eval"), values))
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "run":
                found.append(eval(compile(ast.Expression(call.args[0]), NOTEBOOK.name, "eval"), values))
    return found


def test_the_notebook_is_valid_and_holds_no_outputs():
    notebook = read_notebook()
    nbformat.validate(notebook)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == ["markdown", *["markdown", "code"] * (len(kinds) // 2)]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
            assert len(cell.source.splitlines()) <= 16


@pytest.mark.parametrize("source", ["", "/kaggle/input/my flowers"])
def test_the_commands_of_the_notebook_are_understood(source):
    found = commands(read_notebook(), source)
    assert len(found) >= 7
    for command in found:
        if not command.startswith(("python install_beside_torch.py", "python benchmarks/")):
            check_line(command)
    if source:
        assert any("prepare-data --source '/kaggle/input/my flowers'" in command for command in found)


@pytest.mark.integration
@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="needs a clone, not an unpacked ZIP")
def test_outside_a_checkout_the_kit_is_cloned(tmp_path):
    fetching = next(cell for cell in code_of(read_notebook()) if "git" in cell and "clone" in cell)
    with working_directory(tmp_path):
        exec(fetching, {"REPOSITORY": REPOSITORY.as_uri()})
        assert Path.cwd() == tmp_path / "flower-kit"
        assert Path("prepare_submission.py").is_file()


def own_folder(root):
    """Write photographs as a user has them: a folder per class, and images to predict."""
    from tests.conftest import stripes, write_picture

    for label, name in enumerate(("rose", "tulip", "daisy")):
        (root / "train" / name).mkdir(parents=True)
        for index in range(12):
            write_picture(root / "train" / name / f"{name}{index}.png", stripes(label, index))
    (root / "test").mkdir()
    for index in range(6):
        write_picture(root / "test" / f"{index}.png", stripes(index % 3, 50 + index))
    return root


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["demo", "own folder"])
def test_the_notebook_runs_from_top_to_bottom(own, tmp_path):
    kit = tmp_path / "a kit"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "results", "tests", "docs", "demo", "flower100", "flowers102")
    shutil.copytree(REPOSITORY, kit, ignore=ignored)
    source = str(own_folder(tmp_path / "my flowers")) if own else ""
    notebook = read_notebook()
    (place,) = (i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    training = SMALL if own else f"{SMALL} {SMALL_DEMO}"
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(f"SOURCE, TRAINING = {source!r}, {training!r}"))
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(kit / "notebooks")}})
    # the kernel of this environment, whatever kernels the user has registered
    kernel = client.create_kernel_manager().kernel_spec
    assert kernel is not None
    kernel.argv[0] = sys.executable
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [cell.source for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert [
        name for name in ("curve.png", "confusion_matrix", "answers.png") if not any(name in p for p in pictures)
    ] == []
    assert all("image/png" in output["data"] for output in outputs if "data" in output)
    printed = "".join(output["text"] for output in outputs if output.output_type == "stream")
    assert "Proven: results/notebook/submission.zip" in printed
    assert "\x1b" not in printed
    results = kit / "results" / "notebook"
    assert zipfile.is_zipfile(results / "submission.zip")
    assert (results / "submission_proof.json").is_file()
