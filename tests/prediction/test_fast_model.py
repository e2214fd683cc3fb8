"""The copy of a model that CUDA computes answers as the model does. A CPU computes it here; its graphs are imitated."""

# small modules stand for classifiers and readers
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalCall=false

import contextlib
import copy
import threading
from unittest import mock

import pytest
import torch
from torch import nn

import prediction.pipeline
from common.device import Precision
from common.errors import RunError
from configs.options import HEADS
from data.inputs import find_inputs
from models.classifier import HeadLinear, build_classifier, on_device
from prediction.cuda_graph import LARGEST_BATCH, SHAPES, GraphedModel
from prediction.fast_model import FastClassifier, fast_copy, fold_batchnorm, halve_weights, prepared
from prediction.forward import ForwardPass
from prediction.pipeline import in_float32, load_pipeline, predict_images, with_weights

CPU = torch.device("cpu")
# architecture: its input size, its BatchNorms, and how many of them follow a convolution directly
MODELS = {
    "test_efficientnet": (32, 13, 13),
    "mobilenetv3_small_050": (32, 34, 34),
    "test_resnet": (32, 15, 15),
    "test_byobnet": (32, 14, 14),
    "resnetv2_50": (32, 49, 32),
    "levit_128": (224, 4, 4),
    "test_convnext": (32, 0, 0),
    "test_vit": (160, 0, 0),
    "swinv2_cr_tiny_ns_224": (224, 0, 0),
}
DTYPES = (torch.bfloat16, torch.float16)


def trained(architecture, size):
    """Return a model whose BatchNorms have statistics and weights as after training, in evaluation mode."""
    torch.manual_seed(0)
    model = build_classifier(architecture, 5, size).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return model


