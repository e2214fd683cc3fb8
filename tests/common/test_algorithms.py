"""The choice of algorithms for a device."""

import pytest
import torch

from common.device import configure_algorithms


@pytest.fixture(autouse=True)
def settings_kept():
    precision, tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    deterministic, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    yield
    torch.set_float32_matmul_precision(precision)
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = tf32, benchmark


@pytest.mark.parametrize(
    ("device", "allow_tf32", "precision"),
    [("cuda", True, "high"), ("cuda", False, "highest"), ("cpu", True, "highest"), ("cpu", False, "highest")],
)
def test_tf32_is_used_on_cuda_alone_where_it_is_allowed(device, allow_tf32, precision):
    configure_algorithms(torch.device(device), search_kernels=True, allow_tf32=allow_tf32)
    assert torch.get_float32_matmul_precision() == precision
    assert torch.backends.cudnn.allow_tf32 == (precision == "high")
    assert torch.backends.cudnn.benchmark == (device == "cuda")
    assert torch.are_deterministic_algorithms_enabled() == (device == "cpu")
