"""Wrong input is answered before torch is imported: each command line runs where importing it raises."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers import REPOSITORY, environment

pytestmark = pytest.mark.integration

CLI = "cli/flower_cli.py"
NO_DATA = "{nowhere}/train.csv: not found. Prepare your images with 'python cli/flower_cli.py prepare-data"
NO_MODEL = "{nowhere}: no such checkpoint. Train one with python train.py, or name another."
NO_LABELS = "{nowhere}: not found. Labelled images are a prepared folder"
NO_ROOM = "{file}/out: {file} is a file, so nothing can lie below it."
NO_EFFECT = "seed: has no effect here; the model and its training are those of the checkpoint."
TYPED = "Did you mean 'training.epochs'?"

# {model} looks like a checkpoint from outside, {file} is a text, {empty} an empty folder; {nowhere} is not there
CASES = [
    ("train.py dataset.root={nowhere}", NO_DATA),
    ("train.py --plan dataset.root={nowhere}", NO_DATA),
    ("train.py dataset.root={pictures} dataset.train_csv={nowhere}", "{nowhere}: not found. Prepare your images"),
    ("train.py dataset.root={pictures} dataset.train_dir={empty}", "{empty}: none of the first 20 images of"),
    ("train.py dataset.root={pictures} dataset.val_csv={nowhere}", "dataset.val_csv={nowhere}: not found."),
    ("train.py dataset.root={pictures} output_dir={file}/out", NO_ROOM),
    ("train.py dataset.root={pictures} training.resume={nowhere}", NO_MODEL),
    ("train.py dataset.root={pictures} training.teacher={nowhere}", NO_MODEL),
    ("train.py dataset.root={pictures} training.teacher={nowhere}.npz", "{nowhere}.npz: no such file."),
    ("train.py dataset.root={pictures} model.weights={nowhere}", "model.weights={nowhere}: no such file."),
    ("train.py training.epoch=3", TYPED),
    ("train.py --epochs 3", "unrecognized arguments: --epochs"),
    ("train.py --plan -m seed=0,1", "--plan: plans one run; leave --multirun out."),
    ("evaluate.py --checkpoint {nowhere}", NO_MODEL),
    ("evaluate.py --checkpoint {file}", "{file}: damaged, or not a checkpoint of this kit; it was not read."),
    ("evaluate.py --checkpoint {nowhere}.onnx", "{nowhere}.onnx: no such file. 'python cli/flower_cli.py export'"),
    ("evaluate.py --checkpoint {model} seed=1", NO_EFFECT),
    ("evaluate.py --checkpoint {model} --tta hflop", "TTA hflop: no view 'hflop'. Did you mean 'hflip'?"),
    ("evaluate.py --checkpoint {model} --weights 1 2", "2 weights for 1 members; give one for each"),
    ("evaluate.py --checkpoint {model} --data {nowhere}", NO_LABELS),
    ("evaluate.py --checkpoint {model} --data {empty}", "{empty}: no images, and no train.csv."),
    ("evaluate.py --checkpoint {model} --output-dir {file}/out", NO_ROOM),
    ("inference.py --checkpoint {nowhere}", NO_MODEL),
    ("inference.py --checkpoint {model} --input {nowhere}", "{nowhere}: not found. The input is a folder, a CSV"),
    ("inference.py --checkpoint {model} --input {empty}", "{empty}: no images in this folder (.jpg"),
    ("inference.py --checkpoint {model} --input {file}", "{file}: no image. The input is one folder"),
    ("inference.py --checkpoint {model} --output {file}/out.csv", "{file} is a file, so nothing can lie below it."),
    ("inference.py --checkpoint {model} dataset.batchsize=3", "dataset.batchsize: has no effect here"),
    ("inference.py --checkpoint {model} --benchmark --top-k 3", "--benchmark only times;"),
    ("ensemble.py --checkpoint {nowhere} {model}", NO_MODEL),
    ("ensemble.py --checkpoint {model} {model} --input {empty}", "{empty}: no images in this folder"),
    ("ensemble.py --checkpoint {model} {model} --fit --data {nowhere}", NO_LABELS),
    ("ensemble.py --probabilities {nowhere} {file}", "{nowhere}: no such file. inference.py saves probabilities"),
    ("check_competition.py", "Nothing to check. Give --checkpoint"),
    ("check_competition.py --checkpoint {nowhere}", NO_MODEL),
    ("check_competition.py --predictions {nowhere}", "{nowhere}: not found. Write it with inference.py."),
    ("check_competition.py --submission {nowhere}", "{nowhere}: no such ZIP."),
    ("check_competition.py --submission {file}", "{file}: not a ZIP file, or a damaged one."),
    ("check_competition.py --submission {model} --input {nowhere}", "{nowhere}: not a folder. --input names"),
    ("check_competition.py --checkpoint {model} --profile best", "best: no such profile. Choose from"),
    ("prepare_submission.py", "--predictions is needed"),
    ("prepare_submission.py --predictions {nowhere}", "{nowhere}: not found. Write it with inference.py."),
    ("prepare_submission.py --predictions {csv}", "{csv}: no provenance (.json) beside it names the checkpoints."),
    ("prepare_submission.py --predictions {csv} --checkpoint {nowhere}", NO_MODEL),
    ("prepare_submission.py --predictions {csv} --checkpoint {model} --input {nowhere}", "folder of the test images"),
    ("prepare_submission.py --predictions {csv} --output {file}/a.zip", "{file} is a file, so nothing can lie below"),
    ("prepare_submission.py --verify-only {nowhere}", "{nowhere}: no such ZIP."),
    ("prepare_submission.py --verify-only {model} seed=1", "seed=1: --verify-only takes no other keys"),
    ("compete.py --source {nowhere} --hours 1", "--source {nowhere}: not found."),
    ("compete.py --source {pictures} --hours 1 --models rose", "--models rose: no such model."),
    (CLI + " audit dataset.root={nowhere}", NO_DATA),
    (CLI + " audit dataset.root={pictures} --output {file}/out", NO_ROOM),
    (CLI + " export --checkpoint {nowhere} --runtime torch --precision fp16 --output {empty}/a.pt", NO_MODEL),
    (CLI + " export --checkpoint {model} --runtime onx --output a.onnx", "Export to onx fp32: not offered."),
    (CLI + " export --checkpoint {model} --runtime onnx --output a.pt", "a.pt: a model for onnx must end in .onnx."),
    (CLI + " export --checkpoint {nowhere} --runtime timm --output {empty}/out", NO_MODEL),
    (CLI + " calibrate --checkpoint {nowhere}.pt", "{nowhere}.pt: no such checkpoint."),
    (CLI + " calibrate --checkpoint {model} --folds {empty}", "{empty}: 0 best_model.pt below it; the folds of a"),
    (CLI + " calibrate --checkpoint {model} --folds {empty} --data {empty}", "from labelled images or from folds."),
    (CLI + " oof {empty} --output {empty}/out", "{empty}: 0 best_model.pt below it; the folds of a cross-validation"),
    (CLI + " report --language en --drop resluts", "resluts: no such section. Did you mean 'results'?"),
    (CLI + " report --run {empty} --output {empty}/out", "{empty}: no trained run here ("),
    (CLI + " report seed=1", "seed=1: report takes no keys; it tells what was recorded."),
    (CLI + " probe dataset.root={nowhere}", NO_DATA),
    (CLI + " probe dataset.root={pictures} output_dir={empty}/out --data {nowhere}", NO_LABELS),
    (CLI + " instant dataset.root={nowhere}", NO_DATA),
    (CLI + " instant dataset.root={pictures} --heads poled", "head 'poled': Did you mean 'pooled'?"),
    (CLI + " instant dataset.root={nowhere} --backbones efficientnet_lite0,convnext_tiny", NO_DATA),
    (CLI + " soup {model} {nowhere}", NO_MODEL),
    (CLI + " soup {model}", "A soup needs two checkpoints or more."),
    (CLI + " budget --checkpoint {nowhere} --output {empty}/out", NO_MODEL),
    (CLI + " budget --checkpoint {model} --output {file}/out", NO_ROOM),
    (CLI + " ablate --drop mixpu", "mixpu: no such ingredient. Did you mean 'mixup'?"),
    (CLI + " ablate --drop mixup dataset.root={nowhere}", NO_DATA),
    (CLI + " tune dataset.root={nowhere} training.learning_rate=0.001..0.1 --output {empty}/out", NO_DATA),
    (CLI + " tune --trials 0", "--trials: expected at least 1."),
    (CLI + " shortlist dataset.root={nowhere}", NO_DATA),
    (CLI + " shortlist --models rose", "model=rose: Choose from"),
    (CLI + " shortlist --images 0", "0 images: expected at least 1."),
    (CLI + " split dataset.root={nowhere}", NO_DATA),
    (CLI + " lr-range dataset.root={nowhere}", NO_DATA),
    (CLI + " lr-range --steps 3", "--steps: expected at least 20."),
    (CLI + " info training.epoch=3", TYPED),
    (CLI + " correct --keep a.jpg dataset.root={nowhere}", "{nowhere}"),
    (CLI + " augment-preview dataset.root={nowhere}", NO_DATA),
    (CLI + " augment-preview --output {file}/a.png", "{file} is a file, so nothing can lie below it."),
    (CLI + " prepare-data --source {nowhere} --output {empty}/out", "Source {nowhere}: not found"),
    (CLI + " models model=caformer_s36", "'models' takes no other override than competition=... and its keys."),
    (CLI + " model", "invalid choice: 'model'"),
]


@pytest.fixture(scope="module")
def places(pictures, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("early")
    paths = {"pictures": pictures, **{name: folder / name for name in ("nowhere", "file", "empty", "csv", "model.pt")}}
    paths["empty"].mkdir()
    paths["file"].write_text("no model", encoding="utf-8")
    paths["csv"].write_text("image_id,category_id\n", encoding="utf-8")
    with zipfile.ZipFile(paths["model.pt"], "w") as archive:
        archive.writestr("data.pkl", b"")
    return {name.removesuffix(".pt"): str(path) for name, path in paths.items()}


def answers_of(lines: list[list[str]], **changed: str) -> list[dict[str, str | int]]:
    """Run command lines in one process that has no torch."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.without_torch"],
        cwd=REPOSITORY,
        env={**environment(), **changed},
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def words_of(line: str, places: dict[str, str]) -> list[str]:
    # the folder of the pictures has a space
    return [word.format(**places) for word in line.split()]


