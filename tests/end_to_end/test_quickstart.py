"""The one command: it refuses what cannot work, does not repeat what is done, and goes on after a failure."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalMemberAccess=false

import ast
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import quickstart
from tests.helpers import REPOSITORY, run_process


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """A repository without code; every command that would run is recorded and answered with an exit code."""
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text("torch\n", encoding="utf-8")
    (tmp_path / "results" / "quickstart").mkdir(parents=True)
    calls, codes = [], {}

    def answer(command, **options):
        calls.append([str(word) for word in command])
        if command[1:3] == ["-m", "venv"]:
            quickstart.venv_python().parent.mkdir(parents=True)
            quickstart.venv_python().write_text("", encoding="utf-8")
        code = next((code for word, code in codes.items() if word in calls[-1]), 0)
        if code == 0:
            leave_output(tmp_path, calls[-1])
        return code

    monkeypatch.setattr(quickstart, "REPOSITORY", tmp_path)
    monkeypatch.setattr(quickstart, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(subprocess, "call", answer)
    monkeypatch.setattr(quickstart, "run_python", lambda words: answer([str(quickstart.venv_python()), *words]))
    return calls, codes


def leave_output(root, call):
    """Write what a step would leave."""
    for _, command, _, output in quickstart.steps():
        if command[0] in call:
            (root / output).parent.mkdir(parents=True, exist_ok=True)
            (root / output).touch()


def ran(calls, word):
    return sum(word in call for call in calls)


def test_it_needs_the_standard_library_alone_and_an_old_python_parses_it():
    tree = ast.parse((REPOSITORY / "quickstart.py").read_text(encoding="utf-8"), feature_version=(3, 7))
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)


def test_another_python_gets_a_sentence(monkeypatch):
    for version in ((3, 9, 1), (3, 15, 0)):
        monkeypatch.setattr(sys, "version_info", version)
        with pytest.raises(quickstart.Failure, match=r"3\.10 to 3\.14 is needed") as failure:
            quickstart.main([])
        assert failure.value.exit_code == 2


def test_the_journey_runs_once_and_a_repetition_runs_nothing(sandbox):
    calls, _ = sandbox
    assert quickstart.main([]) == 0
    scripts = [word for call in calls for word in call if word.endswith(".py")]
    assert scripts == ["train.py", "evaluate.py", "inference.py", "check_competition.py", "prepare_submission.py"]
    assert ran(calls, "pip") == 1
    calls.clear()
    assert quickstart.main([]) == 0
    assert [call[1:] for call in calls] == [["-c", "import pip"]]


def test_an_interrupted_install_goes_on_and_changed_requirements_install_again(sandbox, tmp_path):
    calls, codes = sandbox
    codes["pip"] = 1
    with pytest.raises(quickstart.Failure, match="pip could not install"):
        quickstart.main([])
    codes.clear()
    assert quickstart.main([]) == 0
    assert ran(calls, "venv") == 1
    assert ran(calls, "pip") == 2
    (tmp_path / "requirements.txt").write_text("torch\ntimm\n", encoding="utf-8")
    quickstart.main([])
    assert ran(calls, "pip") == 3


def test_a_broken_environment_is_made_anew(sandbox):
    calls, codes = sandbox
    quickstart.main([])
    codes["import pip"] = 1
    quickstart.main([])
    assert ran(calls, "venv") == 2


def test_a_failed_step_ends_it_and_the_next_time_goes_on_from_there(sandbox):
    calls, codes = sandbox
    codes["inference.py"] = 1
    with pytest.raises(
        quickstart.Failure, match=r"inference\.py ended with exit code 1; python quickstart\.py goes on"
    ):
        quickstart.main([])
    codes.clear()
    assert quickstart.main([]) == 0
    assert [ran(calls, name) for name in ("train.py", "evaluate.py", "inference.py")] == [1, 1, 2]


def test_an_interrupted_training_is_resumed(sandbox, tmp_path):
    calls, _ = sandbox
    last = tmp_path / "results" / "quickstart" / "checkpoints" / "last.pt"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"")
    quickstart.main([])
    training = next(call for call in calls if "train.py" in call)
    assert training[-1] == "training.resume=auto"


def test_a_broken_rule_is_told_and_the_journey_goes_on(sandbox, tmp_path, capsys):
    calls, codes = sandbox
    codes["check_competition.py"] = 1
    assert quickstart.main([]) == 0
    assert ran(calls, "prepare_submission.py") == 1
    assert "A rule is broken here" in capsys.readouterr().out
    done = json.loads((tmp_path / "results" / "quickstart" / "journey.json").read_text(encoding="utf-8"))
    assert "check_competition.py" not in done


def test_a_damaged_record_and_a_missing_output_repeat_the_step(sandbox, tmp_path):
    calls, _ = sandbox
    results = tmp_path / "results" / "quickstart"
    (results / "journey.json").write_text('["train.py", "eva', encoding="utf-8")
    assert quickstart.main([]) == 0
    calls.clear()
    (results / "submission.zip").unlink()
    quickstart.main([])
    assert [word for call in calls for word in call if word.endswith(".py")] == ["prepare_submission.py"]


def test_an_interrupted_step_is_an_interrupt(sandbox):
    _, codes = sandbox
    codes["train.py"] = 130
    with pytest.raises(KeyboardInterrupt):
        quickstart.main([])


@pytest.mark.integration
@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to a process group")
def test_an_interrupt_waits_until_the_step_has_saved(tmp_path):
    child = tmp_path / "child.py"
    child.write_text(
        "import pathlib, time\n"
        "try:\n    pathlib.Path(__file__).with_name('started').touch(); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(1); pathlib.Path(__file__).with_name('saved').touch()\n",
        encoding="utf-8",
    )
    parent = (
        "import sys, pathlib, quickstart\n"
        "quickstart.venv_python = lambda: pathlib.Path(sys.executable)\n"
        f"quickstart.run_python([{str(child)!r}])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], cwd=REPOSITORY, start_new_session=True, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(30)
    assert (tmp_path / "saved").exists()


def test_the_tests_run_in_the_same_environment(sandbox):
    calls, codes = sandbox
    codes["pytest"] = 3
    assert quickstart.main(["test", "-x"]) == 3
    assert calls[-1][1:] == ["-m", "pytest", "-m", "not slow", "-n", "2", "--dist", "worksteal", "-x"]
    assert any("requirements-dev.txt" in call for call in calls)


def test_unknown_words_and_help():
    done = run_process("quickstart.py", "tets")
    assert (done.returncode, done.stderr.startswith("error: tets: unknown")) == (2, True)
    done = run_process("quickstart.py", "--help")
    assert done.returncode == 0
    assert "python quickstart.py test" in done.stdout


def test_a_new_model_makes_all_that_follows_old(sandbox, tmp_path):
    calls, _ = sandbox
    quickstart.main([])
    (tmp_path / "results" / "quickstart" / "checkpoints" / "best_model.pt").unlink()
    calls.clear()
    quickstart.main([])
    assert [ran(calls, name) for name in ("train.py", "evaluate.py", "prepare_submission.py")] == [1, 1, 1]
