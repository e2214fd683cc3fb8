"""Which library carries the messages between processes."""

import pytest
import torch

from common.distributed import processes


@pytest.mark.parametrize(
    ("cuda", "nccl", "backend"),
    [(True, True, "cpu:gloo,cuda:nccl"), (True, False, "gloo"), (False, True, "gloo")],
)
def test_without_nccl_as_on_windows_gloo_carries_all(monkeypatch, cuda, nccl, backend):
    joined = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: nccl)
    monkeypatch.setattr(torch.distributed, "init_process_group", joined.append)
    monkeypatch.setattr(torch.distributed, "new_group", lambda **options: None)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with processes():
        pass
    assert joined == [backend]
