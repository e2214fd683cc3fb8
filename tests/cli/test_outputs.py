"""A result that could not be written is refused before the work, by every flag and key that names a file or folder."""

import argparse
import re
import tempfile
from pathlib import Path

import pytest

from cli.entry import file_path
from common import csv_files, torch_files
from data import prepare
from tests.conftest import TINY
from tests.helpers import run_script, working_directory

pytestmark = pytest.mark.integration

TARGET = "TARGET"
INFERENCE = ["inference.py", "--checkpoint", "a.pt", "--input", "images"]
ENSEMBLE = ["ensemble.py", "--checkpoint", "a.pt", "b.pt", "--input", "images"]
SUBMISSION = ["prepare_submission.py", "--predictions", "p.csv", "--checkpoint", "a.pt", "--input", "images"]
TOOL = "cli/flower_cli.py"

# a command whose output is TARGET; the suffix that this output must have
FILES = {
    "inference": ([*INFERENCE, "--output", TARGET], ".csv"),
    "inference, provenance": ([*INFERENCE, "--output", "TARGET_STEM.csv"], ".json"),
    "inference, probabilities": ([*INFERENCE, "--output", "TARGET_STEM.csv", "--save-probabilities", TARGET], ".npz"),
    "inference, top-k": ([*INFERENCE, "--output", "TARGET_STEM.csv", "--top-k", "2"], "_top2.csv"),
    "ensemble": ([*ENSEMBLE, "--output", TARGET], ".csv"),
    "ensemble, fit": ([*ENSEMBLE, "--fit", "--output", TARGET], ".csv"),
    "ensemble, saved": (["ensemble.py", "--probabilities", "a.npz", "b.npz", "--output", TARGET], ".csv"),
    "evaluate, keep": (["evaluate.py", "--checkpoint", "a.pt", "--input-sizes", "64", "--keep", TARGET], ".pt"),
    "prepare_submission": ([*SUBMISSION, "--output", TARGET], ".zip"),
    "prepare_submission, proof": (
        [*SUBMISSION, "--output", "TARGET_STEM.zip"],
        "_proof.json",
    ),
    "soup": ([TOOL, "soup", "a.pt", "b.pt", "--output", TARGET], ".pt"),
    "export": (
        [TOOL, "export", "--checkpoint", "a.pt", "--runtime", "torch", "--precision", "fp16", "--output", TARGET],
        ".pt",
    ),
    "calibrate": ([TOOL, "calibrate", "--checkpoint", "a.pt", "--output", TARGET], ".pt"),
    "augment-preview": ([TOOL, "augment-preview", "--output", TARGET, *TINY], ".png"),
    "shortlist": ([TOOL, "shortlist", "--models", "efficientnet_lite0", "--json", TARGET], ".json"),
    "report, compile": ([TOOL, "report", "--compile", "TARGET_STEM.typ"], ".pdf"),
}
FOLDERS = {
    "train": ["train.py", f"output_dir={TARGET}", *TINY],
    "train, sweep": ["train.py", "--multirun", "seed=0,1", f"output_dir={TARGET}", *TINY],
    "evaluate": ["evaluate.py", "--checkpoint", "a.pt", "--output-dir", TARGET],
    "prepare-data": [TOOL, "prepare-data", "--source", "images", "--output", TARGET],
    "instant": [TOOL, "instant", "--output", TARGET, *TINY],
    "probe": [TOOL, "probe", f"output_dir={TARGET}", *TINY],
    "lr-range": [TOOL, "lr-range", "--output", TARGET, *TINY],
    "audit": [TOOL, "audit", "--output", TARGET, *TINY],
    "ablate": [TOOL, "ablate", "--output", TARGET, "--seeds", "1", "--drop", "ema", "--base", *TINY],
    "tune": [TOOL, "tune", "--output", TARGET, "model.drop_rate=0..0.5", *TINY],
    "oof": [TOOL, "oof", "runs", "--output", TARGET],
    "budget": [TOOL, "budget", "--checkpoint", "a.pt", "--output", TARGET],
    "export, timm": [TOOL, "export", "--checkpoint", "a.pt", "--runtime", "timm", "--output", TARGET],
    "report": [TOOL, "report", "--run", "run", "--output", TARGET],
}
COMMANDS = {**FILES, **{name: (words, "") for name, words in FOLDERS.items()}}


