"""Full memory in each part of a step: nothing of what failed is alive at the next try, and the weights stay whole."""

import gc
import weakref

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

import training.adamw
import training.step
from common.errors import RunError
from tests.helpers import run_script
from training.adamw import GroupedAdamW
from training.resume import load_training_state
from training.run import set_up_run
from training.start import fresh_state
from training.train import train

pytestmark = pytest.mark.integration

# torch's and NVIDIA's libraries' words for it; made anew at each raise, because an error keeps what it has passed
ERRORS = {
    "torch": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    "cuBLAS": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cuDNN": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "cuDNN 9": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    "no engine": lambda: RuntimeError("GET was unable to find an engine to execute this computation"),
    "MPS": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"),
    "machine": lambda: MemoryError("Unable to allocate 3 GiB"),
}


class Kept:
    """A tensor that a forward pass keeps for the backward pass."""

    def __init__(self, tensor):
        # with its history it would keep itself alive
        self.tensor = tensor.detach()


@pytest.fixture
def graph(monkeypatch):
    """The tensors that are alive for a backward pass."""
    alive, forward = weakref.WeakSet(), training.step._forward

    def keep(tensor):
        kept = Kept(tensor)
        alive.add(kept)
        return kept

    def watched(model, images):
        with saved_tensors_hooks(keep, lambda kept: kept.tensor):
            return forward(model, images)

    monkeypatch.setattr(training.step, "_forward", watched)
    # cycles would wait for the garbage collector, which full memory does not call
    gc.disable()
    yield alive
    gc.enable()


@pytest.fixture
def at_release(monkeypatch, graph):
    """How many tensors of a graph were alive when memory was released; empty if it never was."""
    seen, release = [], training.step.release_device_memory

    def remember():
        seen.append(len(graph))
        release()

    monkeypatch.setattr(training.step, "release_device_memory", remember)
    return seen


def fails_once(function, error, at_call=0):
    """Return `function`, which raises an error at one call, counted from 0, after it did its work."""
    calls = []

    def failing(*arguments, **options):
        result = function(*arguments, **options)
        calls.append(None)
        if len(calls) == at_call + 1:
            raise error()
        return result

    return failing


def in_forward(monkeypatch, error):
    monkeypatch.setattr(training.step, "_forward", fails_once(training.step._forward, error))


def in_loss(monkeypatch, error):
    from models.losses import CrossEntropy

    monkeypatch.setattr(CrossEntropy, "forward", fails_once(CrossEntropy.forward, error))


def in_backward(monkeypatch, error, at_call=1):
    forward, calls = training.step._forward, []

    def fail(gradient):
        calls.append(None)
        if len(calls) == at_call:
            raise error()

    def hooked(model, images):
        logits = forward(model, images)
        logits.register_hook(fail)
        return logits

    monkeypatch.setattr(training.step, "_forward", hooked)


def in_second_backward(monkeypatch, error):
    # the gradients of the first micro-batch are there already
    in_backward(monkeypatch, error, at_call=2)


def in_mixing(monkeypatch, error):
    monkeypatch.setattr(training.step, "mix_batch", fails_once(training.step.mix_batch, error))


def in_transfer(monkeypatch, error):
    parts_of, move = training.step._parts_of, torch.Tensor.to

    def full(tensor, *arguments, **options):
        monkeypatch.setattr(torch.Tensor, "to", move)
        raise error()

    def parts(run, state, batch, number):
        if state.parts_per_micro_batch == 1:
            monkeypatch.setattr(torch.Tensor, "to", full)
        return parts_of(run, state, batch, number)

    monkeypatch.setattr(training.step, "_parts_of", parts)


PLACES = [in_forward, in_loss, in_backward, in_second_backward, in_mixing, in_transfer]


@pytest.mark.parametrize("start", ["random", "probe"])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_of_a_failed_pass_is_alive_at_the_next(tiny, tmp_path, monkeypatch, at_release, capsys, place, start):
    place(monkeypatch, ERRORS["torch"])
    options = ["training.mixup_alpha=0.4", "training.accumulation_steps=2", "training.epochs=1"]
    train(tiny(*options, f"training.head_init={start}"))
    assert at_release == [0]
    assert capsys.readouterr().out.count("out of memory with 8 images at once") == 1
    state = load_training_state(tmp_path / "run" / "checkpoints" / "last.pt")["state"]
    assert (state["splits"], state["step"], state["images"], state["skipped_steps"]) == (2, 3, 0, 0)


