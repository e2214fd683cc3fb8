"""Files from a stranger: none executes code, leaves its folder, fills the disk or hangs; each is named in a line."""

import io
import os
import pickle
import struct
import time
import zipfile
import zlib
from pathlib import Path

import pytest
import torch

from common.errors import InputError
from data.prepare import Request, prepare_data
from data.table import read_table, write_table
from models.checkpoint import load_checkpoint
from models.classifier import build_classifier
from models.pretrained import load_pretrained
from tests.conftest import stripes, write_picture, write_pictures
from tests.helpers import run_script
from training.resume import load_training_state
from training.train import train

pytestmark = pytest.mark.integration


class Payload:
    """A pickle that creates a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


def plain_pickle(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps({"format": "flower-kit-checkpoint", "state_dict": Payload(mark)}))


def torch_archive(path: Path, mark: Path) -> None:
    torch.save({"format": "flower-kit-checkpoint", "state_dict": Payload(mark)}, path)


def torch_legacy(path: Path, mark: Path) -> None:
    torch.save({"state_dict": Payload(mark)}, path, _use_new_zipfile_serialization=False)


def read_weights(path: Path) -> None:
    load_pretrained(build_classifier("test_resnet", 2, 64), str(path), ["0", "1"])


@pytest.mark.parametrize("write", [plain_pickle, torch_archive, torch_legacy])
@pytest.mark.parametrize("read", [load_checkpoint, load_training_state, read_weights])
def test_a_pickle_is_never_run(tmp_path, write, read):
    mark, evil = tmp_path / "executed", tmp_path / "evil.pt"
    write(evil, mark)
    with pytest.raises(InputError, match=r"evil\.pt"):
        read(evil)
    assert not mark.exists()


@pytest.mark.parametrize("use", ["evaluate", "inference", "resume", "weights", "check"])
def test_no_script_runs_a_pickle(pictures, tmp_path, use):
    mark, evil = tmp_path / "executed", tmp_path / "evil.pt"
    plain_pickle(evil, mark)
    data = f"dataset.root={pictures}"
    arguments = {
        "evaluate": ["evaluate.py", "--checkpoint", evil],
        "inference": ["inference.py", "--checkpoint", evil, "--input", pictures / "train"],
        "resume": ["train.py", f"training.resume={evil}", "model.pretrained=false", data, f"output_dir={tmp_path}"],
        "weights": ["train.py", "model=efficientnet_lite0", f"model.weights={evil}", data, f"output_dir={tmp_path}"],
        "check": ["check_competition.py", "--checkpoint", evil],
    }[use]
    done = run_script(*arguments)
    assert not mark.exists()
    assert done.returncode == 2, done.stdout + done.stderr
    assert "evil.pt" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_target_", "os.system"),
        ("augmentation", {"name": "x", "train": {"Evil": {"_target_": "os.system", "command": "touch x"}}}),
        ("output_dir", "${oc.env:HOME}"),
        ("device", "${oc.create:1}"),
        ("hydra", {"run": {"dir": "/"}}),
    ],
)
def test_nothing_in_a_checkpoints_config_is_evaluated(checkpoint, test_folder, tmp_path, key, value):
    payload = torch.load(checkpoint, weights_only=True)
    payload["config"][key] = value
    torch.save(payload, tmp_path / "evil.pt")
    done = run_script("inference.py", "--checkpoint", tmp_path / "evil.pt", "--input", test_folder, cwd=tmp_path)
    # what the config does not know is refused; a transform of training is data that prediction does not read
    assert done.returncode == (0 if key == "augmentation" else 2), done.stderr
    assert not (tmp_path / "x").exists()
    assert "Traceback" not in done.stderr


def test_a_packed_checkpoint_is_refused_before_it_fills_the_memory(checkpoint, tmp_path):
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(checkpoint) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.namelist():
            target.writestr(member, source.read(member))
    with pytest.raises(InputError, match=r"bomb\.pt: damaged, or not a checkpoint"):
        load_checkpoint(bomb)


def test_a_zip_bomb_is_refused_before_it_fills_the_disk(tmp_path):
    with zipfile.ZipFile(tmp_path / "train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(6):
            archive.writestr(f"train/{number}.png", bytes(100_000_000))
    write_table(tmp_path / "labels.csv", [f"{number}.png" for number in range(6)], [0, 1, 0, 1, 0, 1])
    with pytest.raises(InputError, match=r"0\.6 MB would become 600 MB, .* a ZIP bomb\. Nothing was unpacked"):
        prepare_data(Request(tmp_path / "train.zip", tmp_path / "out", tmp_path / "labels.csv"))
    assert not (tmp_path / "out").exists()


def bomb_png(side: int) -> bytes:
    """Return a PNG of `side` x `side` black pixels, packed to a thousandth."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    rows = io.BytesIO()
    for _ in range(side // 100):
        rows.write(packer.compress(bytes((side // 8 + 1) * 100)))
    rows.write(packer.flush())
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows.getvalue()) + chunk(b"IEND", b"")


def test_a_picture_that_unpacks_to_gigabytes_is_an_unreadable_image(checkpoint, tiny, tmp_path, capsys):
    write_pictures(tmp_path / "data", [8, 8])
    (tmp_path / "data" / "train" / "0003.png").write_bytes(bomb_png(60_000))
    started = time.monotonic()
    train(tiny(f"dataset.root={tmp_path / 'data'}", "dataset.max_bad_fraction=0.1", "training.epochs=1"))
    assert "megapixels" in (tmp_path / "run" / "skipped_images.csv").read_text(encoding="utf-8")
    output = tmp_path / "predictions.csv"
    done = run_script(
        "inference.py", "--checkpoint", checkpoint, "--input", tmp_path / "data/train", "--output", output
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 16 images could not be read" in done.stdout
    assert time.monotonic() - started < 60


TABLE = "image_id,label\n0000.png,0\n0001.png,1\n"
BAD_TABLES = {
    "a cell of 10 MB": (TABLE + "x" * 10_000_000 + ",1\n").encode(),
    "an open quotation mark and 10 MB": (TABLE + '"' + "x" * 10_000_000).encode(),
    "NUL bytes": TABLE.replace("0001", "00\x0001").encode(),
    "GBK": TABLE.replace("0001", "玫瑰牡丹荷花").encode("gbk"),
    "UTF-16": TABLE.encode("utf-16"),
    "UTF-16 without BOM": TABLE.encode("utf-16-le"),
    "a header twice": TABLE.replace("image_id,label", "image_id,label,label").encode(),
    "no header": TABLE.partition("\n")[2].encode(),
    "a negative label": TABLE.replace(",1", ",-1").encode(),
    "a whole float": TABLE.replace(",1", ",1.0").encode(),
    "a float": TABLE.replace(",1", ",1.5").encode(),
    "no label": TABLE.replace(",1", ",").encode(),
    "text": TABLE.replace(",1", ",rose").encode(),
    "more than a float": TABLE.replace(",1", ",1e400").encode(),
    "a digit of another script": TABLE.replace(",1", ",１").encode(),
    "a huge label": TABLE.replace(",1", ",999999999").encode(),
    "an endless label": TABLE.replace(",1", "," + "9" * 5000).encode(),
    "a path upwards": TABLE.replace("0001", "../../0001").encode(),
    "an absolute path": TABLE.replace("0001.png", "/etc/passwd").encode(),
    "a path of Windows": TABLE.replace("0001.png", "C:\\Windows\\x.png").encode(),
    "a line feed in a name": TABLE.replace("0001.png", '"00\n01.png"').encode(),
}


@pytest.mark.parametrize("fault", BAD_TABLES)
def test_a_table_of_a_stranger_is_refused_in_one_line(tmp_path, fault):
    write_pictures(tmp_path / "data", [1, 1])
    (tmp_path / "data" / "classes.csv").unlink()
    table = tmp_path / "data" / "train.csv"
    table.write_bytes(BAD_TABLES[fault])
    with pytest.raises(InputError) as refusal:
        read_table(table, tmp_path / "data" / "train")
    assert str(table) in str(refusal.value)
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize("fault", ["a cell of 10 MB", "UTF-16", "a float", "a path upwards"])
def test_the_scripts_say_so_and_exit_with_2(tiny, tmp_path, fault):
    write_pictures(tmp_path / "data", [4, 4])
    (tmp_path / "data" / "train.csv").write_bytes(BAD_TABLES[fault])
    done = run_script("train.py", "model.pretrained=false", f"dataset.root={tmp_path / 'data'}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) <= 2


@pytest.mark.parametrize("stem", ["玫瑰 与 牡丹", "x" * 251, "花" * 83, "a'b;c$(touch evil)", "-rf", "[0-9]*"])
def test_unusual_names_are_read_trained_on_and_predicted(checkpoint, tiny, tmp_path, stem):
    write_pictures(tmp_path / "data", [8, 8])
    name = f"{stem}.png"
    assert len(name.encode()) <= 255
    write_picture(tmp_path / "data" / "train" / name, stripes(1, 99))
    with (tmp_path / "data" / "train.csv").open("a", encoding="utf-8", newline="") as file:
        file.write(f"{name},1\n")
    train(tiny(f"dataset.root={tmp_path / 'data'}", "training.epochs=1"))
    assert not (tmp_path / "run" / "skipped_images.csv").exists()
    from prediction.output_files import OutputFiles
    from prediction.pipeline import load_pipeline
    from prediction.predict import predict_to_files

    output = tmp_path / "predictions.csv"
    predict_to_files(load_pipeline([checkpoint]), [tmp_path / "data" / "train"], OutputFiles(output))
    assert any(line.startswith(f"{name},") for line in output.read_text(encoding="utf-8").splitlines())
    assert not (tmp_path / "evil").exists()
