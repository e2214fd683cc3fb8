"""Which words of a command line are overrides, and paths that begin with `~`."""

from pathlib import Path

import pytest

from cli.entry import ArgumentParser, file_path, show, split_overrides
from common.errors import InputError
from tests.helpers import working_directory

OVERRIDES = [
    "model=convnext_tiny",
    "seed=1",
    "seed=0,1,2",
    "dataset.root=/data/lr=0.1/flowers",
    "dataset.root=~/flowers",
    "augmentation.train.CoarseDropout.p=0.6",
    "~augmentation.train.RandomFog",
    "+augmentation.train.Blur.p=0.1",
    "++training.epochs=3",
    "+a=b",
    "augmentation/final=gentle",
    "hydra/launcher=joblib",
    # unknown keys are refused later, with the key that was meant
    "training.epoch=3",
    "sed=1",
]
PATHS = [
    "runs/lr=0.1/best_model.pt",
    "./lr=0.1/best_model.pt",
    "../runs/model=x/best_model.pt",
    "/runs/seed=1/best_model.pt",
    "runs\\lr=0.1\\best_model.pt",
    "C:\\runs\\lr=0.1\\best_model.pt",
    "C:/runs/lr=0.1/best_model.pt",
    "results/sweeps/model=a,seed=1/checkpoints/best_model.pt",
    "competition/x=y",
    "model/convnext=1/best_model.pt",
    "~/runs/lr=0.1/best_model.pt",
    "~somebody/best_model.pt",
    "+runs/lr=0.1/best_model.pt",
    "花/学习率=0.1/best_model.pt",
    "best_model.pt",
]


@pytest.mark.parametrize("word", OVERRIDES)
def test_a_word_with_a_key_is_an_override(word):
    assert split_overrides(["--checkpoint", "a.pt", word]) == (["--checkpoint", "a.pt"], [word])


@pytest.mark.parametrize("word", PATHS)
def test_a_word_with_a_folder_before_its_sign_is_a_path(word):
    words = ["--checkpoint", "a.pt", word]
    assert split_overrides([*words, "device=cpu"]) == (words, ["device=cpu"])


def test_what_lies_on_the_disk_is_a_path_whatever_its_name(tmp_path):
    (tmp_path / "lr=0.1").mkdir()
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / "best_model.pt").touch()
    (tmp_path / "photo=1.jpg").touch()
    there = ["lr=0.1", "lr=0.1/new.csv", "seed=1/best_model.pt", "seed=1/new.csv", "photo=1.jpg"]
    with working_directory(tmp_path):
        assert split_overrides(there) == (there, [])
        # the key exists, so a folder of the same name changes nothing
        assert split_overrides(["seed=1"]) == ([], ["seed=1"])


def test_every_flag_with_a_path_knows_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    parser = ArgumentParser()
    parser.add_argument("--output", type=Path)
    parser.add_argument("--checkpoint", type=Path, nargs="+")
    command = parser.add_subparsers().add_parser("soup")
    command.add_argument("models", type=Path, nargs="+")
    flags = parser.parse_args(["--output=~/x.csv", "--checkpoint", "~/a.pt", "b~.pt"])
    assert flags.output == tmp_path / "x.csv"
    assert flags.checkpoint == [tmp_path / "a.pt", Path("b~.pt")]
    assert parser.parse_args(["soup", "~"]).models == [tmp_path]


def test_an_unknown_home_folder_is_one_sentence(tmp_path):
    parser = ArgumentParser(prog="inference.py")
    parser.add_argument("--output", type=Path)
    with pytest.raises(InputError, match=r"~nobody_has_this_name/x\.csv: ~nobody_has_this_name is no home folder"):
        parser.parse_args(["--output", "~nobody_has_this_name/x.csv"])
    (tmp_path / "~backup.csv").touch()
    with working_directory(tmp_path):
        assert parser.parse_args(["--output", "~backup.csv"]).output == Path("~backup.csv")


@pytest.mark.parametrize("text", ["new/", "a/b/", "~/x/"])
def test_a_name_that_ends_in_a_slash_is_no_file(text):
    parser = ArgumentParser()
    parser.add_argument("--keep", type=file_path)
    with pytest.raises(InputError, match="is a folder; name a file"):
        parser.parse_args(["--keep", text])


def test_names_cannot_steer_the_terminal(capsys):
    show(["花 🌹 ورد 50 %", "a\nb\tc\x1b[31m", "\u202egpj.exe"])
    assert capsys.readouterr().out == "花 🌹 ورد 50 %\na\\nb\\tc\\x1b[31m\n\\u202egpj.exe\n"