def pictures_of(size, count=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.integration
@pytest.mark.parametrize("architecture", MODELS)
def test_folded_norms_change_no_answer(architecture):
    size, norms, expected = MODELS[architecture]
    model, images = trained(architecture, size), pictures_of(size, 2, seed=1)
    folded = copy.deepcopy(model)
    with torch.no_grad():
        assert fold_batchnorm(folded, pictures_of(size)) == expected
        left = sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
        assert left == norms - expected
        logits = model(images)
        assert (folded(images) - logits).abs().max() <= 1e-5 * logits.abs().max()


class Shortcut(nn.Module):
    """A convolution whose output goes into a BatchNorm, and past it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        nn.init.constant_(self.norm.weight, 2)

    def forward(self, images):
        output = self.conv(images.float() / 255)
        return (output + self.norm(output)).mean(dim=(2, 3))


class Reused(Shortcut):
    """One BatchNorm after two convolutions, and an output that is changed before its norm."""

    def __init__(self):
        super().__init__()
        self.other, self.last, self.other_norm = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, images):
        pixels = images.float() / 255
        changed = self.last(self.norm(self.conv(pixels)) + self.norm(self.other(pixels)))
        return self.other_norm(changed.add_(1)).mean(dim=(2, 3))


@pytest.mark.parametrize("model", [Shortcut(), Reused()], ids=["shortcut", "reused"])
def test_what_cannot_be_folded_exactly_stays_as_it_is(model):
    images = pictures_of(16, 2)
    fast = fast_copy(model.eval(), Precision("cpu", None), images[:1])
    assert torch.equal(fast(images), model(images))


@pytest.mark.integration
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("architecture", MODELS)
def test_16_bit_weights_answer_exactly_as_autocast_does(architecture, dtype):
    size = MODELS[architecture][0]
    model, images = trained(architecture, size), pictures_of(size, 2)
    halved = copy.deepcopy(model)
    halve_weights(halved, dtype)
    kinds = {type(module): module.weight.dtype for module in halved.modules() if hasattr(module, "weight")}
    # the last layer of resnetv2 is a convolution
    assert kinds.get(HeadLinear) == (None if architecture == "resnetv2_50" else torch.float32)
    assert kinds.get(nn.BatchNorm2d) in (torch.float32, None)
    assert kinds.get(nn.Conv2d, dtype) == kinds.get(nn.Linear, dtype) == dtype
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        assert torch.equal(halved(images), model(images))


def test_without_autocast_the_fast_model_is_the_plain_one():
    model, images = on_device(trained("test_efficientnet", 32), CPU), pictures_of(32, 2)
    precision = Precision("cpu", torch.float16)
    fast = FastClassifier(copy.deepcopy(model), precision, images[:1])
    with torch.inference_mode():
        assert torch.equal(fast(images), model(images))
        with precision.context():
            found = fast(images)
        assert found.dtype == torch.float32
        assert not torch.equal(found, model(images))
        assert (found.softmax(dim=1) - model(images).softmax(dim=1)).abs().max() < 3e-3


def test_the_fast_model_has_the_plain_weights_and_takes_new_ones():
    model, images = on_device(trained("test_efficientnet", 32), CPU), pictures_of(32, 2)
    fast = FastClassifier(copy.deepcopy(model), Precision("cpu", None), images[:1])
    assert list(fast.state_dict()) == list(model.state_dict())
    assert all(torch.equal(fast.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    other = {name: tensor * 1.1 if name.endswith("weight") else tensor for name, tensor in model.state_dict().items()}
    before = fast(images)
    for classifier in (fast, model):
        classifier.load_state_dict(other)
    torch.testing.assert_close(fast(images), model(images), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(fast(images), before, atol=1e-3)


def test_weights_can_be_loaded_after_an_overflow_has_moved_the_model(monkeypatch):
    model, images = trained("test_efficientnet", 32), pictures_of(32)
    fast = FastClassifier(copy.deepcopy(model), Precision("cpu", torch.float16), images)
    # as a move to another device does
    monkeypatch.setattr("prediction.fast_model.on_device", lambda module, _device: module._apply(torch.clone))
    with torch.inference_mode():
        fast(images)
    fast.load_state_dict(model.state_dict())


def test_weights_in_16_bits_that_do_not_run_stay_in_float32(capsys):
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 4)

        def forward(self, images):
            if self.layer.weight.dtype != torch.float32:
                raise RuntimeError("expected scalar type Float but found Half")
            return self.layer(images.float().mean(dim=(2, 3)))

    fast = fast_copy(Picky().eval(), Precision("cpu", torch.float16), pictures_of(8))
    assert fast.layer.weight.dtype == torch.float32
    assert "the weights stay in float32" in capsys.readouterr().err


def test_a_model_that_the_device_does_not_hold_is_a_sentence(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("prediction.fast_model.FastClassifier", full)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, _device: tensor)
    with pytest.raises(RunError, match="does not hold the model and a single image"):
        prepared(nn.Identity(), torch.device("cuda"), Precision("cuda", torch.float16), 8)


class FakeGraph:
    """Replays by computing anew, as CUDA's graphs do with the memory that they recorded."""

    recorded = 0
    fails = False

    def __init__(self):
        self.replays = 0
        self.body = None

    def replay(self):
        self.replays += 1
        self.body()


@pytest.fixture
def graphs(monkeypatch):
    """Imitate what CUDA gives to record graphs; returns those that were recorded."""
    made = []

    @contextlib.contextmanager
    def record(graph, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        if FakeGraph.fails:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        made.append(graph)
        yield

    class Stream:
        def wait_stream(self, other):
            pass

    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: Stream())
    monkeypatch.setattr(torch.cuda, "stream", lambda _stream: contextlib.nullcontext())
    monkeypatch.setattr(FakeGraph, "fails", False)
    return made


class Doubled(nn.Module):
    """Doubles images, into the same memory for those that are recorded."""

    def __init__(self, made):
        super().__init__()
        self.made, self.calls = made, 0

    def forward(self, images):
        self.calls += 1
        output = images * 2
        if self.made and self.made[-1].body is None:
            self.made[-1].body = lambda: torch.mul(images, 2, out=output)
        return output


def test_a_shape_is_recorded_when_it_comes_again_and_replayed_from_then_on(graphs):
    model = Doubled(graphs)
    graphed = GraphedModel(model)
    inputs = [torch.full((2, 3), float(number)) for number in range(5)]
    answers = [graphed(images) for images in inputs]
    # computed, warmed up, recorded
    assert model.calls == 3
    assert [graph.replays for graph in graphs] == [4]
    # no answer shares the memory that the next one overwrites
    assert all(torch.equal(answer, images * 2) for answer, images in zip(answers, inputs, strict=True))


def test_few_shapes_are_kept_and_large_batches_are_not_recorded(graphs):
    graphed = GraphedModel(Doubled(graphs))
    for _ in range(3):
        graphed(torch.zeros(LARGEST_BATCH + 1, 3))
    assert graphs == []
    for count in range(1, SHAPES + 3):
        for _ in range(2):
            graphed(torch.zeros(count, 3))
    assert len(graphs) == SHAPES + 2
    assert len(graphed._graphs) == SHAPES
    replays = graphs[-1].replays
    graphed(torch.zeros(SHAPES + 2, 3))
    assert graphs[-1].replays == replays + 1


def test_where_recording_fails_kernels_start_one_by_one(graphs, monkeypatch, capsys):
    monkeypatch.setattr(FakeGraph, "fails", True)
    graphed = GraphedModel(Doubled(graphs))
    for number in range(4):
        images = torch.full((1, 3), float(number))
        assert torch.equal(graphed(images), images * 2)
    assert capsys.readouterr().err.count("warning: the model runs without a CUDA graph") == 1


def test_a_recording_that_cannot_be_ended_leaves_the_stream_of_before(graphs, monkeypatch):
    streams = ["of before"]

    @contextlib.contextmanager
    def switch(stream):
        depth = len(streams)
        streams.append(stream)
        try:
            yield
        finally:
            del streams[depth:]

    @contextlib.contextmanager
    def record(graph, stream, capture_error_mode):
        # as torch does it: its end of the recording raises before it puts the stream back
        streams.append(stream)
        yield
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda, "stream", switch)
    monkeypatch.setattr(torch.cuda, "graph", record)
    graphed = GraphedModel(Doubled(graphs))
    for _ in range(3):
        assert torch.equal(graphed(torch.ones(1, 3)), torch.full((1, 3), 2.0))
    assert streams == ["of before"]


