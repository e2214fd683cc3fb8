"""The one command: it refuses what cannot work, does not repeat what is done, and goes on after a failure."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalMemberAccess=false

import ast
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(quickstart, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(quickstart, "installed_build", lambda: None)
    monkeypatch.setattr(quickstart, "run_python", lambda words, _=None: answer([str(quickstart.venv_python()), *words]))
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
    assert ran(calls, "install") == 1
    calls.clear()
    assert quickstart.main([]) == 0
    assert [call[1:] for call in calls] == [["-c", "import pip"]]


def test_an_interrupted_install_goes_on_and_changed_requirements_install_again(sandbox, tmp_path):
    calls, codes = sandbox
    codes["install"] = 1
    with pytest.raises(quickstart.Failure, match="pip could not install"):
        quickstart.main([])
    codes.clear()
    assert quickstart.main([]) == 0
    assert ran(calls, "venv") == 1
    assert ran(calls, "install") == 2
    (tmp_path / "requirements.txt").write_text("torch\ntimm\n", encoding="utf-8")
    quickstart.main([])
    assert ran(calls, "install") == 3


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


def installs(calls):
    """Return the words after `pip install` and the quiet options, of each install."""
    return [call[call.index("--quiet") + 2 :] for call in calls if "install" in call]


FROM_THE_CPU_INDEX = ["--no-deps", "--index-url", "https://download.pytorch.org/whl/cpu", "torch"]
FROM_THE_CUDA_INDEX = ["--no-deps", "--index-url", "https://download.pytorch.org/whl/cu128", "torch"]
THE_REST = ["-r", "requirements.txt"]


@pytest.mark.parametrize(
    ("system", "gpu", "flags", "answers", "expected", "told"),
    [
        ("Linux", False, [], True, [FROM_THE_CPU_INDEX, THE_REST], "torch for CPUs: no NVIDIA GPU is here"),
        ("Linux", True, [], True, [THE_REST], "torch for NVIDIA GPUs (CUDA): an NVIDIA GPU is here"),
        ("Linux", True, ["--cpu"], True, [FROM_THE_CPU_INDEX, THE_REST], "torch for CPUs: --cpu asks for it"),
        ("Linux", False, ["--cuda"], True, [THE_REST], "torch for NVIDIA GPUs (CUDA): --cuda asks for it"),
        (
            "Linux",
            False,
            [],
            False,
            [THE_REST],
            "no NVIDIA GPU is here, but https://download.pytorch.org/whl/cpu does not answer within 5 seconds",
        ),
        ("Windows", True, [], True, [FROM_THE_CUDA_INDEX, THE_REST], "torch for NVIDIA GPUs (CUDA)"),
        ("Windows", True, [], False, [THE_REST], "torch for CPUs: an NVIDIA GPU is here, but"),
        ("Windows", True, ["--cpu"], False, [THE_REST], "torch for CPUs: --cpu asks for it"),
        ("Darwin", False, [], False, [THE_REST], "torch for CPUs: macOS has no CUDA"),
    ],
)
def test_the_build_of_torch_suits_the_machine_or_the_flag(
    sandbox, monkeypatch, capsys, system, gpu, flags, answers, expected, told
):
    calls, _ = sandbox
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(quickstart, "has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(quickstart, "answers", lambda index: answers)
    assert quickstart.main(flags) == 0
    assert installs(calls) == expected
    printed = capsys.readouterr().out
    assert told in printed
    assert ("About 0.4 GB" if "torch for CPUs" in told else "About 3.2 GB") in printed


@pytest.mark.parametrize(
    ("system", "flags", "message"),
    [
        ("Linux", ["--cpu"], "--cpu: .* does not answer within 5 seconds. .* --cuda takes that"),
        ("Windows", ["test", "--cuda"], "--cuda: .* does not answer within 5 seconds. .* --cpu takes that"),
        ("Darwin", ["--cuda"], "macOS has no CUDA"),
        ("Linux", ["--cuda", "--cpu"], "Give one of them"),
    ],
)
def test_a_flag_that_cannot_be_followed_ends_it(sandbox, monkeypatch, system, flags, message):
    calls, _ = sandbox
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(quickstart, "answers", lambda index: False)
    with pytest.raises(quickstart.Failure, match=message):
        quickstart.main(flags)
    assert installs(calls) == []


@pytest.mark.parametrize("finished", [False, True])
def test_a_torch_that_works_stays_and_a_flag_that_wants_another_is_answered(sandbox, monkeypatch, capsys, finished):
    calls, _ = sandbox
    if finished:
        quickstart.main([])
        calls.clear()
    monkeypatch.setattr(quickstart, "installed_build", lambda: "cuda")
    monkeypatch.setattr(quickstart, "answers", lambda index: pytest.fail("the network was asked"))
    assert quickstart.main(["--cpu"]) == 0
    assert installs(calls) == ([] if finished else [THE_REST])
    printed = capsys.readouterr().out
    assert "The torch of .venv is for NVIDIA GPUs (CUDA) and stays." in printed
    assert f"{quickstart.venv_python()} -m pip uninstall -y torch torchvision" in printed
    monkeypatch.setattr(quickstart, "installed_build", lambda: None)
    monkeypatch.setattr(quickstart, "answers", lambda index: True)
    calls.clear()
    quickstart.main(["--cpu"])
    assert installs(calls) == [FROM_THE_CPU_INDEX, THE_REST]


def test_only_the_lines_of_torch_come_from_its_index(sandbox, tmp_path):
    text = "# torch\ntorch>=2.6\ntorchvision>=0.21\ntorchmetrics\ntimm\n"
    (tmp_path / "requirements.txt").write_text(text, encoding="utf-8")
    assert quickstart.torch_ranges() == ["torch>=2.6", "torchvision>=0.21"]


def test_the_build_in_an_environment_is_asked_of_its_torch(tmp_path, monkeypatch):
    monkeypatch.setattr(quickstart, "venv_python", lambda: Path(sys.executable))
    for name, text in (("torch", "class version: cuda = {}\n"), ("torchvision", "")):
        (tmp_path / f"{name}.py").write_text(text.format("'12.8'"), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert quickstart.installed_build() == "cuda"
    (tmp_path / "torch.py").write_text("class version: cuda = None\n", encoding="utf-8")
    assert quickstart.installed_build() == "cpu"
    (tmp_path / "torchvision.py").write_text("raise ImportError\n", encoding="utf-8")
    assert quickstart.installed_build() is None
    monkeypatch.setattr(quickstart, "venv_python", lambda: tmp_path / "missing")
    assert quickstart.installed_build() is None


@pytest.mark.skipif(os.name == "nt" or any(Path("/dev").glob("nvidia*")), reason="needs a shell, and no device")
@pytest.mark.parametrize(("answer", "expected"), [("exit 0", True), ("exit 9", False), (None, False)])
def test_a_gpu_is_where_its_driver_answers(tmp_path, monkeypatch, answer, expected):
    if answer:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert quickstart.has_nvidia_gpu() is expected


class Index(BaseHTTPRequestHandler):
    """An index that has torch alone."""

    def do_GET(self):
        self.send_response(200 if self.path == "/whl/torch/" else 404)
        self.end_headers()

    def log_message(self, format, *args):
        pass


def test_an_index_answers_or_does_not(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert quickstart.answers(f"{address}/whl")
        assert not quickstart.answers(f"{address}/other")
        server.shutdown()
    assert not quickstart.answers(f"{address}/whl")


def test_an_index_that_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(quickstart, "SECONDS_TO_ANSWER", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not quickstart.answers(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_the_index_of_torch_is_the_only_one_asked_for_it(monkeypatch, capfd):
    monkeypatch.setattr(quickstart, "venv_python", lambda: Path(sys.executable))
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "http://localhost/elsewhere")
    assert quickstart.run_python(["-m", "pip", "config", "debug"], quickstart.ONLY_INDEX) == 0
    assert "elsewhere" not in capfd.readouterr().out


def test_pip_is_told_to_leave_out_a_cache_that_it_cannot_use(sandbox):
    calls, codes = sandbox
    codes["cache"] = 1
    quickstart.main([])
    assert any("--no-cache-dir" in call for call in calls if "install" in call)


def test_each_step_says_how_long_is_left(sandbox, capsys):
    quickstart.main([])
    printed = capsys.readouterr().out
    assert "Step 1 of 5: Draw 500 flowers and train on 320 of them, about 3 min left" in printed
    # here each step took no time at all
    assert "Step 2 of 5: Evaluate, less than 1 min left" in printed


def test_a_slow_machine_stretches_the_time_left():
    assert quickstart.time_left(["inference.py"], {}) == "less than 1 min"
    slow = {"train.py": 1110, "evaluate.py": 100}
    assert quickstart.time_left(["inference.py", "check_competition.py"], slow) == "about 4 min"
    assert set(quickstart.TYPICAL_SECONDS) == {command[0] for _, command, _, _ in quickstart.steps()}


def test_the_tests_run_in_the_same_environment(sandbox):
    calls, codes = sandbox
    codes["pytest"] = 3
    assert quickstart.main(["test", "--cuda", "-x"]) == 3
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
