"""Answers survive a full memory and an overflow of 16 bits; what cannot be answered is an error with names."""

# small modules stand for classifiers and readers
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalCall=false

import dataclasses
import types
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

import prediction.forward
from common.device import Precision
from common.errors import RunError
from data.dataloader import BatchReader
from data.dataset import Batch, ImageDataset
from data.inputs import find_inputs
from data.transforms import EvalTransform
from evaluation.evaluate import evaluate
from prediction.forward import ForwardPass
from prediction.latency import best_batch
from prediction.logits import compute_logits
from prediction.pipeline import load_pipeline, predict_batches, predict_file, predict_images
from prediction.views import ViewAverage
from tests.conftest import write_picture

CPU = torch.device("cpu")
OPEN_FILES = Path("/proc/self/fd")
WHOLE = Precision("cpu", None)
HALF = Precision("cpu", torch.bfloat16)
FULL = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    MemoryError(),
)


class Means(torch.nn.Module):
    """Logits that are the means of the channels; raises `error` for more than `largest` images."""

    def __init__(self, largest=1000, error=FULL[0]):
        super().__init__()
        self.largest, self.error = largest, error
        self.sizes: list[int] = []
        self.activations: list[weakref.ref] = []
        self.alive_at_start: list[int] = []

    def forward(self, images):
        self.alive_at_start.append(sum(activation() is not None for activation in self.activations))
        self.sizes.append(len(images))
        activation = images.float() + 1
        self.activations.append(weakref.ref(activation))
        if len(images) > self.largest:
            raise type(self.error)(*self.error.args)
        return activation.mean(dim=(2, 3))


class Overflowing(Means):
    """Logits of dark images are not finite under mixed precision, those of black ones never are."""

    def forward(self, images):
        logits = super().forward(images)
        dark = logits.amax(dim=1) < 20
        black = logits.amax(dim=1) <= 1
        faulty = dark if torch.is_autocast_enabled("cpu") else black
        return logits.masked_fill(faulty[:, None] & torch.tensor([True, False, False]), -torch.inf)


class Batches:
    """A reader of given images, in batches of 4, with batches of unreadable ones between them."""

    def __init__(self, images, gaps=True):
        self.images, self.gaps = images, gaps
        self.dataset = types.SimpleNamespace(image_ids=[f"{row}.jpg" for row in range(len(images))])

    def __iter__(self):
        for start in range(0, len(self.images), 4):
            rows = torch.arange(start, min(start + 4, len(self.images)))
            yield Batch(self.images[rows], rows * 0, rows, [], [])
            # a batch without a readable image
            if self.gaps:
                yield Batch(self.images[:0], rows[:0], rows[:0], [(99, "broken")], [])