def test_graphs_are_given_back_when_memory_is_short(graphs, monkeypatch):
    graphed = GraphedModel(Doubled(graphs))
    for _ in range(2):
        graphed(torch.zeros(1, 3))
    full = torch.OutOfMemoryError("CUDA out of memory")
    monkeypatch.setattr(graphed.model, "forward", mock.Mock(side_effect=[full, torch.zeros(1, 3), torch.zeros(1, 3)]))
    ForwardPass(nn.Sequential(graphed), CPU, Precision("cpu", None)).start(torch.zeros(2, 3))
    assert len(graphs) == 1
    assert graphed._graphs == {}


def test_threads_do_not_mix_their_images(graphs):
    graphed = GraphedModel(Doubled(graphs))
    wrong = []

    def ask(number):
        images = torch.full((1, 3), float(number))
        wrong.extend(number for _ in range(200) if not torch.equal(graphed(images), images * 2))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_pipeline_predicts_with_the_fast_model(checkpoint, test_folder, monkeypatch):
    inputs = find_inputs([test_folder])
    expected = predict_images(load_pipeline([checkpoint]), inputs)
    half = Precision("cpu", torch.float16)

    def fast(plain, device, precision, size):
        return FastClassifier(plain, precision, pictures_of(size))

    monkeypatch.setattr(prediction.pipeline, "prepared", fast)
    monkeypatch.setattr(prediction.pipeline, "choose_inference_precision", lambda *_: half)
    pipeline = load_pipeline([checkpoint])
    found = predict_images(pipeline, inputs)
    assert abs(found.probabilities - expected.probabilities).max() < 3e-3
    assert pipeline.computed_in == "mixed float16"
    exact = in_float32(pipeline)
    assert exact.computed_in == "float32"
    assert abs(predict_images(exact, inputs).probabilities - expected.probabilities).max() < 1e-5
    again = with_weights(pipeline, [member.checkpoint for member in pipeline.members])
    assert (predict_images(again, inputs).probabilities == found.probabilities).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("head", HEADS)
def test_every_head_gets_16_bit_weights(head, dtype, capsys):
    torch.manual_seed(0)
    model, images = build_classifier("test_efficientnet", 5, 32, head=head).eval(), pictures_of(32)
    fast = fast_copy(model, Precision("cpu", dtype), images)
    assert "stay in float32" not in capsys.readouterr().err
    assert any(module.weight.dtype == dtype for module in fast.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        assert torch.equal(fast(images), halved_backbone(model, dtype, images))


def halved_backbone(model, dtype, images):
    """Return the answers of a copy whose backbone alone has folded norms and 16-bit weights."""
    copied = copy.deepcopy(model)
    with torch.autocast("cpu", enabled=False):
        fold_batchnorm(copied, images)
    halve_weights(copied.backbone, dtype)
    return copied(images)
