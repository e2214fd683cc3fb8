"""Training: what it writes, how it ends, and that a resumed run is the run that was never interrupted."""

# a None where a value should be fails the test like any other fault
# pyright: reportOperatorIssue=false, reportOptionalOperand=false

import csv
import itertools
import shutil

import pytest
import timm
import torch

from common.errors import InputError, RunError
from configs.compose import compose
from data.dataloader import BatchReader
from data.inputs import find_inputs
from data.table import write_table
from models.checkpoint import load_checkpoint
from models.losses import CrossEntropy
from prediction.pipeline import load_pipeline, predict_images
from prediction.probabilities import save_probabilities
from tests.conftest import TINY, write_pictures
from tests.training.interrupted_runs import assert_same_run, final_tensors, history, interrupt, stop_and_go_on
from training.resume import load_training_state
from training.run_folder import HISTORY_COLUMNS, RunFolder
from training.train import train

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    """A tiny run of two epochs, whose pictures are drawn, and its result; read only."""
    root = tmp_path_factory.mktemp("trained")
    return train(compose("config", [*TINY, f"dataset.root={pictures}", f"output_dir={root}"])), RunFolder(root)


@pytest.fixture
def finished(trained, tmp_path):
    """The folder of the same run, copied to where `tiny` writes."""
    shutil.copytree(trained[1].root, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_a_run_writes_what_it_promises(trained):
    result, folder = trained
    rows = history(folder)
    assert tuple(rows[0]) == HISTORY_COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[result.best_epoch - 1]["val_top1"]) == pytest.approx(result.best_top1, abs=1e-6)
    checkpoint = load_checkpoint(folder.best)
    assert checkpoint.metrics["val_top1"] == result.best_top1
    assert [image_class.category_id for image_class in checkpoint.classes] == ["100", "101", "102", "103"]
    # 12 images per class, of which two or three validate
    assert sorted(checkpoint.class_counts) == [9, 9, 10, 10]
    assert folder.config.is_file()
    assert list(folder.logs.glob("events.*"))
    assert not folder.skipped_images.exists()


def test_the_best_model_holds_nothing_of_the_optimizer(tiny, tmp_path):
    train(tiny("training.ema_decay=0.9", "training.epochs=1"))
    payload = torch.load(tmp_path / "run" / "checkpoints" / "best_model.pt", weights_only=True)
    assert not {"optimizer", "scaler", "ema"} & payload.keys()
    assert payload["averaged_weights"] is True


def test_a_tiny_model_learns(tiny):
    assert train(tiny("training.epochs=12", "training.scheduler=constant")).best_top1 >= 0.75


@pytest.fixture(scope="session")
def files(checkpoint, pictures, tmp_path_factory):
    """A teacher's checkpoint, its saved probabilities of all pictures, and a file of weights to start from."""
    pipeline, inputs = load_pipeline([checkpoint]), find_inputs([pictures / "train"])
    folder = tmp_path_factory.mktemp("files")
    save_probabilities(folder / "probabilities.npz", pipeline, inputs, predict_images(pipeline, inputs))
    torch.save(timm.create_model("test_efficientnet").state_dict(), folder / "weights.pt")
    return {
        "teacher": checkpoint,
        "saved_teacher": folder / "probabilities.npz",
        "weights": folder / "weights.pt",
    }


