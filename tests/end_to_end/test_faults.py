"""What goes wrong in long runs, injected: each fault is survived or named, and costs nothing but time."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalIterable=false, reportOptionalMemberAccess=false

import csv
import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch

import data.dataset
import training.step
import training.trainer
from common.errors import InputError, RunError
from data.table import write_table
from models.checkpoint import load_checkpoint
from models.losses import CrossEntropy
from tests.conftest import TINY, write_pictures
from tests.helpers import REPOSITORY, command, environment, kill_workers, run_script, run_words
from training.resume import load_training_state
from training.run_folder import RunFolder
from training.train import train

pytestmark = pytest.mark.integration

ENDLESS = ("training.epochs=3000", "training.early_stopping.patience=3000")
PLAIN_NET = ("model.architecture=test_vit", "model.drop_path_rate=0")


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_training_state(folder / "checkpoints" / "last.pt")["state"]["model"]


def assert_equal_weights(first: Path, second: Path) -> None:
    expected, found = final_weights(first), final_weights(second)
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []


def skipped(folder: Path) -> list[dict[str, str]]:
    with (folder / "skipped_images.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def allow_images(monkeypatch, most: int) -> None:
    """Let the device's memory hold at most `most` images in training."""
    forward = training.step._forward

    def limited(model, images):
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return forward(model, images)

    monkeypatch.setattr(training.step, "_forward", limited)


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_effective_one(tiny, tmp_path, monkeypatch, capsys):
    # AdamW would turn the last digits of a gradient near zero into whole steps
    options = [*PLAIN_NET, "training.mixup_alpha=0.2", "training.accumulation_steps=2", "training.optimizer=sgd"]
    train(tiny(*options, f"output_dir={tmp_path / 'roomy'}"))
    capsys.readouterr()
    allow_images(monkeypatch, 2)
    train(tiny(*options))
    said = capsys.readouterr().out
    assert said.count("out of memory with 8 images at once") == 1
    assert said.count("out of memory with 4 images at once") == 1
    assert "computed in 4 parts of at most 2" in said
    assert "BatchNorm's statistics come from fewer images, and dropout draws otherwise" in said
    roomy, tight = final_weights(tmp_path / "roomy"), final_weights(tmp_path / "run")
    assert all(torch.allclose(value, tight[name], atol=1e-6) for name, value in roomy.items())
    state = load_training_state(tmp_path / "run" / "checkpoints" / "last.pt")["state"]
    assert (state["splits"], state["step"]) == (4, 6)


def test_memory_for_no_image_is_a_clear_error(tiny, monkeypatch):
    allow_images(monkeypatch, 0)
    with pytest.raises(RunError, match=r"does not hold a single image in training\. Give model\.grad_checkpointing"):
        train(tiny())


def break_losses(monkeypatch, broken: set[int]) -> None:
    """Make the loss of these forward passes, counted from 0, not a number."""
    forward, calls = CrossEntropy.forward, 0

    def sometimes(self, logits, targets):
        nonlocal calls
        calls += 1
        loss = forward(self, logits, targets)
        return loss * float("nan") if calls - 1 in broken else loss

    monkeypatch.setattr(CrossEntropy, "forward", sometimes)


def test_a_step_that_is_not_finite_is_skipped_and_counted(tiny, tmp_path, monkeypatch, capsys):
    break_losses(monkeypatch, {1, 2, 7})
    train(tiny("training.ema_decay=0.9", "training.max_bad_steps=3"))
    said = capsys.readouterr().out
    assert said.count("were not finite in epoch 1") == 2
    assert "3 optimizer steps were skipped" in said
    state = load_training_state(tmp_path / "run" / "checkpoints" / "last.pt")["state"]
    assert (state["skipped_steps"], state["bad_steps"], state["step"]) == (3, 0, 10)
    assert all(torch.isfinite(value).all() for value in state["model"].values())
    assert all(torch.isfinite(value).all() for value in state["ema"].values())
    assert all(row["train_loss"] < 100 for row in state["history"])


def test_too_many_such_steps_end_the_run_and_name_the_images(tiny, tmp_path, monkeypatch):
    break_losses(monkeypatch, set(range(6, 100)))
    with pytest.raises(RunError, match=r"in 3 steps in a row .* the last in epoch 2, optimizer step 9 \(images \d{4}"):
        train(tiny("training.max_bad_steps=3"))
    state = load_training_state(tmp_path / "run" / "checkpoints" / "last.pt")["state"]
    assert state["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in state["model"].values())
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "best_model.pt").epoch == 1


def test_an_infinite_gradient_leaves_the_statistics_of_batchnorm_alone(tiny, tmp_path, monkeypatch):
    forward = training.step._forward

    def overflowing(model, images):
        return forward(model, images.float() * float("inf"))

    monkeypatch.setattr(training.step, "_forward", overflowing)
    with pytest.raises(RunError, match="training loss of epoch 1 is not finite"):
        train(tiny("training.max_bad_steps=100"))
    monkeypatch.undo()
    assert not (tmp_path / "run" / "checkpoints" / "last.pt").exists()


