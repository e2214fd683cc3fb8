"""The record of a contest run: what is done, what it said, and the time that was used."""

import json

import pytest

import autopilot.journal
from autopilot.commands import Outcome, run_command, shown
from autopilot.contest import Request, opened, remedy_for
from autopilot.journal import Journal
from autopilot.progress import StageLine
from common.errors import InputError


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(autopilot.journal.time, "monotonic", lambda: now[0])
    return now


def test_the_clock_goes_on_without_the_break(tmp_path, clock):
    journal = Journal(tmp_path)
    clock[0] += 10
    journal.write("start", "look", ["a.py"])
    clock[0] += 7
    journal.tick()
    # a kill, and a night
    clock[0] += 50_000
    again = Journal(tmp_path)
    clock[0] += 2
    assert again.used_seconds() == pytest.approx(19)


def test_a_step_is_done_with_the_same_words_only(tmp_path):
    journal = Journal(tmp_path)
    journal.write("start", "look", ["a.py", "x"])
    assert (journal.ended("look"), journal.started("look")) == (None, ["a.py", "x"])
    journal.write("end", "look", ["a.py", "x"], exit_code=0, seconds=3.0, last_lines=[])
    again = Journal(tmp_path)
    done = again.ended("look", ["a.py", "x"])
    assert done is not None
    assert done["exit_code"] == 0
    assert again.ended("look", ["a.py", "y"]) is None
    assert again.seconds_of("look") == 3.0


def test_a_line_that_a_kill_has_cut_is_forgotten(tmp_path):
    journal = Journal(tmp_path)
    journal.write("start", "look", ["a.py"])
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"event": "end", "st')
    again = Journal(tmp_path)
    assert [entry["event"] for entry in again.entries] == ["start"]
    again.write("end", "look", ["a.py"], exit_code=0, seconds=1.0, last_lines=[])
    assert len(Journal(tmp_path).entries) == 2


def test_a_damaged_journal_is_named(tmp_path):
    (tmp_path / "journal.jsonl").write_text("nothing\n{}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"journal.jsonl: line 1 is damaged"):
        Journal(tmp_path)


def request(tmp_path, **changes):
    return Request(**{"source": tmp_path, "hours": 1.0, "output": tmp_path / "out", **changes})


def line():
    return StageLine(1.0, as_json=True)


def test_another_request_in_the_folder_is_refused(tmp_path):
    with opened(request(tmp_path), line()):
        pass
    with (
        pytest.raises(InputError, match=r"holds a run with other words: hours \(was 1.0\)"),
        opened(request(tmp_path, hours=2.0), line()),
    ):
        pass
    # of the first run nothing is lost
    assert (tmp_path / "out" / "request.json").is_file()


def test_bad_input_leaves_no_folder(tmp_path):
    with pytest.raises(InputError, match="no"), opened(request(tmp_path), line()):
        raise InputError("no")
    assert not (tmp_path / "out").exists()


def test_two_processes_do_not_share_a_folder(tmp_path):
    with (
        opened(request(tmp_path), line()),
        pytest.raises(InputError, match="another process writes into this folder"),
        opened(request(tmp_path), line()),
    ):
        pass


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("The device is out of memory. Give a smaller ...", ["dataset.batch_size=auto"]),
        ("The training loss of epoch 1 is not finite.", ["training.use_amp=false"]),
        ("Worker processes that read images keep dying", ["dataset.num_workers=0"]),
        ("no such file", []),
    ],
)
def test_a_failure_is_tried_again_with_what_its_message_advises(problem, words):
    assert remedy_for(problem) == words


def test_the_problem_is_the_line_of_the_error():
    assert Outcome(1, ["epoch 1", "error: it broke", "bye"]).problem == "it broke"
    assert Outcome(1, ["epoch 1", "bye"]).problem == "bye"
    assert Outcome(1, []).problem == "no output"


def test_a_command_is_shown_as_it_is_typed():
    assert shown(["train.py", "output_dir=a b"]) == "python train.py 'output_dir=a b'"


@pytest.mark.integration
def test_a_command_leaves_its_output_in_a_log(tmp_path):
    ticks = []
    log = tmp_path / "logs" / "models.log"
    outcome = run_command(["cli/flower_cli.py", "models", "wrong=1"], log, ticks.append)
    assert outcome.exit_code == 2
    assert outcome.problem.startswith("wrong=1: 'models' takes no other override")
    assert log.read_text("utf-8").startswith("$ python cli/flower_cli.py models wrong=1\n")
    assert ticks[-1] == outcome.last_lines[-1]


def test_progress_for_machines_is_a_line_of_json(capsys):
    shown_line = StageLine(2.0, as_json=True)
    shown_line.enter("train")
    shown_line.show("epoch 3", 3600.0)
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "event": "progress",
        "stage": "train",
        "text": "epoch 3",
        "used_seconds": 3600.0,
        "left_seconds": 3600.0,
    }


def test_progress_for_people_shows_stage_and_time(capsys):
    shown_line = StageLine(2.0, as_json=False)
    shown_line.enter("train")
    shown_line.show("epoch 3", 600.0)
    shown = capsys.readouterr()
    assert "Stage 5 of 7: train" in shown.out
    assert shown.err == "[train] used 0:10:00, left 1:50:00  epoch 3\n"
