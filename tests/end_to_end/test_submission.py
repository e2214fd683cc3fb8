"""After training, as a user does it: predict, check, pack for both profiles, verify; and every mistake's sentence."""

import csv
import json
import os
import platform
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import timm
import torch

from competition.zip_layout import TEMPLATE_FILES
from prediction.runtime_packages import missing_packages
from tests.helpers import run_script

pytestmark = pytest.mark.integration

FILES = [
    "broken.jpg",
    "img_0.png",
    "img_1.JPG",
    "img_2.jpeg",
    "img_3.bmp",
    "img_4.webp",
    "img_5.PNG",
    "img_6.jpg",
    "花.png",
]


@pytest.fixture(scope="module")
def predicted(checkpoint, test_folder, tmp_path_factory):
    """Predictions with TTA in the contest's form; returns their path and what was printed."""
    output = tmp_path_factory.mktemp("predicted") / "预测 1" / "predictions.csv"
    done = run_script(
        *("inference.py", "--checkpoint", checkpoint, "--input", test_folder, "--tta", "--format", "official"),
        *("--output", output, "--save-probabilities", output.with_suffix(".npz"), "--top-k", "2"),
        "dataset.num_workers=0",
    )
    assert done.returncode == 0, done.stderr
    return output, done.stdout


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_input_has_its_row_also_the_unreadable_one(predicted, checkpoint):
    output, printed = predicted
    rows = rows_of(output)
    assert [row["filename"] for row in rows] == FILES
    counts = torch.load(checkpoint, weights_only=True)["class_counts"]
    assert rows[0]["category_id"] == str(100 + int(np.argmax(counts)))
    assert float(rows[0]["confidence"]) == 0
    assert all(float(row["confidence"]) >= 0.25 for row in rows[1:])
    assert "warning: 1 of 9 images could not be read" in printed
    assert "broken.jpg: not a JPEG" in printed
    assert "1 damaged images were read" in printed


def test_the_provenance_says_how_they_were_made(predicted, test_folder):
    provenance = json.loads(predicted[0].with_suffix(".json").read_text(encoding="utf-8"))
    assert provenance["input"] == test_folder.resolve().as_posix()
    assert provenance["views"] == ["identity", "hflip"]
    assert list(provenance["unreadable"]) == ["broken.jpg"]
    assert (provenance["runtime"], provenance["precision"], provenance["images"]) == ("torch", "float32", 9)
    assert len(provenance["checkpoints"][0]["sha256"]) == 64


def test_probabilities_and_the_best_classes_agree_with_the_rows(predicted):
    output, _ = predicted
    with np.load(output.with_suffix(".npz"), allow_pickle=False) as saved:
        probabilities, categories = saved["probabilities"], saved["category_ids"]
        assert saved["image_ids"].tolist() == FILES
    assert probabilities.dtype == np.float32
    for row, values in list(zip(rows_of(output), probabilities, strict=True))[1:]:
        assert row["category_id"] == categories[values.argmax()]
        assert float(row["confidence"]) == pytest.approx(values.max(), abs=1e-5)
    best = rows_of(output.with_name("predictions_top2.csv"))
    assert len(best) == 16
    assert [row["rank"] for row in best[:2]] == ["1", "2"]


def test_single_images_are_answered_on_the_screen(checkpoint, test_folder, tmp_path):
    done = run_script(
        *(
            "inference.py",
            "--checkpoint",
            checkpoint,
            "--input",
            test_folder / "img_1.JPG",
            "--output",
            tmp_path / "p.csv",
        )
    )
    assert done.returncode == 0, done.stderr
    assert "img_1.JPG: 花" in done.stdout
    assert (tmp_path / "p.csv").read_text(encoding="utf-8").startswith("image_id,label\nimg_1.JPG,")


