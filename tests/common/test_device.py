"""The precision that a device computes in, without the device: torch's answers about CUDA are given here."""

import pytest
import torch

from common.device import (
    algorithms_kept,
    choose_device,
    choose_inference_precision,
    choose_precision,
    configure_algorithms,
    moved,
)
from common.errors import InputError

CUDA = torch.device("cuda")


@pytest.fixture
def card(monkeypatch):
    """Return a function that gives CUDA's devices a compute capability."""
    return lambda *version: monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: version)


@pytest.mark.parametrize("version", [(6, 0), (7, 5)])
def test_a_card_that_emulates_bfloat16_computes_float16_and_says_so(card, version):
    card(*version)
    found = choose_precision(CUDA, True, "bfloat16")
    assert found.dtype == torch.float16
    assert f"compute capability {version[0]}.{version[1]} only emulate bfloat16: float16 is used" in found.note
    automatic = choose_precision(CUDA, True, "auto")
    assert (automatic.dtype, automatic.note) == (torch.float16, "")


def test_a_card_that_computes_bfloat16_trains_in_it_and_predicts_in_float16(card):
    card(8, 6)
    assert choose_precision(CUDA, True, "auto").dtype == torch.bfloat16
    assert choose_precision(CUDA, True, "bfloat16").dtype == torch.bfloat16
    assert choose_precision(CUDA, True, "float16").dtype == torch.float16
    for trained_in in ("auto", "bfloat16", "float16"):
        assert choose_inference_precision(CUDA, True, trained_in).dtype == torch.float16
    assert choose_inference_precision(CUDA, False, "auto").dtype is None


@pytest.mark.parametrize(
    ("version", "allowed", "text"),
    [
        ((8, 0), True, "float32 (TF32 in products and convolutions)"),
        ((8, 0), False, "float32"),
        ((7, 5), True, "float32"),
    ],
)
def test_float32_says_where_it_is_tf32(card, version, allowed, text):
    card(*version)
    assert str(choose_precision(CUDA, False, "auto", allow_tf32=allowed)) == text
    assert str(choose_precision(torch.device("cpu"), False, "auto", allow_tf32=True)) == "float32"


BUILT = ["sm_75", "sm_80", "sm_86", "sm_90a", "sm_120"]


@pytest.mark.parametrize("version", [(7, 5), (8, 0), (8, 9), (9, 0), (12, 0), (12, 1)])
def test_a_card_of_an_architecture_that_torch_was_built_for_is_taken(card, monkeypatch, version):
    card(*version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILT)
    assert choose_device("cuda") == choose_device("auto") == torch.device("cuda", 0)


@pytest.mark.parametrize("version", [(6, 0), (7, 0), (10, 0), (13, 0)])
@pytest.mark.parametrize("name", ["cuda", "auto"])
def test_a_card_that_torch_was_not_built_for_is_a_sentence(card, monkeypatch, name, version):
    card(*version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILT)
    with pytest.raises(InputError, match=rf"no code for cards of compute capability {version[0]}\.{version[1]}, only"):
        choose_device(name)
    # code that the driver compiles for newer cards
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["compute_60"])
    assert choose_device(name).type == "cuda"


def test_a_cpu_predicts_in_what_it_trains_in():
    for use_amp in (True, False):
        assert choose_inference_precision(torch.device("cpu"), use_amp, "auto").dtype is None


def test_the_choice_of_algorithms_is_put_back():
    cuda = torch.device("cuda")
    with algorithms_kept():
        configure_algorithms(cuda, search_kernels=True, allow_tf32=True)
        before = _algorithms()
        with algorithms_kept():
            configure_algorithms(torch.device("cpu"), allow_tf32=False)
            assert _algorithms() != before
        assert _algorithms() == before


def _algorithms():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
    )


@pytest.mark.parametrize(("name", "waits"), [("cuda", False), ("mps", True), ("cpu", True)])
def test_only_cuda_reads_a_tensor_of_the_host_later(monkeypatch, name, waits):
    given = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device, non_blocking: given.append((device, non_blocking)))
    moved(torch.ones(1), torch.device(name))
    assert given == [(torch.device(name), not waits)]
