"""The model as a step calls it: compiled once in a run, and wrapped for several processes."""

from collections.abc import Callable

import torch
from torch import nn

from common import distributed
from common.errors import InputError, RunError
from common.memory import is_out_of_memory
from training.run import Run
from training.state import TrainingState

# how often torch may compile the model of a run: for frozen and trained parts, for the last epochs' size, and for each
# halving of a micro-batch that did not fit; torch's own limit of 8 would end in slow training without a word
MOST_VERSIONS = 64


class Forward:
    """Holds the model of a run for its steps. Parameters keep their names, because the model itself stays as it is."""

    def __init__(self, run: Run, state: TrainingState) -> None:
        self.state = state
        self.model: nn.Module = state.model
        self._wrapped: nn.Module | None = None
        self._trained: list[bool] = []
        if run.config.training.compile:
            share = len(range(distributed.rank(), run.batches.first_image(1), distributed.world_size()))
            self.model = CompiledModel(state.model, lambda: -(-share // state.parts_per_micro_batch))

    def for_epoch(self) -> nn.Module:
        """Return the module to call; call this once the trained parts of the epoch are set."""
        trained = [parameter.requires_grad for parameter in self.state.model.parameters()]
        # DistributedDataParallel waits for the gradients of those parameters that were trained when it was made
        if self._wrapped is None or trained != self._trained:
            self._wrapped, self._trained = distributed.parallel(self.model), trained
        return self._wrapped


class CompiledModel(nn.Module):
    """Computes batches of `whole()` images by compiled code and others as they are.

    So the last batch of an epoch, or one with an unreadable image, costs no minutes of compiling. `model` is not
    changed.
    """

    def __init__(self, model: nn.Module, whole: Callable[[], int]) -> None:
        # imported here, because it takes seconds
        from torch._dynamo.exc import TorchDynamoException

        super().__init__()
        self.failures = TorchDynamoException
        self.model = model
        self.whole = whole
        self.compiled = compile_for_each_shape(model)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return `model(images)`. Raises RunError if torch cannot compile the model."""
        if len(images) != self.whole():
            return self.model(images)
        try:
            return self.compiled(images)
        except self.failures as error:
            if is_out_of_memory(error):
                raise
            raise RunError(
                f"training.compile=true: torch cannot compile this model ({_reason(error)}). Set it to false."
            ) from error


def compile_for_each_shape(model: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return `torch.compile(model)`, which compiles anew for another shape, where dynamic shapes would be slower."""
    # the older name of recompile_limit, which newer versions know too
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, MOST_VERSIONS)
    return torch.compile(model, dynamic=False)


def check_compile(wanted: bool, device: torch.device) -> None:
    """Raise InputError if torch cannot compile for `device`, found out by compiling an addition: some seconds."""
    if not wanted:
        return
    try:
        compile_for_each_shape(lambda values: values + 1)(torch.ones(2, device=device))
    except Exception as error:
        needed = {
            "cuda": "an RTX 20 or newer card and the package triton (on Windows: pip install triton-windows)",
            "cpu": "a C++ compiler (Linux: g++; macOS: Xcode's command line tools; Windows: Visual Studio "
            "with C++, in its developer command prompt)",
        }.get(device.type, "a compiler that torch supports")
        raise InputError(
            f"training.compile=true: torch.compile does not work on this {device.type} device ({_reason(error)}). It "
            f"needs {needed}. Install what is missing, or set training.compile=false."
        ) from error


def _reason(error: BaseException) -> str:
    """Return the first line of what went wrong; advice for torch's own developers follows it."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
