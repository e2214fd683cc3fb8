"""torch.compile in training: once in a run, for whole batches, with plain names in files, a sentence where it fails."""

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from common.errors import InputError, RunError
from models.checkpoint import load_checkpoint
from tests.training.interrupted_runs import terminate_after
from training.forward import CompiledModel, check_compile
from training.resume import load_training_state
from training.run_folder import RunFolder
from training.train import train


def compile_by(monkeypatch, compiled) -> list[object]:
    """Replace the compiler; return the list of what it is asked to compile."""
    asked = []

    def fake(model, dynamic):
        assert dynamic is False
        asked.append(model)
        return compiled(model)

    monkeypatch.setattr(torch, "compile", fake)
    return asked


def test_only_whole_batches_are_compiled(monkeypatch):
    shapes = []

    def spy(model):
        def call(images):
            shapes.append(len(images))
            return model(images)

        return call

    compile_by(monkeypatch, spy)
    model, whole = nn.Linear(2, 3), [8]
    compiled = CompiledModel(model, lambda: whole[0])
    for images in (8, 5, 8, 1):
        assert torch.equal(compiled(torch.ones(images, 2)), model(torch.ones(images, 2)))
    # a batch that did not fit in memory is computed in two parts
    whole[0] = 4
    compiled(torch.ones(4, 2))
    compiled(torch.ones(8, 2))
    assert shapes == [8, 8, 4]


def test_a_model_that_torch_cannot_compile_is_named(monkeypatch):
    from torch._dynamo.exc import TorchDynamoException

    def refuse(images):
        raise TorchDynamoException("what it is\nadvice for developers")

    compile_by(monkeypatch, lambda model: refuse)
    with pytest.raises(RunError, match=r"torch cannot compile this model \(what it is\)\. Set it to false\."):
        CompiledModel(nn.Linear(2, 3), lambda: 8)(torch.ones(8, 2))


def test_full_memory_in_compiled_code_stays_full_memory(monkeypatch):
    def fill(images):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    compile_by(monkeypatch, lambda model: fill)
    with pytest.raises(torch.OutOfMemoryError):
        CompiledModel(nn.Linear(2, 3), lambda: 8)(torch.ones(8, 2))


@pytest.mark.parametrize(("device", "needed"), [("cpu", "C\\+\\+ compiler"), ("cuda", "triton-windows")])
def test_a_machine_that_cannot_compile_says_what_to_install(monkeypatch, device, needed):
    def refuse(values):
        raise RuntimeError("Cannot find a working compiler\nmore")

    compile_by(monkeypatch, lambda function: refuse)
    monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.zeros(2))
    message = rf"does not work on this {device} device \(Cannot find a working compiler\)\. It needs .*{needed}.*=false"
    with pytest.raises(InputError, match=message):
        check_compile(True, torch.device(device))
    check_compile(False, torch.device(device))


@pytest.mark.integration
def test_a_missing_compiler_is_said_before_the_run_begins(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (str(tmp_path / "no-such-compiler"),))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    torch._dynamo.reset()
    with pytest.raises(InputError, match=r"No working C\+\+ compiler found"):
        train(tiny("training.compile=true"))
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.integration
def test_the_model_is_compiled_once_in_a_run_and_names_stay_plain(tiny, tmp_path, monkeypatch):
    asked = compile_by(monkeypatch, lambda model: model)
    train(tiny("training.compile=true", "training.epochs=3", "training.freeze_epochs=1", "training.ema_decay=0.9"))
    assert sum(isinstance(model, nn.Module) for model in asked) == 1
    assert_plain_names(RunFolder(tmp_path / "run"))


def assert_plain_names(folder: RunFolder) -> None:
    state = load_training_state(folder.last)["state"]
    names = [*state["model"], *(state["ema"] or {}), *load_checkpoint(folder.best).state_dict]
    names += [name for group in state["optimizer"]["param_groups"] for name in group["names"]]
    assert not [name for name in names if name.startswith(("_orig_mod", "module", "model."))]
    load_checkpoint(folder.best).build_model()


def losses(root: Path) -> list[float]:
    with (root / "history.csv").open(encoding="utf-8", newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) for name in ("train_loss", "val_loss")]


@pytest.mark.slow
def test_a_compiled_run_is_the_eager_one(tiny, tmp_path, monkeypatch, initial_weights):
    """Frozen layers and epochs, averages, checkpointing, another size at the end, odd batches; stopped and resumed."""
    options = [
        "training.epochs=4",
        # AdamW would turn the last digits of a gradient near zero into whole steps
        "training.optimizer=sgd",
        "training.freeze_epochs=1",
        "training.freeze_layers=0.4",
        "model.pretrained=true",
        f"model.weights={initial_weights}",
        "training.ema_decay=0.9",
        "training.final_epochs=1",
        "training.final_input_size=48",
        "training.mixup_alpha=0.2",
    ]
    train(tiny(*options, f"output_dir={tmp_path / 'eager'}"))
    # eager checkpointing computes parts twice, and would update the statistics of BatchNorm twice
    compiled = tiny(*options, "training.compile=true", "training.resume=auto", "model.grad_checkpointing=true")
    terminate_after(monkeypatch, step=8)
    # else torch would go on slowly, without a word
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        with pytest.raises(KeyboardInterrupt):
            train(compiled)
        train(compiled)
    found, expected = losses(tmp_path / "run"), losses(tmp_path / "eager")
    assert found == pytest.approx(expected, rel=0.01)
    assert_plain_names(RunFolder(tmp_path / "run"))


@pytest.fixture
def initial_weights(tmp_path) -> Path:
    import timm

    torch.manual_seed(1)
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"