# options that do not touch each other share a run
RECIPES = {
    "plain": [],
    "frozen and late parts, sampler, early stopping": [
        "training.layer_decay=0.8",
        "training.head_lr_multiplier=3",
        "training.freeze_epochs=2",
        "dataset.sampler=balanced",
        "training.early_stopping.patience=2",
        "training.early_stopping.min_delta=0.5",
    ],
    "late backbone, focal loss, other sampler": [
        "training=focal",
        "training.backbone_warmup_epochs=3",
        "training.layer_decay=0.8",
        "training.clip_grad_norm=null",
        "dataset.sampler=sqrt",
    ],
    "final epochs at another size end mixing, lamb, teacher": [
        "training.final_epochs=2",
        "training.final_input_size=48",
        "model.eval_input_size=64",
        "training.cutmix_alpha=1",
        "training.optimizer=lamb",
        "training.teacher={teacher}",
    ],
    "weights from a file, kept statistics, frozen layers, whole pictures, hard teacher": [
        "model.pretrained=true",
        "model.weights={weights}",
        "training.head_init=probe",
        "training.freeze_batchnorm=true",
        "training.freeze_layers=0.5",
        "model.fit=pad",
        "augmentation=randaugment",
        "training.teacher=[{teacher}]",
        "training.distillation_hard_labels=true",
    ],
    "few shot": ["training=few_shot"],
    # without clipping it diverges from kept statistics
    "sgd": ["training.optimizer=sgd", "training.clip_grad_norm=null"],
    "own teacher, accumulation": [
        "training.teacher=ema",
        "training.ema_decay=0.9",
        "training.mixup_alpha=0.4",
        "model.drop_path_rate=0.2",
        "model.drop_rate=0.3",
        "training.accumulation_steps=3",
        "dataset.batch_size=4",
    ],
    "saved teacher, mixing, class-balanced focal loss": [
        "training.teacher={saved_teacher}",
        "training.mixup_alpha=0.4",
        "training.cutmix_alpha=1",
        "training.mix_off_epochs=1",
        "training.ema_decay=0.95",
        "training.loss_function=class_balanced_focal",
        "training.class_balance_beta=0.9",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=list(RECIPES))
def test_four_epochs_equal_two_and_two_resumed(tiny, tmp_path, monkeypatch, files, recipe):
    options = ["training.epochs=4", *(option.format(**files) for option in RECIPES[recipe])]
    train(tiny(*options, f"output_dir={tmp_path / 'straight'}"))
    interrupted = tiny(*options, "training.resume=auto")
    steps = 4 if "accumulation" in recipe else 5
    # per epoch the loop looks once before each step, once a validation batch, and once at its end
    stop_and_go_on(monkeypatch, interrupted, looks=(2, steps + 2, 2 * steps + 2))
    assert_same_run(RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "run"))


EVERYTHING = [
    "training.epochs=4",
    "training.mixup_alpha=0.4",
    "training.cutmix_alpha=1",
    "training.mix_off_epochs=1",
    "training.ema_decay=0.9",
    "training.accumulation_steps=2",
    "training.layer_decay=0.8",
    "training.freeze_epochs=1",
    "model.drop_path_rate=0.2",
    "model.drop_rate=0.3",
    "training.head_init=probe",
    "training.freeze_batchnorm=true",
    "training.freeze_layers=0.4",
    "model.pretrained=true",
    "model.weights={weights}",
    "training.final_epochs=1",
    "training.final_input_size=48",
    "training.teacher={teacher}",
    "dataset.sampler=balanced",
    "dataset.batch_size=4",
    "augmentation=strong",
]


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["fork", "spawn"])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("persistent", [True, False])
def test_workers_change_nothing(tiny, tmp_path, monkeypatch, files, workers, persistent, start_method):
    everything = [option.format(**files) for option in EVERYTHING]
    train(tiny(*everything, f"output_dir={tmp_path / 'straight'}"))
    start = BatchReader._start

    def start_anew(self):
        self._loader = self._loader if persistent else None
        return start(self)

    monkeypatch.setattr(BatchReader, "_start", start_anew)
    before = torch.multiprocessing.get_start_method()
    torch.multiprocessing.set_start_method(start_method, force=True)
    try:
        stop_and_go_on(
            monkeypatch, tiny(*everything, "training.resume=auto", f"dataset.num_workers={workers}"), looks=[10]
        )
    finally:
        torch.multiprocessing.set_start_method(before, force=True)
    assert_same_run(RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "run"))


@pytest.mark.slow
def test_a_run_may_stop_after_any_step(tiny, tmp_path, monkeypatch, files):
    everything = [option.format(**files) for option in EVERYTHING]
    train(tiny(*everything, f"output_dir={tmp_path / 'straight'}"))
    resumed = tiny(*everything, "training.resume=auto")
    # few looks stop it at every place; the validation of an epoch, which starts anew, takes four
    for looks in itertools.islice(itertools.cycle([1, 2, 3, 4, 5]), 40):
        interrupt(monkeypatch, looks)
        try:
            train(resumed)
        except KeyboardInterrupt:
            continue
        break
    assert_same_run(RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "run"))


def test_a_new_run_moves_the_older_one_away_and_another_seed_is_another_run(tiny, finished):
    older, first = finished.best.read_bytes(), final_tensors(finished)
    train(tiny("seed=1"))
    archived = list((finished.root / "archive").glob("*/checkpoints/best_model.pt"))
    assert [path.read_bytes() for path in archived] == [older]
    second = final_tensors(finished)
    assert not all(torch.equal(value, second[name]) for name, value in first.items())


def test_resuming_with_more_epochs_says_so(tiny, finished, capsys):
    train(tiny("training.epochs=3", "training.resume=auto"))
    assert "training.epochs is 3, was 2: the learning-rate schedule is recomputed" in capsys.readouterr().out
    assert [row["epoch"] for row in history(finished)] == ["1", "2", "3"]


