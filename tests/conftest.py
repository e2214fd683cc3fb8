"""Pictures and configs small enough that a whole training run takes seconds."""

import gc
import os
from pathlib import Path

# both are read when libraries are imported, and what a test starts inherits them: no test may reach a model hub, and
# the models are so small that a second thread would only wait for the first
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import matplotlib
import numpy as np
import pytest
import torch

from common.classes import ImageClass
from configs.compose import compose
from data.table import write_classes, write_table

# drawing TensorBoard's pictures takes more time than the training of a tiny model: few pixels, and titles at a fixed
# height, for which matplotlib need not lay out every axis
matplotlib.rcParams.update({"figure.dpi": 20, "axes.titley": 1.0})

TINY = (
    "model.architecture=test_efficientnet",
    "model.pretrained=false",
    "model.input_size=32",
    "model.drop_path_rate=0",
    "augmentation=light",
    "dataset.batch_size=8",
    "dataset.num_workers=0",
    "training.epochs=2",
    "training.warmup_epochs=1",
    "training.learning_rate=0.01",
    "device=cpu",
)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the million objects of the libraries, which stay until the end anyway."""
    gc.collect()
    gc.freeze()


def stripes(label: int, index: int) -> np.ndarray:
    """Draw a picture, uint8 RGB (40, 48, 3), whose stripes tell its class."""
    generator = np.random.default_rng([label, index])
    columns = np.arange(48) + generator.integers(0, 48)
    wave = 127 + 100 * np.sin(columns * (label + 1) / 4)
    picture = np.repeat(wave[None, :, None], 40, axis=0).repeat(3, axis=2)
    return (picture + generator.normal(0, 12, picture.shape)).clip(0, 255).astype(np.uint8)


def write_pictures(root: Path, images_per_class: list[int]) -> None:
    """Write a prepared data set: train.csv, classes.csv with category ids 100, 101, ... and train/."""
    (root / "train").mkdir(parents=True)
    ids, labels = [], []
    for label, count in enumerate(images_per_class):
        for index in range(count):
            ids.append(f"{index * len(images_per_class) + label:04d}.png")
            labels.append(label)
            write_picture(root / "train" / ids[-1], stripes(label, index))
    write_table(root / "train.csv", ids, labels)
    write_classes(root / "classes.csv", [ImageClass(k, str(100 + k), f"花 {k}") for k in range(len(images_per_class))])


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 RGB pixels in the format of the path's suffix."""
    path.write_bytes(cv2.imencode(path.suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes())


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A prepared data set of 4 classes with 12 pictures each; read only."""
    root = tmp_path_factory.mktemp("pictures") / "图片 (1)"
    write_pictures(root, [12, 12, 12, 12])
    return root


@pytest.fixture(scope="session")
def checkpoint(pictures, tmp_path_factory) -> Path:
    """A tiny model trained on `pictures`; read only."""
    from training.train import train

    root = tmp_path_factory.mktemp("trained")
    train(compose("config", [*TINY, "training.epochs=4", f"dataset.root={pictures}", f"output_dir={root}"]))
    return root / "checkpoints" / "best_model.pt"


@pytest.fixture(scope="session")
def turned(checkpoint, tmp_path_factory):
    """The same model with its classes, and the rows of its classifier, in reverse order."""
    payload = torch.load(checkpoint, weights_only=True)
    payload["classes"] = [{**entry, "label": label} for label, entry in enumerate(reversed(payload["classes"]))]
    payload["state_dict"] = {
        name: tensor.flip(0) if name.startswith("backbone.classifier") else tensor
        for name, tensor in payload["state_dict"].items()
    }
    path = tmp_path_factory.mktemp("turned") / "best_model.pt"
    torch.save(payload, path)
    return path


@pytest.fixture(scope="session")
def other(checkpoint, tmp_path_factory):
    """Another model of the same classes."""
    payload = torch.load(checkpoint, weights_only=True)
    payload["state_dict"]["backbone.classifier.bias"] += torch.tensor([2.0, 0.0, -1.0, 0.0])
    path = tmp_path_factory.mktemp("other") / "best_model.pt"
    torch.save(payload, path)
    return path


@pytest.fixture(scope="session")
def test_folder(tmp_path_factory) -> Path:
    """A flat folder of 9 images as judges have them: suffixes in any case, a damaged file, one that is no image."""
    folder = tmp_path_factory.mktemp("judges") / "测试 (1)"
    folder.mkdir()
    for index, suffix in enumerate((".png", ".JPG", ".jpeg", ".bmp", ".webp", ".PNG", ".jpg")):
        data = cv2.imencode(suffix.lower(), stripes(index % 4, 50 + index))[1].tobytes()
        (folder / f"img_{index}{suffix}").write_bytes(data if index != 6 else data[: len(data) * 2 // 3])
    (folder / "broken.jpg").write_bytes(b"not an image")
    (folder / "花.png").write_bytes((folder / "img_0.png").read_bytes())
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    return folder


@pytest.fixture
def no_pictures(monkeypatch) -> None:
    """Draw none of TensorBoard's pictures, which take longer than the epochs of a tiny model; a module may draw them.

    What fails while they are drawn ends no run, so no other test could see it.
    """
    from training.tensorboard import EventLog

    monkeypatch.setattr(EventLog, "pictures", lambda *arguments: None)


@pytest.fixture
def tiny(pictures, tmp_path, no_pictures):
    """Return a function that composes a tiny run on `pictures` into tmp_path/run; overrides come last."""

    def compose_tiny(*overrides: str):
        chosen = [override for override in TINY if not _is_set(override, overrides)]
        paths = [f"dataset.root={pictures}", f"output_dir={tmp_path / 'run'}"]
        return compose("config", [*chosen, *[path for path in paths if not _is_set(path, overrides)], *overrides])

    return compose_tiny


def _is_set(override: str, overrides: tuple[str, ...]) -> bool:
    return any(other.split("=")[0] == override.split("=")[0] for other in overrides)