def test_nothing_of_a_failed_pass_is_alive_under_checkpointing(tiny, monkeypatch, at_release):
    in_backward(monkeypatch, ERRORS["torch"])
    train(tiny("model.architecture=test_vit", "model.grad_checkpointing=true", "training.epochs=1"))
    assert at_release == [0]


@pytest.mark.parametrize("name", list(ERRORS))
def test_every_name_of_full_memory_is_known(tiny, tmp_path, monkeypatch, name):
    in_forward(monkeypatch, ERRORS[name])
    train(tiny("training.epochs=1"))
    assert load_training_state(tmp_path / "run" / "checkpoints" / "last.pt")["state"]["splits"] == 2


def test_another_error_is_no_full_memory(tiny, monkeypatch):
    in_forward(monkeypatch, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(tiny())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_moments_are_there_before_a_step_takes_memory(tiny, monkeypatch, optimizer):
    run = set_up_run(tiny(f"training.optimizer={optimizer}"))
    state, _ = fresh_state(run)
    found = []

    def look(model, images):
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        found.append(all(state.optimizer.state.get(parameter) for parameter in trained))
        return model(images)

    state.model.backbone.conv_stem.requires_grad_(False)
    monkeypatch.setattr(training.step, "_forward", look)
    training.step.take_step(run, state, state.model, [next(iter(run.train_loader))])
    assert found == [True]
    assert state.model.backbone.conv_stem.weight not in state.optimizer.state


def full_for_moments(monkeypatch, failures):
    """Let memory be full at the fifth moment, this many times; the tries after it find room."""
    create, calls = training.adamw._zero_moments, []

    def limited(optimizer, parameter):
        calls.append(None)
        if len(calls) >= 5 and len(calls) < 5 + failures:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return create(optimizer, parameter)

    monkeypatch.setattr(training.adamw, "_zero_moments", limited)


def test_moments_that_fit_after_a_release_change_nothing(tiny, tmp_path, monkeypatch, at_release):
    train(tiny("training.epochs=1", f"output_dir={tmp_path / 'roomy'}"))
    full_for_moments(monkeypatch, 1)
    train(tiny("training.epochs=1"))
    assert at_release == [0]
    roomy, tight = (
        load_training_state(tmp_path / name / "checkpoints" / "last.pt")["state"] for name in ("roomy", "run")
    )
    assert [name for name, value in roomy["model"].items() if not torch.equal(value, tight["model"][name])] == []
    assert tight["splits"] == 1


def test_moments_that_never_fit_are_an_error_before_anything_changed(tiny, tmp_path, monkeypatch):
    full_for_moments(monkeypatch, 10)
    with pytest.raises(RunError, match=r"does not hold the weights with the state of training\.optimizer=adamw\. Give"):
        train(tiny())
    assert not (tmp_path / "run" / "checkpoints" / "last.pt").exists()


def test_a_step_that_may_be_half_done_ends_the_run(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(GroupedAdamW, "step", fails_once(GroupedAdamW.step, ERRORS["torch"], at_call=7))
    with pytest.raises(RunError, match=r"out of memory in the step of training\.optimizer=adamw, which may have upd"):
        train(tiny())
    # what is saved is the epoch before, whole
    assert load_training_state(tmp_path / "run" / "checkpoints" / "last.pt")["state"]["step"] == 5


@pytest.mark.parametrize("name", list(ERRORS))
def test_full_memory_elsewhere_is_a_sentence(monkeypatch, name):
    def full(arguments):
        raise ERRORS[name]()

    monkeypatch.setattr("train.main", full)
    done = run_script("train.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "error: the device is out of memory. Give a smaller dataset.batch_size, or end what else uses the device."
    ]


def test_another_error_keeps_its_traceback(monkeypatch):
    def broken(arguments):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("train.main", broken)
    assert "Traceback" in run_script("train.py").stderr
