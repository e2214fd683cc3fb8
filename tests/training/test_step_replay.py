"""A step replayed on fake tensors allocates what a real step does, and casts as autocast does on CUDA."""

import contextlib
import re

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from models.classifier import build_classifier, on_device
from training.step_replay import FLOAT32_ON_CUDA, AllocatedBytes, fake_step, materialise

pytestmark = pytest.mark.integration


def counts_of_a_step(model, size, dtype, allocated):
    """Return the bytes after the forward pass, the peak of both passes, and what the hooks of autograd see kept."""
    kept = {}

    def remember(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    images = torch.zeros((3, 3, size, size), dtype=torch.uint8)
    with (
        torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor),
        torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None),
    ):
        loss = model(images).float().logsumexp(1).sum()
    forward = allocated.now
    loss.backward()
    return forward, allocated.peak, sum(kept.values())


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize(
    ("architecture", "size", "checkpointing"),
    [
        ("test_convnext", 64, False),
        ("test_convnext", 64, True),
        ("test_efficientnet", 64, False),
        pytest.param("test_vit", 160, False, marks=pytest.mark.integration),
        pytest.param("convnext_atto", 96, False, marks=pytest.mark.integration),
        pytest.param("tf_efficientnet_lite0", 96, False, marks=pytest.mark.integration),
        pytest.param("swinv2_cr_tiny_ns_224", 224, False, marks=pytest.mark.slow),
    ],
)
def test_it_allocates_what_a_real_step_does(architecture, size, checkpointing, dtype):
    options = {"drop_path_rate": 0.2 if architecture == "convnext_atto" else 0.0, "grad_checkpointing": checkpointing}
    with AllocatedBytes() as allocated:
        model = on_device(build_classifier(architecture, 7, size, **options).train(), torch.device("cpu"))
        real = counts_of_a_step(model, size, dtype, allocated)
    with torch.device("meta"):
        model = build_classifier(architecture, 7, size, **options).train()
    with fake_step(dtype, as_cuda=False) as allocated:
        materialise(model)
        replayed = counts_of_a_step(model, size, dtype, allocated)
    # under autocast a CPU keeps the statistics of a layer norm in float32, fake tensors have them in bfloat16
    assert replayed == (real if dtype is None else pytest.approx(real, rel=0.01))


def on_cuda(architecture, size):
    """Return the bytes after a forward pass under torch's own autocast of CUDA, which fake tensors of it pass through.

    Without a GPU only torch's internal functions turn it on, and nothing can run backward.
    """
    with torch.device("meta"):
        model = build_classifier(architecture, 7, size).train()
    with FakeTensorMode(allow_non_fake_inputs=True), AllocatedBytes() as allocated, contextlib.ExitStack() as stack:
        materialise(model, "cuda")
        torch.set_autocast_enabled("cuda", True)
        stack.callback(torch.set_autocast_enabled, "cuda", False)
        torch.set_autocast_dtype("cuda", torch.bfloat16)
        torch.autocast_increment_nesting()
        stack.callback(torch.clear_autocast_cache)
        stack.callback(torch.autocast_decrement_nesting)
        loss = model(torch.empty((3, 3, size, size), dtype=torch.uint8, device="cuda")).float().logsumexp(1).sum()
        return allocated.now, loss.dtype


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        ("test_convnext", 64),
        ("test_efficientnet", 64),
        pytest.param("swinv2_tiny_window8_256", 256, marks=pytest.mark.integration),
    ],
)
def test_it_casts_as_autocast_on_cuda(architecture, size):
    with torch.device("meta"):
        model = build_classifier(architecture, 7, size).train()
    with fake_step(torch.bfloat16) as allocated:
        materialise(model)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(torch.empty((3, 3, size, size), dtype=torch.uint8)).float().logsumexp(1).sum()
            cast = allocated.now
    # cuDNN's batch normalisation keeps a little more
    assert (cast, loss.dtype) == (pytest.approx(on_cuda(architecture, size)[0], rel=0.005), torch.float32)


def test_the_list_of_float32_operations_is_torchs_own():
    registered = torch._C._dispatch_get_registrations_for_dispatch_key
    only_cuda = set(registered("AutocastCUDA")) - set(registered("AutocastCPU"))
    # image classifiers use neither torchvision's operations nor named dimensions, which later versions of torch lack
    names = {name.removeprefix("aten::") for name in only_cuda if not re.search("torchvision|imname|names_", name)}
    lower_or_widest = {
        *("convolution", "_convolution", "cudnn_convolution", "cudnn_convolution_transpose", "addmv", "addr", "mv"),
        *("chain_matmul", "einsum", "linalg_multi_dot", "_scaled_dot_product_flash_attention"),
        *("addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "index_put", "scatter_add", "tensordot"),
        *("_cudnn_rnn", "_thnn_fused_gru_cell", "_thnn_fused_lstm_cell", "gru_cell", "lstm_cell"),
        *("rnn_relu_cell", "rnn_tanh_cell"),
    }
    assert names - lower_or_widest <= set(FLOAT32_ON_CUDA)


def test_autocast_on_the_cpu_is_as_before_afterwards():
    norm, pixels = torch.nn.LayerNorm(4), torch.zeros((2, 4), dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        before = norm(pixels).dtype
        with fake_step(torch.bfloat16):
            assert (
                torch.nn.functional.layer_norm(torch.zeros((2, 4), dtype=torch.bfloat16), (4,)).dtype == torch.float32
            )
        assert norm(pixels).dtype == before == torch.bfloat16