def read_and(monkeypatch, action) -> None:
    """Call `action` with the image id before each image is read, in whatever process."""
    read = data.dataset.read_image

    def disturbed(path, reduction):
        action(path.name)
        return read(path, reduction)

    monkeypatch.setattr(data.dataset, "read_image", disturbed)


@pytest.mark.slow
def test_an_image_that_kills_its_worker_is_left_out_alone(tiny, tmp_path, monkeypatch, capsys):
    main = os.getpid()

    def die_at_one(image_id):
        if image_id == "0005.png" and os.getpid() != main:
            os.kill(os.getpid(), signal.SIGKILL)

    read_and(monkeypatch, die_at_one)
    options = ["dataset.max_bad_fraction=0.1", "training.mixup_alpha=0.2", "dataset.val_split=0"]
    train(tiny(*options, "dataset.num_workers=2"))
    assert [row["image_id"] for row in skipped(tmp_path / "run")] == ["0005.png"]
    assert "the process that reads it dies" in skipped(tmp_path / "run")[0]["problem"]
    assert "0005.png; it is left out" in capsys.readouterr().out
    monkeypatch.undo()

    def vanish(image_id):
        if image_id == "0005.png":
            raise FileNotFoundError(2, "No such file")

    # the same run without that image alone: no neighbour is missing
    read_and(monkeypatch, vanish)
    train(tiny(*options, f"output_dir={tmp_path / 'without'}"))
    assert_equal_weights(tmp_path / "without", tmp_path / "run")


@pytest.mark.slow
def test_a_worker_that_dies_once_changes_nothing(tiny, tmp_path, monkeypatch, capsys):
    options = ["training.mixup_alpha=0.2"]
    train(tiny(*options, f"output_dir={tmp_path / 'straight'}"))
    main, mark = os.getpid(), tmp_path / "died"

    def die_once(image_id):
        if image_id == "0005.png" and os.getpid() != main and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    read_and(monkeypatch, die_once)
    train(tiny(*options, "dataset.num_workers=2"))
    assert mark.exists()
    assert "it is read once more" in capsys.readouterr().out
    assert not (tmp_path / "run" / "skipped_images.csv").exists()
    assert_equal_weights(tmp_path / "straight", tmp_path / "run")


def test_an_image_that_vanishes_in_the_middle_is_left_out_and_listed(tiny, tmp_path, monkeypatch):
    write_pictures(tmp_path / "data", [12, 12])
    take_step, victim = training.trainer.take_step, tmp_path / "data" / "train" / "0007.png"

    def vanish(run, state, forward, batches):
        take_step(run, state, forward, batches)
        victim.unlink(missing_ok=True)

    monkeypatch.setattr(training.trainer, "take_step", vanish)
    train(tiny(f"dataset.root={tmp_path / 'data'}", "dataset.max_bad_fraction=0.1", "training.epochs=3"))
    rows = skipped(tmp_path / "run")
    assert [(row["image_id"], row["path"]) for row in rows] == [("0007.png", str(victim))]
    assert "No such file" in rows[0]["problem"]


def test_more_bad_images_than_allowed_end_the_run(tiny, tmp_path):
    write_pictures(tmp_path / "data", [12, 12])
    (tmp_path / "data" / "train" / "0003.png").write_bytes(b"not an image")
    with pytest.raises(
        RunError, match=r"1 of 24 images .* more than dataset\.max_bad_fraction=0\.01; .*skipped_images"
    ):
        train(tiny(f"dataset.root={tmp_path / 'data'}"))
    assert [row["image_id"] for row in skipped(tmp_path / "run")] == ["0003.png"]


@pytest.mark.slow
def test_a_loader_that_hangs_ends_by_its_timeout_and_the_run_resumes(tiny, tmp_path, monkeypatch):
    options = ["training.epochs=3"]
    train(tiny(*options, f"output_dir={tmp_path / 'straight'}"))
    take_step, slow = training.trainer.take_step, tmp_path / "slow"

    def hang_later(run, state, forward, batches):
        take_step(run, state, forward, batches)
        if state.step == 7:
            slow.touch()

    def hang(image_id):
        if slow.exists():
            time.sleep(30)

    monkeypatch.setattr(training.trainer, "take_step", hang_later)
    read_and(monkeypatch, hang)
    with pytest.raises(RunError, match=r"No batch came within 2 s \(dataset\.loader_timeout\)\. Its images: .*\.png"):
        train(tiny(*options, "dataset.num_workers=1", "dataset.loader_timeout=2"))
    kill_workers()
    monkeypatch.undo()
    train(tiny(*options, "training.resume=auto"))
    assert_equal_weights(tmp_path / "straight", tmp_path / "run")


