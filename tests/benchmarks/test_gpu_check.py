"""gpu_check.py: its reduced form runs on a CPU, so that it cannot rot; what only a card does is imitated."""

import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu_check
from benchmarks.gpu import goals, latency, machine, memory, pictures, runner, throughput
from benchmarks.gpu.runner import Runner, Task
from benchmarks.gpu.site import Outcome, Site, line_path
from configs.compose import compose
from prediction.latency import Percentiles
from tests.helpers import REPOSITORY, run_words

H100 = {"device": "cuda", "card": "NVIDIA H100 80GB HBM3", "card_gb": 85.0, "cores": 16}
RTX_3060 = {"device": "cuda", "card": "NVIDIA GeForce RTX 3060", "card_gb": 12.6, "cores": 12}
CPU = {"device": "cpu", "card": "", "card_gb": 0.0, "cores": 2}
NOTHING_REFUSED = {"refused": dict.fromkeys(machine.PRECISIONS, "")}


def names_of(reduced):
    return [check.name for stage in gpu_check.stages(reduced) for check in stage.checks]


@pytest.mark.slow
def test_the_reduced_form_passes_and_leaves_a_line_for_every_check(tmp_path):
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "gpu_check.py"), "--output", str(tmp_path)]
    done = run_words(command, timeout=1000, cwd=tmp_path)
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    lines = {line["check"]: line for line in found["checks"]}
    assert {name: line["why"] for name, line in lines.items() if line["ok"] is False} == {}
    assert done.returncode == 0, done.stderr
    assert sorted(lines) == sorted([gpu_check.MACHINE, *names_of(reduced=True)])
    refused = [name for name, why in found["machine"]["refused"].items() if why]
    skipped = {f"{check}_{name}" for name in refused for check in ("train", "judges_copy")}
    skipped |= {"fp16_one_step_epochs"} if "fp16" in refused else set()
    skipped |= {"compile"} if found["machine"]["no_compiler"] else set()
    assert {name for name, line in lines.items() if line["ok"] is None} == skipped
    for line in lines.values():
        assert json.dumps(line, ensure_ascii=False) in done.stdout.splitlines()
        assert all(goal["passed"] is None for goal in line.get("goals", ()))
    assert f"{len(lines)} checks: " in done.stdout
    assert "It measures nothing of a GPU." in done.stdout


def test_the_form_for_a_gpu_has_every_check_under_a_name_of_its_own():
    names = names_of(reduced=False)
    assert len(set(names)) == len(names)
    for load in throughput.LOADS:
        assert names.index(f"synthetic_{load}") < names.index(f"real_{load}")
    assert {f"latency_{model}" for model in latency.MODELS} < set(names)
    small = {name for name in names_of(reduced=True) if "@" not in name and not name.startswith("latency_")}
    assert small < set(names)


@pytest.mark.parametrize(
    ("facts", "seconds", "at_once"),
    [(H100, 480, 6), (RTX_3060, 1200, 3), ({**RTX_3060, "card_gb": 8.2, "cores": 8}, 1200, 2), (CPU, 900, 2)],
)
def test_time_and_checks_at_once_are_those_of_the_machine(facts, seconds, at_once):
    assert gpu_check.total_seconds(facts) == seconds
    assert gpu_check.at_once(facts) == at_once


