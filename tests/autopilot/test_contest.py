"""A contest run from stage to stage, with commands that only write what the real ones would."""

import csv
import json
from pathlib import Path

import pytest

import autopilot.contest
import autopilot.first_stages
from autopilot.commands import Outcome
from tests.helpers import run_script

pytestmark = pytest.mark.integration

MODELS = [
    {
        "option": "efficientnet_lite0",
        "in": True,
        "reason": None,
        "out_by": None,
        "notes": [],
        "keys": [],
        "input_size": 224,
        "megabytes": 13.0,
        "latency_ms": 20.0,
        "images_per_second": 100.0,
        "images_per_second_last": 100.0,
        "validation_seconds": 1.0,
        "probe_top1": 0.9,
        "family": "efficientnet",
    },
    {
        "option": "convnext_base",
        "in": False,
        "reason": "its weights could not be had",
        "out_by": "weights",
        "notes": [],
        "keys": [],
        "input_size": 600,
        "megabytes": 350.0,
        "latency_ms": None,
        "images_per_second": None,
        "images_per_second_last": None,
        "validation_seconds": None,
        "probe_top1": None,
        "family": "convnext",
    },
]


class Commands:
    """Stands in for child processes: writes what each command would, and counts the calls."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fail: dict[str, list[Outcome]] = {}
        self.kill_at: int | None = None
        self.top1 = {"confirm": 0.9, "plain": 0.8, "test": 0.85}
        self.models = MODELS
        self.weights = [0.25] * 4

    def __call__(self, command, log, tick, lock):
        name = command[1] if command[0].endswith("flower_cli.py") else command[0].removesuffix(".py")
        self.calls.append(command)
        if self.kill_at == len(self.calls):
            raise KeyboardInterrupt
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"$ {name}\nsomething\n", encoding="utf-8")
        if self.fail.get(name):
            return self.fail[name].pop(0)
        getattr(self, name.replace("-", "_"), lambda command: None)(command)
        return Outcome(0, ["done"])

    def after(self, command, flag):
        return Path(command[command.index(flag) + 1])

    def prepare_data(self, command):
        data = self.after(command, "--output")
        (data / "test").mkdir(parents=True)
        (data / "test" / "1.jpg").write_bytes(b"x")
        (data / "train").mkdir()
        (data / "train" / "0.jpg").write_bytes(b"x")
        write(data / "train.csv", [(f"{row}.jpg", row % 4) for row in range(400)])

    def split(self, command):
        data = Path(next(word.partition("=")[2] for word in command if word.startswith("dataset.root=")))
        for part in ("train", "val", "choose", "confirm", "test"):
            write(data / f"part_{part}.csv", [(f"{part}{row}.jpg", row % 4) for row in range(40)])

    def shortlist(self, command):
        text = json.dumps({"device": "cpu (a test)", "models": self.models})
        self.after(command, "--json").write_text(text, encoding="utf-8")

    def train(self, command):
        folder = Path(next(word.partition("=")[2] for word in command if word.startswith("output_dir=")))
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (folder / "checkpoints" / "best_model.pt").write_bytes(b"model")
        header = ["epoch", "train_loss", "val_loss", "val_top1", "val_top5"]
        with (folder / "history.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, [1, 2.0, 2.0, 0.5, 0.9], [2, 1.0, 1.0, 0.8, 0.9]])

    def budget(self, command):
        folder = self.after(command, "--output")
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints = command[command.index("--checkpoint") + 1 : command.index("--data")]
        one = {"runtime": "torch", "precision": "fp32", "allowed": True, "fits": True, "p95_ms": 20.0, "size_mb": 13.0}
        choices = [
            {**one, "models": checkpoints[0], "views": "identity", "top1": 0.8},
            {**one, "models": " ".join(checkpoints), "views": "identity,hflip", "top1": 0.9},
            {**one, "models": checkpoints[0], "views": "flips", "top1": 0.99, "fits": False, "p95_ms": 900.0},
        ]
        (folder / "budget.json").write_text(json.dumps({"choices": choices}), encoding="utf-8")

    def ensemble(self, command):
        output = self.after(command, "--output")
        output.parent.mkdir(parents=True, exist_ok=True)
        checkpoints = [{"weight": weight} for weight in self.weights]
        output.with_suffix(".json").write_text(json.dumps({"checkpoints": checkpoints}), encoding="utf-8")

    def evaluate(self, command):
        folder = self.after(command, "--output-dir")
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"top1": self.top1[folder.name], "top1_interval": [0.7, 0.95]}
        (folder / "metrics.json").write_text(json.dumps(facts), encoding="utf-8")

    def names(self):
        return [command[1] if command[0].endswith("flower_cli.py") else command[0] for command in self.calls]


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image_id", "label"), *rows])


@pytest.fixture
def commands(monkeypatch):
    stand_in = Commands()
    monkeypatch.setattr(autopilot.contest, "run_command", stand_in)
    return stand_in


@pytest.fixture
def compete(tmp_path):
    (tmp_path / "source").mkdir(exist_ok=True)

    def call(*words):
        output = tmp_path / "out"
        return run_script("compete.py", "--source", tmp_path / "source", "--hours", "1", "--output", output, *words)

    return call


IN_ORDER = [
    "prepare-data",
    "audit",
    "split",
    "shortlist",
    "audit",
    "train.py",
    "train.py",
    "train.py",
    "train.py",
    "budget",
    "ensemble.py",
    "evaluate.py",
    "evaluate.py",
    "evaluate.py",
    "inference.py",
    "check_competition.py",
    "prepare_submission.py",
    "report",
]


def test_all_stages_run_in_order_and_end_with_a_summary(commands, compete, tmp_path):
    done = compete()
    assert done.returncode == 0, done.stderr
    assert commands.names() == IN_ORDER
    assert "Test top-1 85.00 % (95 %: 70.00 to 95.00), on images that chose nothing." in done.stdout
    page = (tmp_path / "out" / "summary.html").read_text("utf-8")
    assert "Out for want of weights: convnext_base." in page
    assert "efficientnet_lite0_1" in page
    assert "data:image/png;base64," in page
    assert "python train.py model=efficientnet_lite0" in page


def test_an_average_is_weighted_as_its_fit_says(commands, compete, tmp_path):
    commands.weights = [0.4, 0.2, 0.3, 0.1]
    assert compete().returncode == 0
    for step in ("inference.py", "evaluate.py"):
        words = commands.calls[commands.names().index(step)]
        at = words.index("--weights")
        assert words[at + 1 : at + 5] == ["0.4", "0.2", "0.3", "0.1"]
    single = next(command for command in commands.calls if "plain" in " ".join(command[-6:]))
    assert "--weights" not in single


def test_equal_weights_are_not_named(commands, compete):
    assert compete().returncode == 0
    assert not any("--weights" in command for command in commands.calls)


def test_a_second_call_on_a_finished_folder_runs_nothing(commands, compete):
    compete()
    commands.calls.clear()
    again = compete()
    assert (again.returncode, commands.calls) == (0, [])
    assert again.stdout.startswith("Finished before: ")


@pytest.mark.slow
def test_killed_at_every_step_it_goes_on_to_the_same_end(commands, compete, tmp_path):
    plan, plans, killed = tmp_path / "out" / "plan.json", set(), []
    for at in range(1, len(IN_ORDER) + 1):
        commands.kill_at = at
        assert compete().returncode == 130, at
        # the step that was interrupted is the only one that runs again, with the same words
        assert commands.calls[: at - 1] == killed
        killed.append(commands.calls.pop())
        plans.update([plan.read_bytes()] if plan.is_file() else [])
    commands.kill_at = None
    assert compete().returncode == 0
    assert (commands.calls, commands.names()) == (killed, IN_ORDER)
    assert plans == {plan.read_bytes()}


def test_plan_stops_and_its_edited_file_counts(commands, compete, tmp_path):
    done = compete("--plan")
    assert (done.returncode, commands.names()) == (0, IN_ORDER[:5])
    path = tmp_path / "out" / "plan.json"
    plan = json.loads(path.read_text("utf-8"))
    plan["runs"] = [{**plan["runs"][0], "keys": ["model=efficientnet_lite0", "training.optimizer=sgd"]}]
    path.write_text(json.dumps(plan), encoding="utf-8")
    assert compete().returncode == 0
    trained = [command for command in commands.calls if command[0] == "train.py"]
    assert len(trained) == 1
    assert "training.optimizer=sgd" in trained[0]


def test_the_minutes_of_all_trainings_leave_time_for_the_end(commands, compete):
    compete()
    trained = [word for command in commands.calls for word in command if word.startswith("training.max_minutes=")]
    minutes = [float(word.partition("=")[2]) for word in trained]
    assert len(set(minutes)) == 1
    assert 10 < minutes[0] < 15


def test_a_run_out_of_memory_is_tried_once_more_with_a_smaller_batch(commands, compete, tmp_path):
    commands.fail["train"] = [Outcome(1, ["error: The device is out of memory. Give a smaller batch"])]
    assert compete().returncode == 0
    trained = [command for command in commands.calls if command[0] == "train.py"]
    assert trained[1][-1] == "dataset.batch_size=auto"
    assert "efficientnet_lite0_0 failed" in (tmp_path / "out" / "summary.html").read_text("utf-8")


def test_a_run_that_fails_otherwise_is_dropped_and_said(commands, compete):
    commands.fail["train"] = [Outcome(1, ["error: it broke"])]
    done = compete()
    assert done.returncode == 0
    assert "efficientnet_lite0_0 is dropped: it broke" in done.stdout
    trained = [word for command in commands.calls for word in command if word.startswith("training.max_minutes=")]
    first, *others = (float(word.partition("=")[2]) for word in trained)
    # its time went to the others
    assert others == pytest.approx([4 / 3 * first] * 3, abs=0.02)


def test_without_any_trained_model_it_fails_and_may_be_called_again(commands, compete):
    commands.fail["train"] = [Outcome(1, ["error: it broke"])] * 4
    done = compete()
    assert (done.returncode, "No training has ended well" in done.stderr) == (1, True)


def test_a_choice_that_the_other_half_does_not_confirm_gives_way_to_the_plain_one(commands, compete):
    commands.top1["confirm"] = 0.7
    done = compete()
    assert "saw no gain from more" in done.stdout
    predicted = next(command for command in commands.calls if command[0] == "inference.py")
    assert "--tta" not in predicted


def test_a_refused_source_is_one_sentence_and_leaves_nothing(commands, compete, tmp_path):
    commands.fail["prepare-data"] = [Outcome(2, ["error: here: no images here."])]
    done = compete()
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "error: here: no images here.")
    assert not (tmp_path / "out").exists()


def test_no_model_within_the_limits_is_one_sentence(commands, compete, tmp_path):
    commands.models = [MODELS[1]]
    done = compete()
    assert (done.returncode, "No model keeps the limits" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_too_few_hours_name_those_that_work(commands, compete, tmp_path):
    commands.models = [{**MODELS[0], "images_per_second": 0.0005}]
    done = compete()
    assert (done.returncode, "1 hours are too few" in done.stderr) == (2, True)
    assert "The least that works here is about" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_said_before_anything_is_written(commands, compete, tmp_path, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr(autopilot.first_stages.shutil, "disk_usage", lambda path: Usage)
    done = compete()
    assert (done.returncode, "its disk has 0.0 GB free" in done.stderr, commands.calls) == (2, True, [])
    assert not (tmp_path / "out").exists()


def test_a_finished_folder_refuses_other_words(commands, compete):
    compete()
    done = compete("--hours", "2")
    assert (done.returncode, "holds a run with other words: hours (was 1.0)" in done.stderr) == (2, True)


def test_a_folder_without_images_to_predict_is_refused_at_once(commands, compete, tmp_path):
    (tmp_path / "empty").mkdir()
    done = compete("--test", tmp_path / "empty")
    assert (done.returncode, "no images in this folder" in done.stderr, commands.calls) == (2, True, [])


def test_other_files_of_the_folder_survive_bad_input(commands, compete, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine", encoding="utf-8")
    commands.fail["prepare-data"] = [Outcome(2, ["error: here: no images here."])]
    assert compete().returncode == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} - {".lock"} == {"mine.txt"}


@pytest.mark.parametrize("name", ["shortlist", "budget"])
def test_a_crash_with_the_code_of_an_answer_is_no_answer(commands, compete, name):
    commands.fail[name] = [Outcome(1, ["error: [Errno 28] No space left on device"])]
    done = compete()
    assert (done.returncode, "No space left" in done.stderr) == (1, True)
    again = compete()
    assert again.returncode == 0, again.stderr


def test_a_child_that_the_system_ends_is_tried_with_a_smaller_batch(commands, compete):
    commands.fail["train"] = [Outcome(-9, ["epoch 3/20"])]
    done = compete()
    assert done.returncode == 0
    assert "the system ended it (signal 9), as it does when memory is full" in done.stdout
    trained = [command for command in commands.calls if command[0] == "train.py"]
    assert trained[1][-1] == "dataset.batch_size=auto"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is no JSON"),
        ('{"runs": "花"}'.encode("gbk"), "is not UTF-8"),
        (b"\xef\xbb\xbf{}", "each run needs name"),
    ],
)
def test_a_plan_that_cannot_be_read_is_named(commands, compete, tmp_path, content, said):
    compete("--plan")
    (tmp_path / "out" / "plan.json").write_bytes(content)
    done = compete()
    assert (done.returncode, said in done.stderr) == (2, True)
    # what was measured stays
    assert (tmp_path / "out" / "shortlist.json").is_file()


def test_a_model_of_an_edited_plan_need_not_be_on_the_shortlist(commands, compete, tmp_path):
    compete("--plan")
    path = tmp_path / "out" / "plan.json"
    plan = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**plan, "runs": [{**plan["runs"][0], "model": "convnext_base"}]}), encoding="utf-8")
    assert compete().returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--hours", "0.001"), "expected at least 0.05"),
        (("--source", "nowhere"), "--source nowhere: not found"),
        (("--test", "nowhere"), "--test nowhere: no such folder"),
        (("--models", "rose"), "--models rose: no such model"),
        (("--profile", "rose"), "rose"),
        (("training.epoch=3",), "training.epoch: unknown key"),
        (("training.epochs=3",), "training.epochs: would be ignored"),
        (("seed=5",), "compete.py sets seed itself"),
        (("competition=kaggle",), "compete.py sets competition itself"),
        (("dataset.train_csv=a.csv",), "compete.py sets dataset.train_csv itself"),
        (("output_dir=a",), "compete.py sets output_dir itself"),
    ],
)
def test_bad_words_are_named_before_anything_runs(commands, compete, tmp_path, words, said):
    done = compete(*words)
    assert (done.returncode, said in done.stderr, commands.calls) == (2, True, [])
    assert not (tmp_path / "out").exists()