def test_a_complete_run_is_not_trained_again(tiny, finished, capsys):
    before = finished.last.read_bytes()
    train(tiny("training.resume=auto"))
    assert "Nothing to train: the run is complete after 2 epochs." in capsys.readouterr().out
    assert finished.last.read_bytes() == before


@pytest.mark.parametrize(
    "change", ["training.weight_decay=0.1", "dataset.batch_size=4", "seed=7", "augmentation=medium"]
)
def test_resuming_with_another_recipe_is_refused(tiny, finished, change):
    with pytest.raises(InputError, match="its run had other values of"):
        train(tiny("training.epochs=3", "training.resume=auto", change))


def test_resuming_with_another_recipe_can_be_forced(tiny, finished, capsys):
    forced = ["training.resume=auto", "training.resume_force=true", "training.weight_decay=0.1"]
    train(tiny("training.epochs=3", *forced))
    assert "goes on with other values of training.weight_decay (was 0.05)" in capsys.readouterr().out
    assert len(history(finished)) == 3


def test_harmless_changes_are_said_and_go_on(tiny, finished, capsys):
    harmless = ["dataset.max_bad_fraction=0.5", "experiment_name=again", "competition.max_latency_ms=50"]
    train(tiny("training.epochs=3", "training.resume=auto", *harmless, "dataset.test_dir=elsewhere"))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "without effect on the result" in line]
    for change in (
        "dataset.max_bad_fraction (was 0.01)",
        "experiment_name (was flowers)",
        "competition.max_latency_ms (was 100.0)",
        "dataset.test_dir (was None)",
    ):
        assert change in line


def test_resuming_with_other_images_is_refused(tiny, tmp_path):
    write_pictures(tmp_path / "data", [6, 6])
    train(tiny(f"dataset.root={tmp_path / 'data'}", "training.epochs=1"))
    rows = [f"{number:04d}.png" for number in range(11)]
    write_table(tmp_path / "data" / "train.csv", rows, [number % 2 for number in range(11)])
    with pytest.raises(InputError, match="other images or another split"):
        train(tiny(f"dataset.root={tmp_path / 'data'}", "training.epochs=2", "training.resume=auto"))


