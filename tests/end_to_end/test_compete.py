"""compete.py with the real commands: from a folder per class to a proven ZIP, killed on the way."""

import json
import subprocess
import time

import pytest

from tests.conftest import stripes, write_picture
from tests.helpers import REPOSITORY, command, environment

WORDS = ("--hours", "1", "--models", "efficientnet_lite0", "dataset.num_workers=0", "device=cpu")


@pytest.fixture
def source(tmp_path):
    for label in range(3):
        for index in range(30):
            folder = tmp_path / "my photographs" / f"花 {label}"
            folder.mkdir(parents=True, exist_ok=True)
            write_picture(folder / f"{label}_{index}.png", stripes(label, index))
    return tmp_path / "my photographs"


def compete(source, tmp_path, *words):
    words = ("--source", source, "--output", tmp_path / "contest", *WORDS, *words)
    return subprocess.Popen(
        command("compete.py", *words),
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(process):
    output = process.communicate(timeout=600)[0].decode("utf-8")
    return process.returncode, output


@pytest.mark.slow
def test_a_folder_becomes_a_proven_zip_although_it_is_killed(source, tmp_path):
    code, output = ended(compete(source, tmp_path, "--plan"))
    assert code == 0, output
    folder = tmp_path / "contest"
    plan = json.loads((folder / "plan.json").read_text("utf-8"))
    (run, *_) = plan["runs"]
    # so that the test ends soon
    small = [key for key in run["keys"] if "input_size" not in key and "final_epochs" not in key]
    run["keys"] = [*small, "model.input_size=32", "training.final_epochs=0"]
    run["minutes"] = 0.5
    (folder / "plan.json").write_text(json.dumps({**plan, "runs": [run]}), encoding="utf-8")

    killed = compete(source, tmp_path)
    history = folder / "runs" / run["name"] / "history.csv"
    end = time.monotonic() + 300
    while not history.is_file():
        assert time.monotonic() < end
        assert killed.poll() is None, ended(killed)[1]
        time.sleep(0.2)
    killed.kill()
    killed.wait()

    code, output = ended(compete(source, tmp_path))
    assert code == 0, output
    assert "Proven: " in output
    assert json.loads((folder / "submission_proof.json").read_text("utf-8"))
    result = json.loads((folder / "finished.json").read_text("utf-8"))
    assert result["test_top1"] > 0.5
    assert (folder / "summary.html").is_file()
    assert (folder / "report" / "report.html").is_file()
    # nothing that was finished ran again
    started = [json.loads(line) for line in (folder / "journal.jsonl").read_text("utf-8").splitlines()]
    counts = {step: sum(e["event"] == "start" and e["step"] == step for e in started) for step in ("split", "prepare")}
    assert counts == {"split": 1, "prepare": 1}
