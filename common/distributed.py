"""Several processes (ranks) started by torchrun: they share each batch, and rank 0 writes and prints.

Without torchrun every function here does what one process needs: nothing, or it returns the value that it was given.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import distributed, nn

from common.errors import InputError


@contextlib.contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun started: NCCL where there is CUDA, else gloo. Only rank 0 prints results."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local_rank())
    # flags and figures are exchanged by gloo on the CPU, so that they never wait for the GPU
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    silence = contextlib.nullcontext() if is_main() else contextlib.redirect_stdout(None)
    try:
        with silence:
            yield
    finally:
        # a process that failed must not wait here for ranks that wait in a collective call
        if sys.exc_info()[0] is None:
            distributed.destroy_process_group()


def world_size() -> int:
    """Return how many processes work together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def local_rank() -> int:
    """Return the rank on this machine, counted from 0; it is also the number of the GPU to use."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_main() -> bool:
    """Say whether this is rank 0, the process that writes and prints."""
    return rank() == 0


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Let rank 0 run the block first, so that the other ranks find the files that it writes."""
    if not is_main():
        wait_for_all()
    yield
    if is_main():
        wait_for_all()


def wait_for_all() -> None:
    """Wait until every rank has come here (a barrier)."""
    add_up([0.0])


def any_rank(flag: bool) -> bool:
    """Say whether `flag` is true on any rank."""
    return bool(add_up([float(flag)])[0])


def add_up(values: list[float]) -> list[float]:
    """Return the sums of `values` over the ranks."""
    if world_size() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(tensor)
    return tensor.tolist()


def add_up_tensor(values: torch.Tensor) -> torch.Tensor:
    """Return the sums of `values` over the ranks, computed on their device: the host does not wait for a GPU."""
    if world_size() > 1:
        distributed.all_reduce(values)
    return values


def gather(value: Any) -> list[Any]:
    """Return the values of all ranks, in the order of the ranks."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def gather_in_turn(values: list[Any]) -> list[Any]:
    """Return the items of all ranks in their global order: rank r holds the items r, r + world size, ..."""
    lists = gather(values)
    return [lists[number % len(lists)][number // len(lists)] for number in range(sum(map(len, lists)))]


def share_buffers(model: nn.Module) -> None:
    """Give every rank the buffers of rank 0, such as the running statistics of BatchNorm."""
    if world_size() > 1:
        for buffer in model.buffers():
            distributed.broadcast(buffer, src=0)


def parallel(model: Any) -> nn.Module:
    """Return `model` wrapped in DistributedDataParallel, which averages gradients over the ranks."""
    if world_size() == 1:
        return model
    return nn.parallel.DistributedDataParallel(model)


def without_averaging(model: Any, wanted: bool) -> contextlib.AbstractContextManager:
    """Return a context in which a wrapped model does not average its gradients, if `wanted`."""
    return model.no_sync() if wanted and world_size() > 1 else contextlib.nullcontext()


def check_sync_batchnorm(wanted: bool, device: torch.device) -> None:
    """Raise InputError if BatchNorm cannot be synchronised on `device`."""
    if wanted and device.type != "cuda":
        raise InputError(f"training.sync_batchnorm=true: torch synchronises BatchNorm on CUDA only, not on {device}.")