@pytest.fixture(scope="module")
def answers(places) -> dict[str, dict[str, str | int]]:
    lines = [line for line, _ in CASES]
    return dict(zip(lines, answers_of([words_of(line, places) for line in lines]), strict=True))


@pytest.mark.parametrize(("line", "sentence"), CASES, ids=[line for line, _ in CASES])
def test_wrong_input_is_answered_without_torch(line, sentence, answers, places):
    answer = answers[line]
    assert sentence.format(**places) in str(answer["stderr"]), answer
    assert answer["code"] == 2
    assert len(str(answer["stderr"]).strip().splitlines()) == 1
    assert not answer["stdout"]


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("train.py -m seed=0,1 dataset.root={nowhere}", {}),
        ("train.py dataset.root={nowhere}", {"RANK": "0"}),
        ("evaluate.py --checkpoint {nowhere}", {"RANK": "0"}),
    ],
)
def test_a_sweep_and_torchrun_leave_it_to_the_work(line, changed, places):
    [answer] = answers_of([words_of(line, places)], **changed)
    assert "ImportError: torch was imported" in str(answer["stderr"])


def test_what_a_check_says_is_shown_if_it_fails(places, tmp_path):
    table = tmp_path / "rows.csv"
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    table.write_text("image_id,kind\na.jpg,rose\nb.jpg,\n", encoding="utf-8")
    words = ["evaluate.py", "--checkpoint", places["model"], "--data", str(table)]
    [answer] = answers_of([words])
    assert answer["code"] == 2
    assert str(answer["stdout"]).count("its column kind is taken for the labels") == 1
    assert "line 3: no label" in str(answer["stderr"])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (CLI + " tune training.epochs=1..3", "A search needs the package optuna: pip install"),
        (CLI + " report --output {empty}/out", "The PDF needs the package typst: pip install"),
        (CLI + " export --checkpoint {model} --runtime onnx --output a.onnx", "export to onnx fp32: needs onnx. Type:"),
        (CLI + " studio --port 7999", "The page needs the package gradio: pip install"),
        ("inference.py --checkpoint {model} --runtime openvino", "runtime openvino: needs openvino. Type: pip install"),
        ("inference.py --checkpoint {nowhere}.xml", "{nowhere}.xml: needs openvino. Type: pip install"),
    ],
)
def test_a_missing_package_is_named_without_torch(line, sentence, places):
    [answer] = answers_of([words_of(line, places)], PACKAGES_NOT_FOUND="optuna,typst,onnx,openvino,gradio")
    assert sentence.format(**places) in str(answer["stderr"])
    assert answer["code"] == 2


def test_nothing_is_left_behind(places, answers):
    """The checks write nothing."""
    assert answers
    assert not list(Path(places["empty"]).iterdir())
    assert not Path(places["nowhere"]).exists()