@pytest.fixture
def images():
    return torch.randint(30, 256, (18, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("error", FULL, ids=["torch", "cublas", "cudnn", "python"])
def test_a_full_memory_is_answered_by_halves_that_stay(images, error, capsys):
    model = Means(largest=3, error=error)
    found = compute_logits(model, Batches(images), 3, CPU, WHOLE)
    expected = compute_logits(Means(), Batches(images), 3, CPU, WHOLE)
    assert np.array_equal(found.logits, expected.logits)
    # 4 images fail once; then each batch comes in twos
    assert model.sizes == [4, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    assert capsys.readouterr().err.count("warning: out of memory with 4 images at once; from here on at most 2") == 1


def test_nothing_of_a_failed_pass_is_alive_when_it_is_tried_again(images):
    model = Means(largest=2)
    ForwardPass(model, CPU, WHOLE).start(images[:8])
    assert model.sizes == [8, 4, 2, 2, 2, 2]
    assert set(model.alive_at_start) == {0}


def test_one_image_that_does_not_fit_is_a_sentence(images):
    with pytest.raises(RunError, match="does not hold the model and a single image"):
        compute_logits(Means(largest=0), Batches(images), 3, CPU, WHOLE)


def test_other_errors_are_not_taken_for_a_full_memory(images):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        ForwardPass(Means(1, RuntimeError("mat1 and mat2 shapes cannot be multiplied")), CPU, WHOLE).start(images)


def test_images_that_overflow_are_computed_in_float32_and_counted(images, capsys):
    images[[2, 9]] = 15
    found = compute_logits(Overflowing(), Batches(images), 3, CPU, HALF)
    expected = compute_logits(Means(), Batches(images), 3, CPU, WHOLE)
    assert np.array_equal(found.logits, expected.logits)
    assert "warning: 2 image(s) overflowed in mixed bfloat16 and were computed in float32" in capsys.readouterr().err


@pytest.mark.parametrize("precision", [WHOLE, HALF], ids=str)
@pytest.mark.parametrize("views", [None, ("identity", "hflip"), ("identity", "brightness+10")])
def test_answers_that_are_not_finite_in_float32_either_are_named(images, precision, views):
    images[[2, 7, 9, 12]] = 0
    model = Overflowing() if views is None else ViewAverage(Overflowing(), views, "probabilities")
    with pytest.raises(RunError, match=r"for 1 images are not finite numbers, in float32 too: 2.jpg. Its weights"):
        compute_logits(model, Batches(images), 3, CPU, precision)


def test_a_batch_is_waited_for_when_the_next_one_has_been_started(images, monkeypatch):
    events: list[str] = []
    started = iter(range(3))

    def copied(logits):
        number = next(started)
        events.append(f"start {number}")

        def wait():
            events.append(f"wait {number}")
            return logits.numpy()

        return wait

    monkeypatch.setattr(prediction.forward, "_copied_to_host", copied)
    reader = Batches(images[:12], gaps=False)
    found = compute_logits(Means(), reader, 3, CPU, WHOLE)
    assert events == ["start 0", "start 1", "wait 0", "start 2", "wait 1", "wait 2"]
    assert np.array_equal(found.indices, np.arange(12))
    assert np.array_equal(found.logits, Means()(images[:12]).numpy())


@pytest.mark.integration
@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="only Linux lists a process's open files there")
def test_no_file_of_a_worker_stays_open(tmp_path):
    opened = []
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    images = ImageDataset(tmp_path, ["a.png"] * 12, np.zeros(12, np.int64), EvalTransform(8, 1.0))
    reader = BatchReader(images, [[(0, row)] for row in range(12)], 1)
    compute_logits(Means(), reader, 3, CPU, WHOLE, lambda _: opened.append(len(list(OPEN_FILES.iterdir()))))
    # a few batches are on their way; labels and rows of each would be two files more
    assert opened[-1] <= opened[0] + 8


def test_answers_leave_the_pinned_memory_to_the_next_batch(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", lambda: types.SimpleNamespace(record=lambda: None, synchronize=int))
    pinned = torch.ones(2, 3)
    logits = types.SimpleNamespace(device=torch.device("cuda"), to=lambda device, non_blocking: pinned)
    answers = prediction.forward._copied_to_host(logits)()
    pinned.zero_()
    assert (answers == 1).all()


def with_model(pipeline, model):
    """Return the pipeline with `model`, of 4 classes, instead of its member's."""
    member = dataclasses.replace(pipeline.members[0], model=ViewAverage(Four(model), ("identity",), "probabilities"))
    return dataclasses.replace(pipeline, members=[member])


class Four(torch.nn.Module):
    """Logits of four classes from those of three."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        logits = self.model(images)
        return torch.cat([logits, logits[:, :1]], dim=1)


def test_a_folder_is_predicted_in_spite_of_a_full_memory(checkpoint, test_folder):
    pipeline, inputs = load_pipeline([checkpoint]), find_inputs([test_folder])
    expected = predict_images(with_model(pipeline, Means()), inputs)
    full = Means(largest=1)
    found = predict_images(with_model(pipeline, full), inputs)
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert max(full.sizes[-5:]) == 1


def test_the_best_batch_is_sought_among_those_that_fit(checkpoint, test_folder, monkeypatch):
    model = Means(largest=4, error=FULL[1])
    pipeline = with_model(load_pipeline([checkpoint]), model)
    released = []
    monkeypatch.setattr("prediction.latency.release_device_memory", lambda: released.append(True))
    # a pass takes no time, so that larger batches are always faster
    monkeypatch.setattr("prediction.latency._seconds", lambda function: function() is None or 1.0)
    size, milliseconds = best_batch(pipeline, find_inputs([test_folder]).paths)
    assert (size, milliseconds) == (4, 250)
    assert model.sizes[-1] == 8
    assert released == [True]
    with pytest.raises(RuntimeError, match="CUBLAS_STATUS_ALLOC_FAILED"):
        predict_batches(pipeline, [torch.zeros(5, 3, 4, 4, dtype=torch.uint8)], may_split=False)
    assert predict_batches(pipeline, [torch.ones(5, 3, 4, 4, dtype=torch.uint8)]).shape == (5, 4)


def test_a_single_file_without_finite_answers_is_named(checkpoint, tmp_path):
    write_picture(tmp_path / "black.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(RunError, match=r"not finite numbers, in float32 too: black\.png"):
        predict_file(with_model(load_pipeline([checkpoint]), Overflowing()), tmp_path / "black.png")


def test_validation_does_not_hide_a_model_that_diverged(checkpoint, tmp_path):
    payload = torch.load(checkpoint, weights_only=True)
    payload["state_dict"]["backbone.classifier.bias"][1] = torch.nan
    torch.save(payload, tmp_path / "nan.pt")
    with pytest.raises(RunError, match="answers for 8 images are not finite"):
        evaluate(load_pipeline([tmp_path / "nan.pt"]), "val")
