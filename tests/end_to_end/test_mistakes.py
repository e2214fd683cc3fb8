"""What a user types wrongly is answered in a line or two and with exit code 2; --help is answered at once."""

import importlib
import os
import re
import subprocess
import sys

import pytest
import torch

from prediction.options import LABELLED_KEYS, LIMIT_KEYS, OVERRIDABLE_KEYS
from tests.conftest import TINY
from tests.helpers import REPOSITORY, environment, run_script

pytestmark = pytest.mark.integration

SCRIPTS = [
    "train.py",
    "evaluate.py",
    "inference.py",
    "ensemble.py",
    "check_competition.py",
    "prepare_submission.py",
    "cli/flower_cli.py",
    "cli/flower_cli.py models",
]
SHORT = [*(option for option in TINY if not option.startswith("training.epochs")), "training.epochs=1"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_needs_nothing_heavy(script):
    name, *rest = script.split()
    code = (
        "import runpy, sys; sys.argv = [sys.argv[1], *sys.argv[2:], '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as done: assert not done.code\n"
        "heavy = {'torch', 'timm', 'hydra', 'omegaconf', 'cv2', 'albumentations', 'numpy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(REPOSITORY / name), *rest],
        cwd=REPOSITORY,
        env={**environment(), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


# the keys of the commands that take a checkpoint; the limits of these two are the profile's
COMPETITION_KEYS = {"competition.*", *(key for key in OVERRIDABLE_KEYS if not key.startswith("competition."))}
KEYS_OF = {
    "evaluate": {*LABELLED_KEYS, *LIMIT_KEYS},
    "inference": {*OVERRIDABLE_KEYS},
    "ensemble": {*LABELLED_KEYS, *OVERRIDABLE_KEYS},
    "check_competition": COMPETITION_KEYS,
    "prepare_submission": COMPETITION_KEYS,
}


@pytest.mark.parametrize("script", KEYS_OF)
def test_help_names_the_keys_that_are_taken(script):
    listed = importlib.import_module(script).build_parser().description.partition("Keys: ")[2]
    assert set(re.findall(r"\bdevice\b|\b(?:dataset|competition)\.(?:\w+|\*)", listed)) == KEYS_OF[script]


MISTAKES = [
    (
        ["train.py"],
        "data/flower100/train.csv: not found. Prepare your images with 'python cli/flower_cli.py prepare-data",
    ),
    (["train.py"], "dataset=demo"),
    (["train.py", "training.epoch=3"], "Did you mean 'training.epochs'?"),
    (["train.py", "--epochs", "3"], "unrecognized arguments: --epochs"),
    (["train.py", "--config-name", "best"], "no such config. Choose from config, high_performance, quickstart"),
    (["train.py", "device=cuda", "dataset=demo"], "device=cuda: this torch"),
    (["evaluate.py"], "the following arguments are required: --checkpoint"),
    (["evaluate.py", "--checkpoint", "none.pt"], "none.pt: no such checkpoint"),
    (["evaluate.py", "--checkpoint", "README.md"], "README.md: damaged, or not a checkpoint of this kit"),
    (["evaluate.py", "--checkpoint", ""], "An empty text is no path"),
    (["evaluate.py", "--checkpoint", "a.pt", "--data", ""], "An empty text is no path"),
    (["evaluate.py", "--checkpoint", "a.pt", "--input-sizes", "a,b"], "a,b: expected sizes from 16 to 4096 pixels"),
    (["evaluate.py", "--checkpoint", "a.pt", "--input-sizes", "9"], "9: expected sizes from 16 to 4096 pixels"),
    (["inference.py", "--checkpoint", "a.pt", "--input", ""], "An empty text is no path"),
    (["inference.py", "--checkpoint", "a.pt", "--input", "a.jpg", ""], "An empty text is no path"),
    (["inference.py", "--checkpoint", "a.pt", "--output", ""], "An empty text is no path"),
    (["ensemble.py", "--probabilities", "none.npz", "other.npz"], "none.npz: no such file"),
    (["prepare_submission.py", "--verify-only", "none.zip"], "none.zip: no such ZIP"),
    (["cli/flower_cli.py", "prepare-data", "--source", "README.md", "--output", "out"], "neither a folder nor a ZIP"),
    (["cli/flower_cli.py", "budget", "--checkpoint", "a.pt", "--max-latency", "-5"], "max_latency_ms=-5: expected"),
    (["cli/flower_cli.py", "budget", "--checkpoint", "a.pt", "--max-size", "nan"], "max_model_mb=nan: expected"),
    (["check_competition.py", "--checkpoint", "a.pt", "competition.runtimes=[tf]"], "tf: Choose from torch, onnx"),
    (["cli/flower_cli.py", "model"], "invalid choice: 'model'"),
    (["cli/flower_cli.py", "prepare-data", "--source", "none", "--output", "out"], "Source none: not found"),
    (["cli/flower_cli.py", "augment-preview", "augmentation=huge"], "augmentation=huge: no such option"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_a_line_and_exit_code_2(arguments, message):
    if "device=cuda" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has the device")
    done = run_script(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr.replace(os.sep, "/")
    assert "Unpacking" not in done.stdout
    assert len(done.stderr.strip().splitlines()) <= 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lr-range", "--low", "1", "--high", "0.1"], "--low and --high"),
        (["lr-range", "--steps", "3"], "--steps"),
        (["ablate", "--drop", "emma"], "Did you mean 'ema'"),
        (["ablate", "--variant", "plain"], "a name, a colon and overrides"),
        (["ablate", "--variant", "x: training.final_epochs=no"], "a whole number"),
        (["ablate", "--seeds", "0"], "--seeds"),
        (["ablate"], "The base alone compares nothing"),
        (["probe", "training.teacher=none.npz"], "none.npz: no such file"),
        (["ablate", "--variant", "a: seed=1", "--variant", "a: seed=2"], "same name"),
        (["audit", "model.pretrained=false", "--embeddings"], "model.pretrained"),
        (["probe", "dataset.val_split=0"], "give other labelled images"),
    ],
)
def test_mistakes_are_one_line(pictures, tmp_path, words, message):
    options = [option for option in SHORT if not option.startswith("model.pretrained")]
    options += ["model.pretrained=false"] if "model.pretrained=false" not in words else []
    done = run_script(
        "cli/flower_cli.py", *words, *options, f"dataset.root={pictures}", f"output_dir={tmp_path}", cwd=tmp_path
    )
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_an_unknown_optimizer_is_named(pictures, tmp_path):
    options = [*SHORT, f"dataset.root={pictures}", f"output_dir={tmp_path}"]
    done = run_script("train.py", "training.optimizer=adamm", *options)
    assert done.returncode == 2, done.stdout
    assert "adamm" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give --checkpoint"),
        (["--checkpoint", "a.pt"], "two members"),
        (["--probabilities", "a.npz", "b.npz", "device=cpu"], "those of the files"),
        (["--probabilities", "a.npz", "b.npz", "--tta"], "those of the files"),
        (["--probabilities", "a.npz", "b.npz", "--runtime", "onnx"], "those of the files"),
        (["--probabilities", "a.npz", "b.npz", "--fit"], "have no labels"),
        (["--checkpoint", "a.pt", "b.pt", "--fit", "--weights", "1", "1"], "Give one of them"),
        (["--checkpoint", "a.pt", "b.pt", "--data", "x"], "Give both"),
        (["--probabilities", "README.md", "README.md"], "not a probabilities.npz"),
    ],
)
def test_what_is_no_ensemble_is_refused(words, message):
    done = run_script("ensemble.py", *words)
    assert done.returncode == 2
    assert message in done.stderr
