"""Two processes under torchrun, with gloo on the CPU, against one: the same run, the same figures, the same files."""

# a None where a value should be fails the test like any other fault
# pyright: reportOptionalIterable=false, reportOptionalMemberAccess=false

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm
import torch

from models.checkpoint import load_checkpoint
from tests.conftest import TINY, write_pictures
from tests.helpers import REPOSITORY, environment, run_script, run_words
from training.resume import load_training_state

pytestmark = pytest.mark.integration

# without BatchNorm, drop path and mixup nothing depends on which images share a process
EXACT = (
    "model.architecture=test_vit",
    "model.drop_path_rate=0",
    "training.learning_rate=0.001",
    "dataset.batch_size=7",
)
ENDLESS = ("training.epochs=3000", "training.early_stopping.patience=3000")


def words(processes: int, script: str, *arguments: str | Path) -> list[str]:
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [sys.executable, *start, str(REPOSITORY / script), *map(str, arguments)]


def run(processes: int, script: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    return run_script(script, *arguments) if processes == 1 else run_words(words(processes, script, *arguments))


def training(pictures: Path, output: Path, *options: str) -> list[str]:
    chosen = [*EXACT, f"dataset.root={pictures}", f"output_dir={output}", *options]
    given = {option.split("=")[0] for option in chosen}
    return [*(option for option in TINY if option.split("=")[0] not in given), *_last_of_each(chosen)]


def _last_of_each(options: list[str]) -> list[str]:
    return list({option.split("=")[0]: option for option in options}.values())


def history(root: Path) -> list[dict[str, str]]:
    with (root / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def single(pictures, tmp_path_factory) -> Path:
    """A run of one process over two epochs."""
    root = tmp_path_factory.mktemp("single")
    done = run(1, "train.py", *training(pictures, root))
    assert done.returncode == 0, done.stderr
    return root


def assert_same_curve(first: Path, second: Path) -> None:
    rows, others = history(first), history(second)
    assert len(rows) == len(others)
    for row, other in zip(rows, others, strict=True):
        for column in ("train_loss", "val_loss", "val_top1", "val_top5", "learning_rate"):
            assert float(row[column]) == pytest.approx(float(other[column]), abs=2e-4), (row["epoch"], column)


@pytest.mark.slow
def test_two_processes_train_like_one(pictures, single, tmp_path):
    done = run(2, "train.py", *training(pictures, tmp_path, "training.accumulation_steps=1"))
    assert done.returncode == 0, done.stderr
    assert "2 processes share each batch" in done.stdout
    assert done.stdout.count("Best model:") == 1
    assert_same_curve(single, tmp_path)
    weights, others = (
        load_training_state(root / "checkpoints" / "last.pt")["state"]["model"] for root in (single, tmp_path)
    )
    assert all(torch.allclose(value, others[name], atol=1e-3) for name, value in weights.items())


@pytest.mark.slow
def test_two_processes_choose_rate_and_share_of_the_start_like_one(pictures, tmp_path):
    start = ["model.pretrained=true", f"model.weights={vit_weights(tmp_path)}", "training.head_init=probe"]
    own = ["training.learning_rate=auto", "training.start_mix=auto", "training.teacher=ema", "training.ema_decay=0.9"]
    found = {}
    for processes in (1, 2):
        root = tmp_path / str(processes)
        done = run(processes, "train.py", *training(pictures, root, *start, *own))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Weights of the best model: ") == 1
        assert done.stdout.count("a range test of 100 optimizer steps comes first") == 1
        found[processes] = load_checkpoint(root / "checkpoints" / "best_model.pt")
    one, two = found[1], found[2]
    # rates are 15 % apart
    rates = [checkpoint.config["training"]["learning_rate"] for checkpoint in (one, two)]
    assert rates[0] == pytest.approx(rates[1], rel=0.5)
    assert one.metrics.keys() == two.metrics.keys()
    assert len([name for name in two.metrics if name.startswith("val_top1_with_start_share_")]) == 6


def vit_weights(folder: Path) -> Path:
    torch.save(timm.create_model("test_vit").state_dict(), folder / "vit.pt")
    return folder / "vit.pt"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes in Linux's /proc")
def test_one_process_goes_on_with_what_two_began(pictures, tmp_path):
    process = subprocess.Popen(
        words(2, "train.py", *training(pictures, tmp_path, *ENDLESS)),
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert any("epoch   2/" in line for line in process.stdout)
    # the scheduler's signal reaches one process alone
    os.kill(ranks_of(process.pid)[-1], signal.SIGTERM)
    rest = process.stdout.read()
    process.wait(timeout=200)
    assert "Saved" in rest
    state = load_training_state(tmp_path / "checkpoints" / "last.pt")["state"]
    assert state["step"] >= 12
    resumed = run(
        1,
        "train.py",
        *training(pictures, tmp_path, *ENDLESS, "training.early_stopping.patience=1"),
        "training.resume=auto",
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"and {state['step']} steps are done" in resumed.stdout


def ranks_of(launcher: int) -> list[int]:
    """Return the process ids of the training processes that torchrun started."""
    for _ in range(50):
        children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text(encoding="ascii").split()
        if len(children) >= 2:
            return [int(child) for child in children]
        time.sleep(0.1)
    raise AssertionError("torchrun started no processes")


@pytest.mark.parametrize("script", ["evaluate.py", pytest.param("inference.py", marks=pytest.mark.slow)])
def test_answers_do_not_depend_on_the_number_of_processes(checkpoint, pictures, test_folder, tmp_path, script):
    outputs = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        options = {
            "evaluate.py": ["--output-dir", folder, "--split", "all"],
            "inference.py": ["--input", test_folder, "--output", folder / "predictions.csv", "--format", "official"],
        }[script]
        # 9 images in batches of 2 leave one process with less to do
        done = run(processes, script, "--checkpoint", checkpoint, *options, "dataset.batch_size=2", "device=cpu")
        assert done.returncode == 0, done.stderr
        outputs.append({path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".csv", ".json")})
    assert outputs[0] == outputs[1]
    assert "predictions.csv" in outputs[0]


@pytest.mark.slow
def test_an_unreadable_share_of_a_batch_does_not_hang(pictures, tmp_path):
    root = tmp_path / "data"
    (root / "train").mkdir(parents=True)
    for path in (pictures / "train").iterdir():
        (root / "train" / path.name).write_bytes(path.read_bytes() if int(path.stem) % 2 else b"not an image")
    for name in ("train.csv", "classes.csv"):
        (root / name).write_bytes((pictures / name).read_bytes())
    options = ["dataset.max_bad_fraction=1", "dataset.batch_size=2", f"dataset.root={root}", "training.epochs=1"]
    done = run(2, "train.py", *training(root, tmp_path / "run", *options))
    assert done.returncode == 0, done.stderr
    skipped = (tmp_path / "run" / "skipped_images.csv").read_text(encoding="utf-8").splitlines()
    assert len(skipped) == 1 + 24


@pytest.mark.slow
def test_synchronised_batchnorm_does_not_wait_for_a_rank_without_images(tmp_path):
    # the second batch of 10 images has two, for three processes
    write_pictures(tmp_path / "data", [5, 5])
    options = ["dataset.batch_size=8", "dataset.val_split=0", "training.epochs=2", "model.input_size=64"]
    options += ["model.architecture=test_efficientnet", "training.sync_batchnorm=true"]
    script = "tests/end_to_end/synchronised_training.py"
    done = run_words(words(3, script, *training(tmp_path / "data", tmp_path / "run", *options)), timeout=200)
    assert done.returncode == 0, done.stderr
    assert len(history(tmp_path / "run")) == 2
    # in the step before, all ranks have images
    assert all(f"exchanged on rank {rank}" in done.stderr for rank in range(3))


@pytest.mark.slow
def test_compiled_processes_train_like_eager_ones(tmp_path):
    # 10 images in batches of 4: two whole batches, and two images that are not compiled
    write_pictures(tmp_path / "data", [5, 5])
    options = ["dataset.batch_size=4", "dataset.val_split=0", "training.epochs=3", "training.freeze_epochs=1"]
    options += ["model.architecture=test_efficientnet", "model.input_size=64", "model.grad_checkpointing=true"]
    losses = []
    for compiled in ("false", "true"):
        root = tmp_path / compiled
        arguments = training(
            tmp_path / "data", root, *options, "training.optimizer=sgd", f"training.compile={compiled}"
        )
        done = run_words(words(2, "train.py", *arguments), timeout=900)
        assert done.returncode == 0, done.stderr
        losses.append([float(row["train_loss"]) for row in history(root)])
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


def test_batchnorm_over_processes_needs_cuda(tiny):
    from common.errors import InputError
    from training.train import train

    with pytest.raises(InputError, match=r"training\.sync_batchnorm=true: torch synchronises BatchNorm on CUDA only"):
        train(tiny("training.sync_batchnorm=true"))
