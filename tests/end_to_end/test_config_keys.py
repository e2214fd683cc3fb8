"""Every key of the schema is read by code that trains or evaluates; and the guide's lines compose as written."""

import dataclasses
import shlex
import sys
from pathlib import Path

import pytest

import configs.schema as schema
from common.errors import RunError
from competition.model_rules import check_models
from competition.profile import read_profile
from competition.submission import prepare_submission
from configs.compose import compose, leaf_keys
from configs.options import config_names
from evaluation.evaluate import evaluate
from prediction.output_files import OutputFiles
from prediction.pipeline import load_pipeline
from prediction.predict import predict_to_files
from training.train import train

SECTIONS = {
    schema.ModelConfig: "model.",
    schema.DemoConfig: "dataset.demo.",
    schema.DatasetConfig: "dataset.",
    schema.EarlyStoppingConfig: "training.early_stopping.",
    schema.TrainingConfig: "training.",
    schema.AugmentationConfig: "augmentation.",
    schema.CompetitionConfig: "competition.",
    schema.ZipLayoutConfig: "competition.zip_layout.",
    schema.Config: "",
}
# reading a key in order to check, copy, compare or print the whole config does not count as using it
NOT_A_USE = ("configs.compose", "configs.validate", "dataclasses", "omegaconf", "copy", "tests.")


@pytest.fixture
def reads(monkeypatch):
    """The keys that code reads while the test runs."""
    seen = set()

    def watch(section, prefix):
        original = section.__getattribute__
        names = {field.name for field in dataclasses.fields(section)}

        def read(self, name):
            reader = sys._getframe(1).f_globals.get("__name__", "")
            if name in names and not reader.startswith(NOT_A_USE):
                seen.add(prefix + name)
            return original(self, name)

        monkeypatch.setattr(section, "__getattribute__", read)

    for section, prefix in SECTIONS.items():
        watch(section, prefix)
    return seen


@pytest.mark.slow
def test_every_key_is_read(tiny, pictures, test_folder, tmp_path, reads, monkeypatch):
    common = ["training.epochs=1", "training.warmup_epochs=0"]
    train(tiny(*common, "training=focal", "training.mixup_alpha=0.2", "training.ema_decay=0.9"))
    train(tiny(*common, "training=few_shot", "dataset.fold=1", "model.pretrained=false"))
    teacher = str(tmp_path / "run" / "checkpoints" / "best_model.pt")
    saved = tmp_path / "teacher.pt"
    saved.write_bytes(Path(teacher).read_bytes())
    finishing = ["training.final_epochs=1", "training.final_input_size=48", "model.eval_input_size=64"]
    balanced = ["training.loss_function=class_balanced_focal", f"training.teacher={saved}"]
    elsewhere = f"output_dir={tmp_path / 'finished'}"
    train(tiny(*common, "training=finetune", "training.learning_rate=null", *finishing, *balanced, elsewhere))
    weights = str(tmp_path / "run" / "checkpoints" / "best_model.pt")
    demo = [f"dataset.demo.{key}" for key in ("classes=2", "images_per_class=4", "image_size=40")]
    train(
        tiny(
            *common,
            "dataset=demo",
            f"dataset.root={tmp_path / 'demo'}",
            f"output_dir={tmp_path / 'demo_run'}",
            "model.pretrained=true",
            f"model.weights={weights}",
            *demo,
        )
    )
    best = tmp_path / "run" / "checkpoints" / "best_model.pt"
    pipeline = load_pipeline([best])
    evaluate(pipeline, output_dir=tmp_path / "evaluation")
    predictions = tmp_path / "predictions.csv"
    predict_to_files(
        load_pipeline([best], overrides=[f"dataset.test_dir={test_folder}"]), None, OutputFiles(predictions)
    )
    profile, _ = read_profile("flower_2025", [])
    check_models(pipeline, profile)
    prepare_submission(pipeline, predictions, test_folder, tmp_path / "submission.zip", profile)
    forced = ["training.resume=auto", "training.resume_force=true", "training.epochs=2", "training.max_bad_steps=1"]
    # the only loss that is not finite here, so that the limit of such steps is read
    monkeypatch.setattr("training.step._forward", lambda forward, images: forward(images) * float("nan"))
    with pytest.raises(RunError, match="max_bad_steps"):
        train(tiny(*forced, "training=few_shot", "dataset.fold=1"))
    assert set(leaf_keys()) - reads == set()


GUIDE = [
    "python train.py --config-name high_performance training.epochs=100",
    "python train.py model=convnext_base training=focal augmentation=ultra_strong training.epochs=50",
    "python train.py model=convnext_tiny training=focal augmentation=medium training.epochs=5",
    "python train.py model=convnext_tiny training=focal training.epochs=2",
    "python train.py --config-name high_performance",
    "python train.py dataset.batch_size=16",
    "python train.py model=convnext_base model.drop_path_rate=0.1",
    "python train.py model=efficientnet_b3",
]


@pytest.mark.parametrize("line", GUIDE)
def test_the_guides_lines_compose(line):
    words = shlex.split(line)[2:]
    name = "config"
    if words[0] == "--config-name":
        name, words = words[1], words[2:]
    config = compose(name, words)
    assert name in config_names()
    for word in words:
        key, value = word.split("=")
        found = config
        for part in key.split("."):
            found = getattr(found, part)
        found = getattr(found, "name", found)
        assert (float(value) if isinstance(found, float) else value) == (
            found if isinstance(found, float) else str(found)
        )