def test_a_form_of_predictions_is_written_under_its_name_of_today(checkpoint, test_folder, tmp_path):
    for word in ("kit", "seed"):
        output = tmp_path / f"{word}.csv"
        words = ["--checkpoint", checkpoint, "--input", test_folder / "img_1.JPG", "--output", output]
        done = run_script("inference.py", *words, "--format", word)
        assert done.returncode == 0, done.stderr
        assert output.read_text(encoding="utf-8").startswith("image_id,label\nimg_1.JPG,")
        assert json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))["format"] == "kit"


def test_the_benchmark_names_hardware_precision_views_and_limit(checkpoint):
    done = run_script(
        "inference.py", "--checkpoint", checkpoint, "--benchmark", "--tta", "competition.max_latency_ms=0.001"
    )
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "cpu (" in lines["hardware"]
    assert "not the judges" in lines["hardware"]
    assert "torch, float32" in lines["runtime"]
    assert "identity+hflip" in lines["views"]
    for stage in ("decode", "preprocess", "forward"):
        assert all(word in lines[stage] for word in ("median", "p95", "p99"))
    assert "ms per image" in lines["best"]
    assert "100 drawn here, 600x600 JPEG" in lines["images"]
    assert all(word in lines["total"] for word in ("median", "p95", "p99"))
    assert "NOT kept" in lines["limit"]


def test_the_gate_passes_and_its_json_says_the_same(predicted):
    done = run_script(
        "check_competition.py", "--predictions", predicted[0], "--json", "competition.max_latency_ms=10000"
    )
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout)
    rules = {check["rule"] for check in result["checks"]}
    assert result["passed"] is True
    assert {"size of all models", "parameters", "input size", "latency", "runtime", "class table"} <= rules
    assert "CSV missing images" in rules


def test_the_gate_fails_with_exit_1_and_names_the_rules(predicted, tmp_path):
    worse = tmp_path / "p.csv"
    lines = predicted[0].read_text(encoding="utf-8").splitlines()
    worse.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    worse.with_suffix(".json").write_bytes(predicted[0].with_suffix(".json").read_bytes())
    done = run_script("check_competition.py", "--predictions", worse, "competition.max_model_mb=0.01")
    assert done.returncode == 1
    assert "CSV missing images" in done.stdout.splitlines()[-1]
    assert "size of all models" in done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def packed(predicted, tmp_path_factory):
    output = tmp_path_factory.mktemp("packed") / "submission.zip"
    done = run_script(
        "prepare_submission.py", "--predictions", predicted[0], "--output", output, "dataset.num_workers=0"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return output


@pytest.mark.slow
def test_the_zip_has_the_contests_layout_and_the_proof_its_figures(packed, predicted):
    with zipfile.ZipFile(packed) as archive:
        assert sorted(archive.namelist()) == sorted(
            [f"code/{name}" for name in TEMPLATE_FILES]
            + ["code/requirements.txt", "model/best_model.pth", "model/config.json", "results/submission.csv"]
        )
        rows = archive.read("results/submission.csv").decode("utf-8").splitlines()
    expected = predicted[0].read_text(encoding="utf-8").splitlines()
    assert rows[0] == expected[0]
    for row, own in zip(rows[1:], expected[1:], strict=True):
        assert row.rsplit(",", 1)[0] == own.rsplit(",", 1)[0]
        # two runs may differ in the last decimal, by the processor's kernels
        assert float(row.rsplit(",", 1)[1]) == pytest.approx(float(own.rsplit(",", 1)[1]), abs=1e-5)
    proof = json.loads(packed.with_name("submission_proof.json").read_text(encoding="utf-8"))
    assert proof["passed"] is True
    figures = {check["rule"]: check["figure"] for check in proof["checks"]}
    assert figures["from the root = the kit's predictions"].startswith("9 labels equal")
    assert figures["from code/ = from the root"].startswith("9 labels equal")
    assert figures["time an image"].startswith("not measured")
    assert [(run["where"], run["images"]) for run in proof["runs"]] == [("from the ZIP's root", 9), ("from code/", 9)]
    assert all(run["seconds"] > 0 for run in proof["runs"])
    for run in proof["runs"]:
        assert set(run["versions"]) == {"python", "torch", "timm", "numpy", "opencv", "pillow"}
        assert (run["versions"]["torch"], run["versions"]["timm"]) == (torch.__version__, timm.__version__)
    assert figures["versions"].startswith(f"Python {platform.python_version()}, torch {torch.__version__}, timm ")


@pytest.mark.slow
def test_a_zip_is_verified_with_and_without_images(packed, test_folder):
    for extra in ([], ["--input", test_folder]):
        done = run_script("prepare_submission.py", "--verify-only", packed, *extra)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith("Unpacking")
        assert "RUNNING its code" in done.stdout
    done = run_script("check_competition.py", "--submission", packed, "--input", test_folder)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["flower_2025", "kit"])