def test_on_windows_few_checks_share_the_paging_file(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert gpu_check.at_once(RTX_3060) == 2


@pytest.mark.parametrize(
    ("goal", "passed"),
    [
        (goals.at_least("", 0.97, 0.97), True),
        (goals.at_least("", 0.96, 0.97), False),
        (goals.at_least("", None, 0.97), None),
        (goals.near_one("", 1.15, 0.15), True),
        (goals.near_one("", 0.85, 0.15), True),
        (goals.near_one("", 1.16, 0.15), False),
        (goals.near_one("", 0.84, 0.15), False),
        (goals.near_one("", None, 0.15), None),
        (goals.at_most("", 20.0, 20.0), True),
        (goals.at_most("", 20.1, 20.0), False),
        (goals.at_most("", 20.1, None), None),
        (goals.at_most("", None, 20.0), None),
    ],
)
def test_a_goal_is_reached_missed_or_not_judged(goal, passed):
    assert goal["passed"] is passed


def test_only_cards_with_a_goal_are_judged_by_their_latency():
    assert [goals.latency_goal(facts["card"]) for facts in (H100, RTX_3060, CPU)] == [20, 60, None]


def test_the_table_shows_each_check_and_goal_and_the_verdict_counts_them():
    lines = [
        {
            "check": "good",
            "ok": True,
            "seconds": 3.2,
            "summary": "fast",
            "goals": [goals.at_least("speed", 0.5, 1)],
        },
        {"check": "bad", "ok": False, "seconds": 61.0, "why": "exit code 1:\nno such file"},
        {"check": "absent", "ok": None, "seconds": 0.0, "why": "no bfloat16"},
    ]
    rows = [line.split() for line in goals.tables(lines).splitlines()]
    assert rows[1] == ["good", "ok", "3", "fast"]
    assert rows[2] == ["bad", "FAILED", "61", "exit", "code", "1:", "no", "such", "file"]
    assert rows[3] == ["absent", "skipped", "0", "no", "bfloat16"]
    assert rows[-1] == ["speed", "0.50", ">=", "1", "FAIL"]
    assert goals.verdict(lines) == "3 checks: 1 ok, 1 FAILED, 1 skipped; 1 goals: 1 FAIL"


# a check's process for the runner: `good` writes its facts, `bad` raises, `endless` starts a child that would stay
WORKER = """
import json, subprocess, sys, time
folder, name = sys.argv[1:]
if name == "bad":
    raise ValueError("this is why")
if name == "endless":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(folder + "/child", "w").write(str(child.pid))
    time.sleep(600)
json.dump({"ok": True, "summary": name}, open(folder + "/lines/" + name + ".json", "w"))
"""


@pytest.fixture
def runs(tmp_path):
    """A runner whose checks are `WORKER`, and the folder of its results."""
    line_path(tmp_path, "any").parent.mkdir()
    return Runner([sys.executable, "-c", WORKER, str(tmp_path)], tmp_path, tmp_path / "output" / "gpu.json")


def written(runs):
    return json.loads(runs.results.read_text(encoding="utf-8"))


def test_a_check_that_raises_is_a_line_and_the_next_one_runs(runs):
    runs.run_stage([Task("bad", 60), Task("good", 60)], at_once=1)
    bad, good = written(runs)["checks"]
    assert (bad["check"], bad["ok"], bad["why"]) == ("bad", False, "exit code 1: ValueError: this is why")
    assert (good["check"], good["ok"], good["summary"]) == ("good", True, "good")
    assert "this is why" in (runs.results.parent / "logs" / "bad.log").read_text(encoding="utf-8")


@pytest.mark.integration
def test_a_check_that_takes_too_long_is_ended_with_its_children(runs):
    runs.run(Task("endless", 3))
    (line,) = written(runs)["checks"]
    assert (line["ok"], line["why"]) == (False, "not done after 3 s")
    assert_gone(int((runs.folder / "child").read_text(encoding="utf-8")))


def assert_gone(pid):
    """A process is gone, or a zombie that nobody has asked for its end."""
    status = Path(f"/proc/{pid}/stat")
    for _ in range(50):
        if not status.exists() or status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid} is alive")


@pytest.mark.integration
def test_what_no_time_is_left_for_is_skipped(runs, monkeypatch):
    monkeypatch.setattr(runner, "LEAST_SECONDS", 1)
    runs.deadline = runs.seconds + 3
    runs.run_stage([Task("endless", 60), Task("good", 60)], at_once=1)
    late, never = written(runs)["checks"]
    assert (late["ok"], never["ok"], never["why"]) == (None, None, "no time was left")
    assert late["why"].endswith("that were left")


def test_ctrl_c_ends_what_runs_and_keeps_what_was_found(runs, monkeypatch):
    runs.run_stage([Task("good", 60)], at_once=1)
    monkeypatch.setattr(runner, "wait", interrupt_once_there_is(runs.folder / "child"))
    with pytest.raises(KeyboardInterrupt):
        runs.run_stage([Task("endless", 60), Task("good", 60)], at_once=1)
    assert [line["check"] for line in written(runs)["checks"]] == ["good"]
    assert_gone(int((runs.folder / "child").read_text(encoding="utf-8")))


