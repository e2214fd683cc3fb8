"""best_model.pt explains itself, and a stranger's file is read without running anything of it."""

import pickle
import zipfile

import pytest
import torch

from common.errors import InputError
from models.checkpoint import load_checkpoint
from training.train import train


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    from configs.compose import compose
    from tests.conftest import TINY

    root = tmp_path_factory.mktemp("trained")
    train(compose("config", [*TINY, f"dataset.root={pictures}", f"output_dir={root}"]))
    return root / "checkpoints" / "best_model.pt"


def changed(trained, path, **changes):
    payload = torch.load(trained, weights_only=True)
    payload.update(changes)
    torch.save({key: value for key, value in payload.items() if value is not ...}, path)
    return path


def test_the_model_is_rebuilt_from_the_file_alone(trained):
    checkpoint = load_checkpoint(trained)
    model = checkpoint.build_model()
    assert not model.training
    logits = model(torch.zeros(2, 3, checkpoint.input_size, checkpoint.input_size, dtype=torch.uint8))
    assert logits.shape == (2, 4)


def test_it_carries_what_explains_it(trained):
    checkpoint = load_checkpoint(trained)
    assert [(entry.category_id, entry.name) for entry in checkpoint.classes][:2] == [("100", "花 0"), ("101", "花 1")]
    assert checkpoint.config["training"]["epochs"] == 2
    assert list(checkpoint.config["augmentation"]["train"]) == ["RandomResizedCrop", "HorizontalFlip", "ColorJitter"]
    assert {"python", "torch", "timm", "albumentations", "numpy"} == checkpoint.versions.keys()
    calibration = {"val_calibration_error_before", "val_calibration_error"}
    assert set(checkpoint.metrics) == {"val_loss", "val_top1", "val_top5", "val_top1_corrected"} | calibration
    assert checkpoint.temperature != 1
    assert sum(checkpoint.class_counts) == len(checkpoint.split["train"])


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_pickle_is_not_run(tmp_path, capsys):
    torch.save({"format": "flower-kit-checkpoint", "config": Malicious()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Malicious()))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(InputError, match="it was not read"):
            load_checkpoint(tmp_path / name)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(trained, tmp_path, share):
    content = trained.read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"cut\.pt: damaged"):
        load_checkpoint(tmp_path / "cut.pt")


def test_other_files_are_named_for_what_they_are(trained, tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="not a flower-kit-checkpoint file"):
        load_checkpoint(tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"best_model\.pt is for use"):
        load_checkpoint(trained.parent / "last.pt")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(tmp_path / "zip.pt")
    with pytest.raises(InputError, match="written by another version"):
        load_checkpoint(changed(trained, tmp_path / "new.pt", format_version=99))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ...}, "'classes' is missing or not a list"),
        ({"input_size": "600"}, "'input_size' is missing or not a int"),
        ({"classes": [{"label": 0}]}, "class table has other columns"),
        ({"class_counts": [1, 2]}, "its image counts are not one per class"),
        ({"architecture_arguments": {"_target_": "os.system"}}, "its architecture has other arguments than ours"),
        ({"input_size": 10**6}, "its input sizes differ"),
        ({"fit": "squeeze"}, "its fit is none of ours"),
        ({"split": {"train": [1]}}, "its split is not lists of image ids"),
    ],
)
def test_a_missing_part_is_named(trained, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        load_checkpoint(changed(trained, tmp_path / "x.pt", **changes))


def test_an_older_file_shows_its_model_the_centre(trained, tmp_path):
    assert load_checkpoint(changed(trained, tmp_path / "older.pt", fit=...)).fit == "crop"


def test_an_architecture_is_a_name_of_timm_and_nothing_else(trained, tmp_path):
    for architecture in ("hf-hub:stranger/model", "local-dir:/tmp", "os.system"):
        checkpoint = load_checkpoint(changed(trained, tmp_path / "x.pt", architecture=architecture))
        with pytest.raises(InputError, match=r"timm .* has no such model"):
            checkpoint.build_model()


def test_weights_that_do_not_fit_are_refused(trained, tmp_path):
    checkpoint = load_checkpoint(changed(trained, tmp_path / "x.pt", state_dict={"mean": torch.zeros(3)}))
    with pytest.raises(InputError, match="do not fit its architecture test_efficientnet"):
        checkpoint.build_model()