def test_resuming_from_what_is_not_a_state_is_refused(tiny, finished, tmp_path):
    with pytest.raises(InputError, match=r"last\.pt for resuming"):
        train(tiny(f"training.resume={finished.best}"))
    broken = tmp_path / "broken.pt"
    broken.write_bytes(finished.last.read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged"):
        train(tiny(f"training.resume={broken}"))
    with pytest.raises(InputError, match="no such checkpoint"):
        train(tiny(f"training.resume={tmp_path / 'none.pt'}"))


def test_a_run_that_cannot_start_leaves_the_older_one_alone(tiny, finished, tmp_path):
    with pytest.raises(InputError):
        train(tiny("model.pretrained=true", f"model.weights={tmp_path / 'none.pth'}"))
    assert finished.best.is_file()


def test_without_validation_the_last_epoch_is_shipped(tiny, tmp_path):
    result = train(tiny("dataset.val_split=0"))
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoints" / "best_model.pt")
    assert (result.best_top1, checkpoint.epoch, checkpoint.split["val"]) == (None, 2, [])
    assert len(checkpoint.split["train"]) == 48
    assert {row["val_top1"] for row in history(RunFolder(tmp_path / "run"))} == {""}


def test_fewer_epochs_than_warm_up_says_so(tiny, capsys):
    train(tiny("training.warmup_epochs=3"))
    assert (
        "training.warmup_epochs=3 does not fit into 2 epochs: the warm-up is cut to 5 of 10 steps"
        in capsys.readouterr().out
    )


def test_a_class_with_one_image_is_trained_on(tiny, tmp_path, capsys):
    write_pictures(tmp_path / "data", [8, 8, 1])
    train(tiny(f"dataset.root={tmp_path / 'data'}", "training.epochs=1"))
    assert "1 classes have one image, which is used for training" in capsys.readouterr().out


def test_a_batch_larger_than_the_data_set_works(tiny, tmp_path):
    train(tiny("dataset.batch_size=1000"))
    assert load_training_state(tmp_path / "run" / "checkpoints" / "last.pt")["state"]["step"] == 2


@pytest.mark.parametrize("size", [3, 37])
def test_an_odd_last_batch_under_mixup_works(tiny, size):
    options = ["training.mixup_alpha=0.2", "training.cutmix_alpha=1", "training.epochs=1"]
    result = train(tiny(*options, f"dataset.batch_size={size}"))
    assert result.epochs == 1
    assert 0 <= result.best_top1 <= 1


def test_early_stopping_waits_for_its_patience(tiny, tmp_path, capsys):
    options = ["training.early_stopping.patience=2", "training.early_stopping.min_delta=1", "training.epochs=9"]
    result = train(tiny(*options))
    # the first epoch gains over nothing, no later one can gain a whole
    assert (result.epochs, result.stopped_early) == (3, True)
    assert "no gain in validation top-1 for 2 epochs" in capsys.readouterr().out


def test_a_caller_may_end_a_run_which_can_go_on(tiny, tmp_path, capsys):
    rows = []

    def after_epoch(row):
        rows.append(dict(row))
        return row["epoch"] == 2

    result = train(tiny("training.epochs=3"), after_epoch)
    assert (result.epochs, result.stopped_early, len(rows)) == (2, True, 2)
    assert max(row["val_top1"] for row in rows) == result.best_top1
    assert "Stopped after 2 of 3 epochs, as asked" in capsys.readouterr().out
    assert load_checkpoint(result.best_model).temperature_source
    # no later epoch is better, and yet the top-1 to expect is that of all epochs
    train(tiny("training.epochs=3", "training.resume=auto"))
    train(tiny("training.epochs=3", f"output_dir={tmp_path / 'whole'}"))
    assert_same_run(RunFolder(tmp_path / "run"), RunFolder(tmp_path / "whole"))


def test_an_unreadable_image_is_left_out_and_listed(tiny, tmp_path, capsys):
    write_pictures(tmp_path / "data", [8, 8])
    (tmp_path / "data" / "train" / "0003.png").write_bytes(b"not an image")
    (tmp_path / "data" / "train" / "0004.png").unlink()
    broken = ["dataset.val_split=0", "dataset.max_bad_fraction=0.2", "training.epochs=1"]
    train(tiny(f"dataset.root={tmp_path / 'data'}", *broken))
    rows = list(csv.reader((tmp_path / "run" / "skipped_images.csv").open(encoding="utf-8", newline="")))
    assert [row[0] for row in rows] == ["image_id", "0003.png", "0004.png"]
    assert rows[1][1] == str(tmp_path / "data" / "train" / "0003.png")
    assert "not a JPEG, PNG, BMP, GIF, WebP, TIFF or AVIF image" in rows[1][2]
    assert "2 images could not be read and were left out" in capsys.readouterr().out


def test_no_readable_image_is_an_error(tiny, tmp_path):
    write_pictures(tmp_path / "data", [4, 4])
    for path in (tmp_path / "data" / "train").iterdir():
        path.write_bytes(b"")
    with pytest.raises(RunError, match="No training image could be read"):
        train(tiny(f"dataset.root={tmp_path / 'data'}", "dataset.val_split=0", "dataset.max_bad_fraction=1"))
    listed = (tmp_path / "run" / "skipped_images.csv").read_text(encoding="utf-8").splitlines()
    assert len(listed) == 1 + 8
    assert listed[1].endswith("the file is empty")


def test_a_loss_that_is_not_finite_is_an_error(tiny, monkeypatch):
    monkeypatch.setattr(CrossEntropy, "forward", lambda self, logits, targets: logits.sum() * float("nan"))
    with pytest.raises(RunError, match=r"The training loss of epoch 1 is not finite\. Lower training\.learning_rate"):
        train(tiny())


def test_one_image_a_batch_says_what_it_needs(tiny):
    with pytest.raises(RunError, match=r"Give a larger dataset\.batch_size or model\.input_size"):
        train(tiny("dataset.batch_size=1"))


def test_validation_scores_the_weights_that_are_shipped(tiny, tmp_path):
    # at this decay the averaged weights have barely left the random start, so raw weights would score otherwise; a
    # single epoch is both the best and the last, whose averaged weights the state holds
    train(tiny("training.ema_decay=0.9999", "training.epochs=1", "training.warmup_epochs=0"))
    state = load_training_state(tmp_path / "run" / "checkpoints" / "last.pt")["state"]
    best = load_checkpoint(tmp_path / "run" / "checkpoints" / "best_model.pt")
    assert best.epoch == 1
    assert all(torch.equal(value, state["ema"][name]) for name, value in best.state_dict.items())
    raw = state["model"]["backbone.classifier.weight"]
    assert not torch.equal(best.state_dict["backbone.classifier.weight"], raw)