def interrupt_once_there_is(path):
    def interrupt(*_, **__):
        for _ in range(600):
            if path.exists() and path.read_text(encoding="utf-8"):
                raise KeyboardInterrupt
            time.sleep(0.1)

    return interrupt


def test_results_that_another_program_holds_end_nothing(runs, monkeypatch, capsys):
    replace = Path.replace

    def held(self, other):
        if Path(other) == runs.results:
            raise PermissionError(13, "being used by another process")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", held)
    runs.run_stage([Task("good", 60), Task("bad", 60)], at_once=1)
    assert sorted(line["check"] for line in runs.lines) == ["bad", "good"]
    assert "warning: the newest gpu.json is missing" in capsys.readouterr().err
    monkeypatch.undo()
    runs.write()
    assert len(written(runs)["checks"]) == 2


def test_a_gpu_that_this_torch_cannot_use_is_told_with_the_remedy(tmp_path, monkeypatch, capsys):
    warning = "RTX 3060 is there, but this torch is built for CPUs only."
    facts = {**CPU, "warning": warning}
    monkeypatch.setattr(gpu_check, "stages", lambda reduced: [])
    monkeypatch.setattr(Runner, "run", lambda self, task: {"ok": True, "machine": facts})
    assert gpu_check.run_all(tmp_path, tmp_path / "output") == 0
    assert capsys.readouterr().out.count(f"warning: {warning}") == 2


def test_files_are_copied_where_there_are_no_links(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"flower")
    monkeypatch.delattr(pictures.os, "link")
    pictures.same_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"flower"


def test_the_batch_is_halved_until_it_fits_the_card(tmp_path):
    load = throughput.LOADS[1]
    assert throughput.fitting_batch(Site(tmp_path, H100), load, lambda batch: batch * 10**9) == 32
    assert throughput.fitting_batch(Site(tmp_path, RTX_3060), load, lambda batch: batch * 10**9) == 4
    assert throughput.fitting_batch(Site(tmp_path, CPU), load, lambda batch: batch * 10**9) == 32


class Passes:
    """A training loop that answers full memory by halves, and keeps the failed outputs or lets go of them."""

    def __init__(self, keeps):
        self.model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        self.kept, self.parts = [], 1
        if keeps:
            self.model[2].register_forward_pre_hook(lambda module, inputs: self.kept.append(inputs[0]))

    def step(self):
        while not self._passes():
            self.parts *= 2

    def _passes(self):
        try:
            for part in torch.ones(8, 4).chunk(self.parts):
                self.model(part).sum().backward()
        except torch.OutOfMemoryError:
            return False
        return True


@pytest.fixture
def training_passes(monkeypatch):
    """Every pass of `Passes` counts as one of a classifier."""
    monkeypatch.setattr("benchmarks.gpu.kit.is_training_pass", lambda module: isinstance(module, torch.nn.Sequential))


def test_full_memory_is_raised_in_both_passes_and_what_stays_is_seen(training_passes):
    for keeps in (False, True):
        passes = Passes(keeps)
        with memory.Watch(on_cuda=False) as watch:
            for _ in range(8):
                passes.step()
        assert [failure["place"] for failure in watch.failures] == ["forward", "backward"]
        assert [failure["parts"] for failure in watch.failures] == [2, 4]
        assert [failure["alive"] > 0 for failure in watch.failures] == [keeps, keeps]
        assert bool(memory._problem(0, [1.0], watch)) is keeps


