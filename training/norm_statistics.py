"""The running statistics of normalisation layers: a forward pass changes them, so a step that fails puts them back."""

from collections.abc import Sequence

import torch
from torch import nn

# buffers of BatchNorm and its relatives; other buffers are constants, such as the masks of Swin
_NAMES = ("running_mean", "running_var", "num_batches_tracked")


def is_statistic(name: str) -> bool:
    """Say whether the buffer `name`, as in `model.named_buffers()`, is changed by a forward pass."""
    return name.rpartition(".")[2] in _NAMES


class NormStatistics:
    """The statistics of a model, and their values before a step, in storage that is allocated once."""

    def __init__(self, model: nn.Module) -> None:
        statistics = [buffer for name, buffer in model.named_buffers() if is_statistic(name)]
        dtypes = dict.fromkeys(buffer.dtype for buffer in statistics)
        self._parts = [_Kept([buffer for buffer in statistics if buffer.dtype == dtype]) for dtype in dtypes]

    def keep(self) -> None:
        """Remember the statistics as they are."""
        for part in self._parts:
            torch._foreach_copy_(part.kept.tensors, part.buffers)

    def restore(self) -> None:
        """Put back what was kept."""
        for part in self._parts:
            torch._foreach_copy_(part.buffers, part.kept.tensors)

    @torch.no_grad()
    def restore_if(self, wanted: torch.Tensor) -> None:
        """Put back what was kept if `wanted`, a scalar on the device, is not 0; the host does not wait for its value.

        Statistics that are not finite rule out arithmetic; a choice between both needs a flat copy of each.
        """
        for part in self._parts:
            torch._foreach_copy_(part.now.tensors, part.buffers)
            torch.where(wanted != 0, part.kept.flat, part.now.flat, out=part.now.flat)
            torch._foreach_copy_(part.buffers, part.now.tensors)


class _Kept:
    """Buffers of one dtype, and two copies of them."""

    def __init__(self, buffers: list[torch.Tensor]) -> None:
        self.buffers = buffers
        self.kept, self.now = _Flat(buffers), _Flat(buffers)


class _Flat:
    """One flat tensor, and its pieces in the shapes of `like`."""

    def __init__(self, like: Sequence[torch.Tensor]) -> None:
        self.flat = torch.cat([tensor.detach().flatten() for tensor in like])
        pieces = self.flat.split([tensor.numel() for tensor in like])
        self.tensors = [piece.view(tensor.shape) for piece, tensor in zip(pieces, like, strict=True)]