def test_a_weighted_ensemble_with_views_is_packed_as_it_answered(checkpoint, test_folder, tmp_path, profile):
    payload = torch.load(checkpoint, weights_only=True)
    payload["state_dict"]["backbone.classifier.bias"] += torch.tensor([3.0, 0.0, 0.0, 0.0])
    torch.save({**payload, "fit": "stretch"}, tmp_path / "other.pt")
    output = tmp_path / "predictions.csv"
    form = ["--format", "official"] if profile == "flower_2025" else []
    done = run_script(
        *(
            "ensemble.py",
            "--checkpoint",
            checkpoint,
            tmp_path / "other.pt",
            "--weights",
            "1",
            "3",
            "--average",
            "logits",
        ),
        *("--tta", "full,crops5,pad,stretch", "--input", test_folder, "--output", output, *form),
    )
    assert done.returncode == 0, done.stderr
    provenance = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert [entry["weight"] for entry in provenance["checkpoints"]] == [0.25, 0.75]
    words = ["--predictions", output, "--profile", profile, "--output", tmp_path / "submission.zip"]
    done = run_script("prepare_submission.py", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    proof = json.loads((tmp_path / "submission_proof.json").read_text(encoding="utf-8"))
    assert (proof["passed"], len(proof["views"])) == (True, 14)


@pytest.mark.slow
def test_what_another_runtime_predicted_is_not_packed(checkpoint, test_folder, tmp_path):
    output = tmp_path / "predictions.csv"
    words = ["--checkpoint", checkpoint, "--input", test_folder, "--output", output, "--format", "official"]
    if missing_packages(("onnx", "onnxscript", "onnxruntime")):
        pytest.skip("requirements-export.txt is not installed")
    done = run_script("inference.py", *words, "--runtime", "onnx")
    assert done.returncode == 0, done.stderr
    done = run_script("prepare_submission.py", "--predictions", output)
    assert done.returncode == 2
    assert "the code in the ZIP runs torch" in done.stderr
    done = run_script("check_competition.py", "--predictions", output)
    assert done.returncode == 1, done.stderr
    assert "FAIL runtime" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_the_kit_itself_is_packed_for_the_profile_kit_and_its_earlier_name_seed(predicted, test_folder, tmp_path):
    output = tmp_path / "kit.zip"
    done = run_script("prepare_submission.py", "--predictions", predicted[0], "--profile", "seed", "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(output) as archive:
        names = archive.namelist()
        text = archive.read("result/predictions.csv").decode("utf-8")
    assert {"code/inference.py", "code/configs/schema.py", "model/best_model.pt", "requirements.txt"} <= set(names)
    assert not [name for name in names if "tests/" in name or name.endswith((".jpg", ".pyc"))]
    assert text.startswith("image_id,label\nbroken.jpg,")
    done = run_script("prepare_submission.py", "--verify-only", output, "--profile", "kit", "--input", test_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from the root = the CSV in the ZIP  9 labels equal" in done.stdout


@pytest.mark.slow
def test_a_table_as_kaggle_asks_for_is_packed(checkpoint, test_folder, tmp_path):
    table, output = tmp_path / "kaggle.csv", tmp_path / "kaggle.zip"
    words = ["--checkpoint", checkpoint, "--input", test_folder, "--output", table, "--format", "kaggle"]
    assert run_script("inference.py", *words).returncode == 0
    done = run_script("prepare_submission.py", "--predictions", table, "--profile", "kaggle", "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(output) as archive:
        assert archive.read("submission.csv").decode("utf-8").splitlines()[0] == "id,label"
        assert "code/predict.py" in archive.namelist()


@pytest.mark.slow
def test_a_difference_is_an_error_and_no_zip_is_left(predicted, tmp_path):
    lines = predicted[0].read_text(encoding="utf-8").splitlines()
    name, category, confidence = lines[2].split(",")
    lines[2] = f"{name},{100 + (int(category) - 99) % 4},{confidence}"
    changed = tmp_path / "p.csv"
    changed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    changed.with_suffix(".json").write_bytes(predicted[0].with_suffix(".json").read_bytes())
    output = tmp_path / "submission.zip"
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("model", "an older one")
    output.with_name("submission_proof.json").write_bytes(b"an older one")
    words = ["prepare_submission.py", "--predictions", changed, "--output", output]
    # bad input, before anything was tried, costs nothing
    refused = run_script(*words, "--input", tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert output.is_file()
    done = run_script(*words)
    assert done.returncode == 1
    assert "No ZIP was written" in done.stderr
    assert "1 of 9 labels differ, first 'img_0.png'" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.json"]


def test_a_failed_proof_deletes_no_file_that_is_no_zip(predicted, tmp_path):
    output = tmp_path / "notes.zip"
    output.write_bytes(b"precious")
    words = ["--predictions", predicted[0], "--output", output, "competition.max_model_mb=0.1"]
    done = run_script("prepare_submission.py", *words)
    assert done.returncode == 1, done.stderr
    assert "even as fp16" in done.stderr
    assert output.read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.zip"]


@pytest.mark.slow
def test_weights_become_fp16_where_that_is_needed_to_fit(predicted, checkpoint, tmp_path):
    payload = torch.load(checkpoint, weights_only=True)
    values = sum(t.numel() for t in payload["state_dict"].values() if t.is_floating_point())
    limit = (values * 2 / 1e6 + 0.7 + values * 4 / 1e6 + 0.5) / 2
    output = tmp_path / "half.zip"
    arguments = ["prepare_submission.py", "--predictions", predicted[0], "--output", output]
    done = run_script(*arguments, f"competition.max_model_mb={limit}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights packed as fp16 to fit" in done.stdout
    with zipfile.ZipFile(output) as archive, archive.open("model/best_model.pth") as file:
        weights = torch.load(file, weights_only=True)
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float16}
    done = run_script(*arguments, "competition.max_model_mb=0.1")
    assert done.returncode == 1
    assert "even as fp16, more than 0.1 MB" in done.stderr


RECIPE = {
    "head_init": "probe",
    "freeze_batchnorm": True,
    "freeze_layers": 0.4,
    "freeze_epochs": 1,
    "layer_decay": 0.8,
    "final_epochs": 1,
    "final_input_size": 48,
    "accumulation_steps": 2,
    "ema_decay": 0.9,
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [{}, RECIPE], ids=["plain", "finetune"])
def test_the_judges_training_makes_a_model_that_their_predict_reads(packed, pictures, test_folder, tmp_path, recipe):
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "z")
    path, start = tmp_path / "z" / "model" / "config.json", tmp_path / "start.pth"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["training"].update(recipe)
    path.write_text(json.dumps(config), encoding="utf-8")
    weights = torch.load(tmp_path / "z" / "model" / "best_model.pth", weights_only=True)
    torch.save({name.removeprefix("backbone."): weights[name] for name in weights if "." in name}, start)
    training = [
        "code/train.py",
        pictures / "train",
        pictures / "train.csv",
        "--epochs",
        "3",
        "--output",
        tmp_path / "m",
    ]
    commands = [
        [*training, "--weights", start] if recipe else training,
        ["code/predict.py", test_folder, tmp_path / "结果" / "p.csv", "--model-dir", tmp_path / "m"],
    ]
    printed = ""
    for words in commands:
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=tmp_path / "z",
            # a console that cannot show Chinese, as on many Windows machines
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    assert [row["filename"] for row in rows_of(tmp_path / "结果" / "p.csv")] == FILES
    # nothing of the recipe is left out; only the temperature is told, which is another model's
    notes = [line for line in printed.splitlines() if line.startswith("note:")]
    assert [note.split()[:6] for note in notes] == [["note:", "the", "logits", "will", "be", "divided"]]
    assert ("starts from a probe" in printed) == bool(recipe)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["inference.py"], 2, "--checkpoint"),
        (["inference.py", "--checkpoint", "no.pt"], 2, "no.pt: no such checkpoint"),
        (["inference.py", "--checkpoint", "{best}"], 2, "there is nothing to predict. Name a folder"),
        (["inference.py", "--checkpoint", "{best}", "--input", "nowhere"], 2, "nowhere: not found"),
        (["inference.py", "--checkpoint", "{best}", "--input", "{images}", "--tta", "spin"], 2, "no view 'spin'"),
        (["inference.py", "--checkpoint", "{best}", "--input", "{images}", "--top-k", "9"], 2, "expected 1 to 4"),
        (["inference.py", "--checkpoint", "{best}", "--input", "{images}", "seed=1"], 2, "seed: has no effect here"),
        (
            ["inference.py", "--checkpoint", "{best}", "--input", "{images}", "--output", "p.json"],
            2,
            "a file that ends in .csv",
        ),
        (["inference.py", "--checkpoint", "{best}", "--benchmark", "--top-k", "1"], 2, "--benchmark only times"),
        (["inference.py", "--checkpoint", "{best}", "--tta", "search"], 2, "no view 'search'"),
        (["evaluate.py", "--checkpoint", "{best}", "--weights", "1", "1"], 2, "2 weights for 1 members"),
        (["evaluate.py", "--checkpoint", "{best}", "--tta", "search", "--input-sizes", "64"], 2, "Give one of them"),
        (["inference.py", "--checkpoint", "no.onnx"], 2, "no such file"),
        (["check_competition.py"], 2, "Nothing to check"),
        (["check_competition.py", "--predictions", "no.csv"], 2, "no.csv: not found"),
        (["check_competition.py", "--checkpoint", "{best}", "--profile", "x"], 2, "flower_2025, kaggle, kit"),
        (["check_competition.py", "--submission", "no.zip"], 2, "no such ZIP"),
        (["check_competition.py", "--checkpoint", "no.pt", "--predictions", "{csv}"], 2, "no.pt: no such checkpoint"),
        (["prepare_submission.py"], 2, "--predictions is needed"),
        (["prepare_submission.py", "--predictions", "{other}"], 2, "no provenance"),
        (["prepare_submission.py", "--predictions", "{csv}", "--input", "nowhere"], 2, "nowhere: the folder"),
        (
            ["prepare_submission.py", "--predictions", "{csv}", "--checkpoint", "{other}"],
            2,
            "not a checkpoint of this kit",
        ),
        (["prepare_submission.py", "--predictions", "{csv}", "--checkpoint", "{zip}"], 2, "SHA-256 differs"),
        (["prepare_submission.py", "--verify-only", "z.zip", "--tta"], 2, "--tta has no effect"),
        (["prepare_submission.py", "--verify-only", "{zip}", "--python", "no/python"], 2, "no/python: no such program"),
        (["prepare_submission.py", "--predictions", "{csv}", "--python", "no/python"], 2, "no/python: no such program"),
    ],
)
def test_mistakes_get_their_sentence(checkpoint, predicted, test_folder, tmp_path, words, code, message):
    (tmp_path / "other.csv").write_text("image_id,label\na.jpg,0\n", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "z.zip", "w"):
        pass
    names = {"{best}": checkpoint, "{images}": test_folder, "{csv}": predicted[0], "{other}": tmp_path / "other.csv"}
    names["{zip}"] = tmp_path / "z.zip"
    done = run_script(*[str(names.get(word, word)) for word in words])
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert "Traceback" not in done.stderr
