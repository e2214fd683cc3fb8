"""Several processes (ranks) started by torchrun: they share each batch, and rank 0 writes and prints.

Without torchrun every function here does what one process needs: nothing, or it returns the value that it was given.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn

from common.errors import InputError

# how long ranks wait for each other's flags and figures: at the first start rank 0 reads every photograph alone, and
# after an epoch it writes files; a process that dies is noticed by torchrun, not by this limit
LONGEST_WAIT = timedelta(hours=12)

# all processes, with that limit; None is torch's default group
_patient_group: Any = None


@contextlib.contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun started: NCCL where torch has it, else gloo. Only rank 0 prints results."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    global _patient_group
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local_rank())
    # torch for Windows has no NCCL; gloo copies what GPUs exchange through the host
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda and distributed.is_nccl_available() else "gloo")
    # flags and figures are exchanged by gloo on the CPU, so that they never wait for the GPU
    _patient_group = distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
    silence = contextlib.nullcontext() if is_main() else contextlib.redirect_stdout(None)
    try:
        with silence:
            yield
    finally:
        _patient_group = None
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
    return any_ranks([flag])[0]


def any_ranks(flags: Sequence[bool]) -> list[bool]:
    """Say for each flag whether it is true on any rank, in one message."""
    return [total > 0 for total in add_up([float(flag) for flag in flags])]


def add_up(values: list[float]) -> list[float]:
    """Return the sums of `values` over the ranks."""
    if world_size() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(tensor, group=_patient_group)
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
    distributed.all_gather_object(values, value, group=_patient_group)
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
    wrapped = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    # not at every step: rank 0's are the ones that are saved, and `share_buffers` hands them out before validation. Set
    # here, because the argument has another name in newer versions of torch
    wrapped.broadcast_buffers = False
    return wrapped


def without_averaging(model: Any, wanted: bool) -> contextlib.AbstractContextManager:
    """Return a context in which a wrapped model does not average its gradients, if `wanted`."""
    return model.no_sync() if wanted and world_size() > 1 else contextlib.nullcontext()


@contextlib.contextmanager
def own_statistics(model: nn.Module, wanted: bool) -> Iterator[None]:
    """While `wanted`, which must be the same on all ranks, SyncBatchNorm uses the images of its own rank alone.

    A rank without images takes no part in the exchange of statistics, and the others would wait for it forever.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.SyncBatchNorm)] if wanted else []
    groups = [layer.process_group for layer in layers]
    for layer in layers:
        layer.process_group = _group_of_this_rank()
    try:
        yield
    finally:
        for layer, group in zip(layers, groups, strict=True):
            layer.process_group = group


@functools.cache
def _group_of_this_rank() -> Any:
    return distributed.new_group([rank()], use_local_synchronization=True)


def check_sync_batchnorm(wanted: bool, device: torch.device) -> None:
    """Raise InputError if BatchNorm cannot be synchronised on `device`."""
    if wanted and device.type != "cuda":
        raise InputError(f"training.sync_batchnorm=true: torch synchronises BatchNorm on CUDA only, not on {device}.")