def damage(path: Path, way: str) -> None:
    data = bytearray(path.read_bytes())
    if way == "truncated":
        data = data[: len(data) // 2]
    elif way == "zeros":
        data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    elif way == "one bit":
        data[len(data) // 2] ^= 1
    else:
        data = bytearray()
    path.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["truncated", "zeros", "one bit", "empty"])
def test_a_damaged_state_falls_back_to_the_one_before(tiny, tmp_path, capsys, way):
    train(tiny("training.epochs=3", f"output_dir={tmp_path / 'straight'}"))
    train(tiny("training.epochs=3"))
    damage(tmp_path / "run" / "checkpoints" / "last.pt", way)
    capsys.readouterr()
    train(tiny("training.epochs=3", "training.resume=auto"))
    said = capsys.readouterr().out
    assert "last.pt: damaged" in said
    assert "The state saved before it is taken instead." in said
    assert "resumed from" in said
    assert_equal_weights(tmp_path / "straight", tmp_path / "run")


def test_two_damaged_states_are_named(tiny, tmp_path):
    train(tiny())
    for name in ("last.pt", "previous.pt"):
        damage(tmp_path / "run" / "checkpoints" / name, "truncated")
    with pytest.raises(InputError, match=r"previous\.pt: damaged"):
        train(tiny("training.resume=auto"))


@pytest.mark.parametrize("script", ["evaluate.py", "inference.py", "check_competition.py", "prepare_submission.py"])
def test_a_damaged_best_model_is_named_wherever_it_is_read(checkpoint, pictures, tmp_path, script):
    broken = tmp_path / "best_model.pt"
    broken.write_bytes(checkpoint.read_bytes())
    damage(broken, "one bit")
    predictions = tmp_path / "predictions.csv"
    image_ids = sorted(path.name for path in (pictures / "train").iterdir())
    write_table(predictions, image_ids, [0] * len(image_ids))
    options = {
        "evaluate.py": [],
        "inference.py": ["--input", pictures / "train", "--output", tmp_path / "out.csv"],
        "check_competition.py": [],
        "prepare_submission.py": ["--predictions", predictions, "--input", pictures / "train"],
    }
    done = run_script(script, "--checkpoint", broken, *options[script])
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"{broken}: damaged" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def limit_files_to(megabytes: float):
    """Return a function that lets a process write no file beyond this size, as a quota would."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = int(megabytes * 1e6)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def tiny_training(pictures: Path, output: Path, *options: str) -> list[str]:
    chosen = [option for option in TINY if option.split("=")[0] not in {other.split("=")[0] for other in options}]
    return ["train.py", *chosen, f"dataset.root={pictures}", f"output_dir={output}", *options]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs the file size limits of POSIX")
def test_a_full_disk_keeps_the_older_state_and_says_how_much_is_needed(pictures, tmp_path):
    output = tmp_path / "run"
    assert run_script(*tiny_training(pictures, output)).returncode == 0
    last = output / "checkpoints" / "last.pt"
    before = last.read_bytes()
    words = tiny_training(pictures, output, "training.epochs=4", "training.resume=auto")
    full = run_words(command(*words), preexec_fn=limit_files_to(0.8 * len(before) / 1e6))
    assert full.returncode == 1, full.stdout + full.stderr
    assert f"{last}: could not be written (the disk is full or refuses to write)" in full.stderr
    assert "It needs about " in full.stderr
    assert "MB free" in full.stderr
    assert "Traceback" not in full.stderr
    assert last.read_bytes() == before
    assert load_training_state(last)["state"]["epoch"] == 2
    assert sorted(path.name for path in last.parent.iterdir()) == ["best_model.pt", "last.pt", "previous.pt"]


def test_two_runs_in_one_folder_are_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("training.run_folder.SECONDS_FOR_WORKERS_TO_END", 0.2)
    with RunFolder(tmp_path / "run").locked():
        refusals = []

        def second():
            try:
                train(tiny())
            except InputError as error:
                refusals.append(str(error))

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert refusals == [
        f"{tmp_path / 'run'}: another run writes into this folder. Wait for it, or give another output_dir."
    ]
    train(tiny())


@pytest.mark.slow
def test_the_lock_of_a_killed_run_is_free(pictures, tmp_path, tiny, monkeypatch):
    words = tiny_training(pictures, tmp_path / "run", *ENDLESS, "dataset.num_workers=1")
    process = subprocess.Popen(command(*words), cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, text=True)
    assert any("epoch   1/" in line for line in process.stdout)
    with monkeypatch.context() as patch:
        patch.setattr("training.run_folder.SECONDS_FOR_WORKERS_TO_END", 0.2)
        second = run_script(*words)
    assert second.returncode == 2
    assert "another run writes into this folder" in second.stderr
    process.kill()
    process.wait()
    train(tiny("training.epochs=3000", "training.resume=auto", "training.early_stopping.patience=1"))