def test_a_card_is_capped_at_half_of_what_a_pass_takes(training_passes, monkeypatch):
    fractions = []
    fakes = {
        "memory_allocated": lambda: 2e9,
        "max_memory_allocated": lambda: 6e9,
        "reset_peak_memory_stats": lambda: None,
        "empty_cache": lambda: None,
        "memory_reserved": lambda: 3e9,
        "current_device": lambda: 0,
        "get_device_properties": lambda device: SimpleNamespace(total_memory=16e9),
        "set_per_process_memory_fraction": fractions.append,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    passes = Passes(keeps=False)
    with memory.Watch(on_cuda=True) as watch:
        for _ in range(4):
            passes.step()
    assert fractions == [5 / 16]
    assert watch.pass_gb == 4.0


def test_the_peak_and_the_waits_of_a_step_are_read_on_a_card(monkeypatch, tmp_path):
    modes, site = [], Site(tmp_path, H100)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: modes.append("reset"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 5_000)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def step():
        modes.append("step")
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert throughput.peak_memory(step, site) == 5_000
    assert modes == [*["step"] * 3, "reset", *["step"] * 2]
    assert throughput._waits(step, site) == 1
    assert modes[-3:] == ["warn", "step", "default"]
    assert throughput.peak_memory(lambda: None, Site(tmp_path, CPU)) is None


@pytest.mark.parametrize(("facts", "passed"), [(H100, False), (RTX_3060, True), (CPU, None)])
def test_the_latency_goal_is_that_of_the_card(facts, passed, monkeypatch, tmp_path):
    def timed(checkpoint, precision, view_sets, images):
        stage = Percentiles(9.0, 10.0, 11.0)
        return [
            SimpleNamespace(median_ms=25.0, p95_ms=30.0, views=views, precision=precision, stages={"decode": stage})
            for views in view_sets
        ]

    monkeypatch.setattr("benchmarks.gpu.kit.write_random_checkpoint", lambda *_: None)
    monkeypatch.setattr("benchmarks.gpu.kit.latencies", timed)
    monkeypatch.setattr("data.flower_drawing.draw_jpegs", lambda *_: [])
    found = latency.latency(Site(tmp_path, {**facts, **NOTHING_REFUSED}), "convnext_base")
    assert len(found["latency"]) == 6
    assert [goal["passed"] for goal in found["goals"]] == [passed]


def test_what_is_known_of_a_card(monkeypatch):
    fakes = {
        "is_available": lambda: True,
        "mem_get_info": lambda: (11e9, 12.6e9),
        "get_device_name": lambda *_: RTX_3060["card"],
        "get_device_capability": lambda *_: (8, 6),
        "is_bf16_supported": lambda **_: True,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91000)
    facts = machine.machine_facts()
    assert facts["warning"] == ""
    assert (facts["device"], facts["card_gb"], facts["capability"]) == ("cuda", 12.6, "8.6")
    assert facts["refused"] == NOTHING_REFUSED["refused"]
    assert json.loads(json.dumps(facts)) == facts


def test_a_card_that_only_emulates_bfloat16_is_not_asked_for_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 5))
    assert "only emulate" in machine._refusal("bf16")
    assert machine._refusal("fp16") == machine._refusal("fp32") == ""


@pytest.mark.integration
@pytest.mark.parametrize("facts", [H100, CPU])
def test_every_training_of_the_checks_has_a_config(facts, monkeypatch, tmp_path):
    given = []

    def started(script, *words):
        given.append(words)
        return Outcome(1, "", "", 0.0)

    monkeypatch.setattr("benchmarks.gpu.site.run_script", started)
    monkeypatch.setattr("benchmarks.gpu.kit.train_here", lambda keys: given.append(keys) or 1)
    site = Site(tmp_path, {**facts, **NOTHING_REFUSED, "no_compiler": ""})
    (tmp_path / pictures.LARGE / "train").mkdir(parents=True)
    trains = ("train_", "fp16_", "resume", "compile", "full_memory_", "real_")
    checks = [check for stage in gpu_check.stages(site.reduced) for check in stage.checks]
    training = [check for check in checks if check.name.startswith(trains)]
    for check in training:
        assert check.function(site, *check.arguments)["ok"] is False, check.name
    # a resume needs three runs
    assert len(given) == len(training) + 2
    for words in given:
        config = compose("config", list(words))
        assert not config.model.pretrained
        assert Path(config.output_dir).parent == tmp_path


def test_a_program_that_is_missing_is_no_failure(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert machine._first_line("nvidia-smi") == ""
    monkeypatch.setattr(machine.shutil, "which", lambda name: sys.executable)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=9, stdout="no driver"))
    assert machine._first_line("nvidia-smi") == ""
