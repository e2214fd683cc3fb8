"""The judges' copy on the card that it finds: dtype, full memory, values too large for 16 bits, and equal runs.

A CPU stands in for the card: its autocast knows the same dtypes.
"""

# a None where a value should be fails the test like any other fault
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false

import contextlib
import csv
import json
import weakref

import numpy as np
import pytest
import torch
from torch import nn

CPU = torch.device("cpu")
CLASSES = [{"label": label, "category_id": str(100 + label), "name": "x"} for label in range(3)]
ENTRY = {"input_size": 8, "crop_pct": 1.0, "fit": "crop", "weight": 1.0, "class_order": None}
CONFIG = {
    "classes": CLASSES,
    "fallback_label": 1,
    "views": ["identity"],
    "average": "probabilities",
    "cuda_dtype": "float16",
    "batch_size": 4,
    "csv_columns": ["filename", "category_id", "confidence"],
}


def squares(count, size=8):
    """Draw `count` images for one model; a test may put None in the place of one."""
    generator = np.random.default_rng(0)
    return [[generator.integers(0, 256, (size, size, 3), dtype=np.uint8)] for _ in range(count)]


class Recorder(nn.Module):
    """A linear model that remembers the batches that it was given."""

    def __init__(self, scale: float = 1e-3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(scale * torch.randn(3, 3, generator=generator))
        self.batches = []

    def forward(self, images):
        self.batches.append(images)
        return nn.functional.linear(images.float().mean(dim=(2, 3)), self.weight)


class Hungry(Recorder):
    """A model whose memory is full above `limit` images; it counts what is left of its failed passes."""

    def __init__(self, limit: int, error: Exception) -> None:
        super().__init__()
        self.limit, self.error = limit, error
        self.passes, self.left, self.sizes = [], [], []

    def forward(self, images):
        self.left.append(sum(reference() is not None for reference in self.passes))
        self.sizes.append(len(images))
        activations = images.float() + 1
        if len(images) > self.limit:
            self.passes += [weakref.ref(images), weakref.ref(activations)]
            # a new one: this one would be kept with all that it holds
            raise type(self.error)(*self.error.args)
        return super().forward(images)


@pytest.mark.parametrize("dtype", [None, "bfloat16", "float16"])
@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_views_are_made_in_full_precision(utils, dtype, average):
    squares = torch.randint(0, 256, (3, 2, 3, 301, 301), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made_of = {"pad": squares[1], "stretch": squares[2]}
    expected = torch.cat([view(made_of.get(name, squares[0])) for name, view in utils.VIEWS.items()])
    images = torch.cat(list(squares), dim=-2)
    model = Recorder()
    utils.average_views(model, images, list(utils.VIEWS), average, dtype)
    assert torch.equal(model.batches[0], expected)


def test_views_are_made_in_full_precision_where_torch_has_one_autocast(utils, monkeypatch):
    active, seen = [], {}

    @contextlib.contextmanager
    def autocast(enabled=True):
        active.append(enabled)
        yield
        active.pop()

    def view(images):
        seen["view"] = list(active)
        return images

    def model(images):
        seen["model"] = list(active)
        return torch.zeros(len(images), 3)

    monkeypatch.delattr(torch, "autocast")
    monkeypatch.setattr(torch.cuda.amp, "autocast", autocast)
    monkeypatch.setitem(utils.VIEWS, "identity", view)
    utils.average_views(model, torch.zeros(1, 3, 8, 8, dtype=torch.uint8), ["identity"], "logits", "float16")
    assert seen == {"view": [], "model": [True]}


@pytest.mark.parametrize(
    ("capability", "wanted", "expected"),
    [
        ((8, 0), "bfloat16", "bfloat16"),
        ((7, 5), "bfloat16", "float16"),
        ((6, 0), "bfloat16", "float16"),
        ((9, 0), "float16", "float16"),
        ((7, 5), None, None),
    ],
)
def test_the_card_decides_whether_bfloat16_is_used(utils, monkeypatch, capability, wanted, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert utils.choose_dtype(wanted, torch.device("cuda")) == expected
    assert utils.choose_dtype(wanted, CPU) is None


def test_a_torch_without_bfloat16_gets_float16(utils, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.delattr(torch, "autocast")
    assert utils.choose_dtype("bfloat16", torch.device("cuda")) == "float16"


FULL = [
    RuntimeError("CUDA out of memory. Tried to allocate 20 MiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("FIND was unable to find an engine to execute this computation after trying 3 plans."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."),
    MemoryError(),
]


def of_size(batch_size):
    return {**CONFIG, "batch_size": batch_size}


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:30])
def test_nothing_of_a_pass_that_did_not_fit_is_left_at_the_next_try(template_predict, error):
    images, config = squares(8), of_size(8)
    images[2] = None
    model, plain = Hungry(2, error), Recorder()
    found = template_predict.answer([(ENTRY, model)], images, config, CPU, None)
    assert model.sizes == [7, 3, 2, 1, 2, 2]
    assert model.left == [0] * len(model.sizes)
    whole = template_predict.answer([(ENTRY, plain)], images, of_size(8), CPU, None)
    assert [one and one[0] for one in found] == [one and one[0] for one in whole]
    # a processor may add up a batch of another size in another order
    both = [(one[1], other[1]) for one, other in zip(found, whole, strict=True) if one and other]
    np.testing.assert_allclose(*zip(*both, strict=True), rtol=1e-6)
    assert [number for number, one in enumerate(found) if one is None] == [2]
    # later batches do not fail again
    assert template_predict.answer([(ENTRY, model)], images, config, CPU, None) == found
    assert model.sizes[6:] == [2, 1, 2, 2]


def test_other_errors_and_a_single_image_that_does_not_fit_end_the_run(template_predict):
    with pytest.raises(RuntimeError, match="shapes"):
        template_predict.answer([(ENTRY, Hungry(2, RuntimeError("shapes differ")))], squares(4), of_size(4), CPU, None)
    with pytest.raises(RuntimeError, match="out of memory"):
        template_predict.answer([(ENTRY, Hungry(0, FULL[0]))], squares(4), of_size(4), CPU, None)


def test_batches_have_one_size_in_16_bits_whatever_can_be_read(template_predict):
    images = squares(5)
    images[1] = None
    model = Recorder()
    for dtype in ("float16", None):
        found = template_predict.answer([(ENTRY, model)], images, of_size(8), CPU, dtype)
        assert [one is None for one in found] == [False, True, False, False, False]
    assert [len(batch) for batch in model.batches] == [8, 4]
    assert template_predict.answer([(ENTRY, model)], [None] * 4, of_size(8), CPU, "float16") == [None] * 4
    hungry = Hungry(2, FULL[0])
    template_predict.answer([(ENTRY, hungry)], images, of_size(8), CPU, "float16")
    assert hungry.sizes == [8, 4, 2, 2, 2]


def test_the_last_linear_layer_computes_in_float32(template_model, utils):
    model = template_model.build_model({"architecture": "test_efficientnet", "arguments": {"num_classes": 4}}).eval()
    layer, features = model.backbone.get_classifier(), []
    layer.register_forward_hook(lambda module, inputs, output: features.append(inputs[0]))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    template_model.keep_classifier_exact(model)
    with torch.no_grad(), utils.mixed_precision("cpu", "bfloat16"):
        logits = model(images)
    assert features[0].dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    assert torch.equal(logits, features[0].float() @ layer.weight.t() + layer.bias)


def test_values_too_large_for_float16_are_computed_again(template_predict):
    """Features of 255 times weights of 1e5 are above float16's 65504."""
    images, large, small = [2 * image for image in squares(4)], Recorder(scale=1e5), Recorder()
    expected = template_predict.answer([(ENTRY, large), (ENTRY, small)], images, of_size(4), CPU, None)
    large.batches.clear()
    small.batches.clear()
    found = template_predict.answer([(ENTRY, large), (ENTRY, small)], images, of_size(4), CPU, "float16")
    assert [label for label, _ in found] == [label for label, _ in expected]
    assert [confidence for _, confidence in found] == pytest.approx([p for _, p in expected], abs=1e-3)
    # only the model that overflowed
    assert [len(large.batches), len(small.batches)] == [2, 1]


class Faulty(Recorder):
    """A model whose answer for a black image is no number, in any dtype."""

    def forward(self, images):
        black = images.float().amax(dim=(1, 2, 3)) == 0
        return super().forward(images).masked_fill(black[:, None], float("nan"))


@pytest.fixture
def algorithms_kept():
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    yield
    cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before


@pytest.fixture
def run(template_predict, tmp_path, monkeypatch, capsys, algorithms_kept):
    """Return a function that runs predict.py with a model, as on a card that computes in `dtype`."""

    def predict(model, images, dtype=None):
        folder = tmp_path / "images"
        folder.mkdir()
        for name, pixels in images.items():
            encoded = template_predict.read_image.__globals__["cv2"].imencode(".png", pixels)[1]
            (folder / name).write_bytes(encoded.tobytes())
        (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
        monkeypatch.setattr(template_predict, "load_models", lambda config, model_dir, device: [(ENTRY, model)])
        monkeypatch.setattr(template_predict, "choose_dtype", lambda wanted, device: dtype)
        words = [str(folder), str(tmp_path / "out.csv"), "--model-dir", str(tmp_path), "--device", "cpu"]
        code = template_predict.main(words)
        captured = capsys.readouterr()
        with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
            return code, list(csv.DictReader(file)), captured

    return predict


@pytest.mark.parametrize("dtype", [None, "float16"])
def test_an_answer_that_is_no_number_is_named_and_has_confidence_0(run, dtype):
    images = {f"{name}.png": np.full((8, 8, 3), 40 * name, np.uint8) for name in range(6)}
    model = Faulty()
    code, rows, captured = run(model, images, dtype)
    assert code == 0
    assert [row["filename"] for row in rows] == list(images)
    assert (rows[0]["category_id"], rows[0]["confidence"]) == ("101", "0.000000")
    assert all(float(row["confidence"]) > 0.3 for row in rows[1:])
    assert captured.err == "warning: 0.png: the answer is no number; confidence 0\n"
    assert f"device: cpu, {dtype or 'float32'}\n" in captured.out
    if dtype:
        # the last batch too, and the first in float32 once more
        assert [len(batch) for batch in model.batches] == [4, 4, 4]


def test_a_model_without_any_answer_is_no_success(run):
    code, rows, captured = run(Faulty(), {"a.png": np.zeros((8, 8, 3), np.uint8)})
    assert code == 1
    assert len(rows) == 1
    assert captured.err.splitlines()[-1] == "error: none of the images has an answer"


def test_kernels_are_not_chosen_by_the_clock_and_float32_is_float32(run):
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    run(Recorder(), {"a.png": np.ones((8, 8, 3), np.uint8)})
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