class WorkWasReached(Exception):
    """Raised in place of the work: reading a model or a table, or preparing images."""


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with inputs that exist and are never read."""

    def work(*_arguments: object, **_options: object) -> None:
        raise WorkWasReached

    for owner, name in ((torch_files, "_check_members"), (csv_files, "_read_text"), (prepare, "prepare_data")):
        monkeypatch.setattr(owner, name, work)
    monkeypatch.setattr("prediction.probabilities.np.load", work)
    monkeypatch.setattr("competition.report.typst_report._typst", work)
    for name in ("a.pt", "b.pt", "a.npz", "b.npz", "p.csv", "file", "x.typ"):
        (tmp_path / name).write_bytes(b"")
    for run in ("run", "runs/0", "runs/1"):
        (tmp_path / run / "checkpoints").mkdir(parents=True)
        (tmp_path / run / "checkpoints" / "best_model.pt").write_bytes(b"")
    for folder in ("images", "data/flower100/train"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data" / "flower100" / "train.csv").write_bytes(b"")
    return tmp_path


def run(words: list[str], target: Path, suffix: str, folder: Path):
    stem = str(target).removesuffix(suffix)
    return run_script(*[word.replace("TARGET_STEM", stem).replace(TARGET, str(target)) for word in words], cwd=folder)


def is_folder(target: Path, monkeypatch) -> None:
    target.mkdir()


def is_a_file(target: Path, monkeypatch) -> None:
    target.touch()


def is_held_open(target: Path, monkeypatch) -> None:
    def refuse(self: Path, other: Path) -> None:
        raise PermissionError(13, "The process cannot access the file because it is being used by another process")

    target.touch()
    monkeypatch.setattr(Path, "replace", refuse)


def has_no_rights(target: Path, monkeypatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    # a test may run as root, who may write everywhere
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)


@pytest.mark.parametrize(
    ("spoil", "reason"), [(is_folder, "is a folder"), (is_held_open, "close the program that has it open")]
)
@pytest.mark.parametrize("command", FILES)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(place, monkeypatch, command, spoil, reason):
    words, suffix = FILES[command]
    target = place / f"out{suffix}"
    spoil(target, monkeypatch)
    _assert_refused(run(words, target, suffix, place), target, reason)


@pytest.mark.parametrize(("spoil", "reason"), [(is_a_file, "is a file"), (has_no_rights, "cannot be written into")])
@pytest.mark.parametrize("command", FOLDERS)
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(place, monkeypatch, command, spoil, reason):
    spoil(place / "out", monkeypatch)
    _assert_refused(run(FOLDERS[command], place / "out", "", place), place / "out", reason)


def _assert_refused(done, target: Path, reason: str) -> None:
    assert "WorkWasReached" not in done.stderr
    assert done.returncode == 2, done.stdout + done.stderr
    assert str(target) in done.stderr
    assert reason in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_with_a_good_target_the_same_words_reach_the_work(place, command):
    words, suffix = COMMANDS[command]
    (place / "new").mkdir()
    (place / "new" / "out.typ").touch()
    done = run(words, place / "new" / f"out{suffix}", suffix, place)
    assert "WorkWasReached" in done.stderr + done.stdout, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        [*INFERENCE[:-1], "p.csv", "--output", "p.csv"],
        ["ensemble.py", "--probabilities", "a.npz", "p.csv", "--output", "p.csv"],
        ["evaluate.py", "--checkpoint", "a.pt", "--input-sizes", "64", "--keep", "../{here}/a.pt"],
        [TOOL, "soup", "a.pt", "b.pt", "--output", "b.pt"],
        [TOOL, "export", "--checkpoint", "a.pt", "--runtime", "torch", "--precision", "fp16", "--output", "./a.pt"],
    ],
    ids=" ".join,
)
def test_an_input_is_not_overwritten(place, words):
    done = run_script(*[word.replace("{here}", place.name) for word in words], cwd=place)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "name another file" in done.stderr
    assert "WorkWasReached" not in done.stderr


@pytest.mark.parametrize(
    ("words", "suffix"),
    [
        ([*INFERENCE, "--output"], ".csv"),
        ([*INFERENCE, "--output", "x.csv", "--save-probabilities"], ".npz"),
        ([*ENSEMBLE, "--output"], ".csv"),
        (["ensemble.py", "--probabilities", "a.npz", "b.npz", "--output"], ".csv"),
        (["evaluate.py", "--checkpoint", "a.pt", "--input-sizes", "64", "--keep"], ".pt"),
        ([*SUBMISSION, "--output"], ".zip"),
        ([TOOL, "soup", "a.pt", "b.pt", "--output"], ".pt"),
        ([TOOL, "export", "--checkpoint", "a.pt", "--runtime", "torch", "--precision", "fp16", "--output"], ".pt"),
        ([TOOL, "augment-preview", *TINY, "--output"], ".png"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else value,
)
@pytest.mark.parametrize("other", ["kept.md", "kept.json", "kept.zip.csv.txt"])
def test_a_file_of_another_kind_is_not_overwritten(place, words, suffix, other):
    (place / other).write_text("precious", encoding="utf-8")
    done = run_script(*words, other, cwd=place)
    assert done.returncode == 2, done.stdout + done.stderr
    assert other in done.stderr
    assert suffix in done.stderr
    assert "WorkWasReached" not in done.stderr
    assert (place / other).read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("words", [words for words, _ in COMMANDS.values()], ids=list(COMMANDS))
def test_a_hyphen_is_no_file(place, words):
    done = run_script(*[re.sub(r"TARGET(_STEM\S*)?", "-", word) for word in words], cwd=place)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "WorkWasReached" not in done.stderr
    assert not (place / "-").exists()


def test_every_flag_that_names_an_output_is_in_a_table():
    """Flags with these words write; a new one belongs into FILES or FOLDERS."""
    import importlib

    from cli.flower_cli import build_parser

    parsers = [importlib.import_module(name).build_parser() for name in ("inference", "evaluate", "ensemble")]
    parsers += [importlib.import_module(name).build_parser() for name in ("check_competition", "prepare_submission")]
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    tested = {word for words, _ in FILES.values() for word in words} | {word for w in FOLDERS.values() for word in w}
    reads = {"--checkpoint", "--input", "--data", "--probabilities", "--predictions", "--submission", "--verify-only"}
    reads |= {"--source", "--labels", "--run", "--runs", "--folds", "--weights-dir"}
    for parser in [*parsers, *commands.choices.values()]:
        flags = {
            flag for action in parser._actions if action.type in (Path, file_path) for flag in action.option_strings
        }
        assert flags - reads <= tested, parser.prog


def test_a_plan_that_ignores_the_folder_does_not_try_it(place):
    """Comparing sizes writes nothing, so a folder of results that cannot be written is no fault."""
    (place / "results").touch()
    done = run_script("evaluate.py", "--checkpoint", "a.pt", "--input-sizes", "64", cwd=place)
    assert "WorkWasReached" in done.stderr


def test_trying_a_target_leaves_nothing_behind(place):
    before = sorted(place.rglob("*"))
    with working_directory(place):
        run_script(*INFERENCE, "--output", "new/sub/x.csv", cwd=place)
    assert sorted(place.rglob("*")) == before


def held_from_now_on(monkeypatch, path: Path) -> None:
    """Let every renaming to a file fail, as on Windows while Excel has it open."""
    replace = Path.replace

    def replace_or_fail(self: Path, target: Path) -> Path:
        # the trial before the work finds nothing: the file is opened later
        if Path(target).absolute() == path and self != target:
            raise PermissionError(13, "being used by another process")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_or_fail)


@pytest.mark.parametrize(
    ("words", "held", "others"),
    [
        (
            ["inference.py", "--input", "test", "--output", "p.csv", "--save-probabilities", "p.npz", "--top-k", "2"],
            "p.csv",
            ["p.npz", "p_top2.csv", "p.new.json"],
        ),
        (["inference.py", "--input", "test", "--output", "p.csv", "--save-probabilities", "p.npz"], "p.npz", ["p.csv"]),
        (["evaluate.py", "--output-dir", "out"], "out/per_class.csv", ["out/metrics.json", "out/predictions.csv"]),
        (["evaluate.py", "--input-sizes", "32,64", "--keep", "best.pt"], "best.pt", []),
        ([TOOL, "export", "--runtime", "torch", "--precision", "fp16", "--output", "half.pt"], "half.pt", []),
    ],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, list) else words,
)
def test_a_result_whose_file_is_opened_during_the_work_is_kept(
    checkpoint, test_folder, tmp_path, monkeypatch, words, held, others
):
    words = [str(test_folder) if word == "test" else word for word in words]
    held_from_now_on(monkeypatch, tmp_path / held)
    done = run_script(*words, "--checkpoint", checkpoint, "device=cpu", cwd=tmp_path)
    kept = Path(held).with_name(f"{Path(held).stem}.new{Path(held).suffix}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{Path(held)}: cannot be replaced (being used by another process); the complete result is {kept}" in (
        done.stderr
    )
    assert (tmp_path / kept).stat().st_size > 0
    assert not (tmp_path / held).exists()
    assert all((tmp_path / name).is_file() for name in others)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_picture_that_cannot_be_drawn_costs_no_figure(checkpoint, tmp_path, monkeypatch):
    def fail(*_arguments: object) -> None:
        raise WorkWasReached("a font is broken")

    monkeypatch.setattr("evaluation.evaluate.confusion_figure", fail)
    done = run_script("evaluate.py", "--checkpoint", checkpoint, "--output-dir", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "warning: the picture" in done.stderr
    assert "confusion_matrix.png is missing: WorkWasReached: a font is broken" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("metrics.json", "per_class.csv", "answers.csv", "predictions.csv", "predictions.json", "worst_pairs.png"),
        *("abstention.csv", "reliability.png"),
    }
