"""A forward pass for answers: full memory is answered by smaller batches, numbers that are not finite by float32."""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from common.device import Precision, moved
from common.errors import RunError, print_warning
from common.memory import is_out_of_memory, release_device_memory

TOO_LARGE_FOR_DEVICE = (
    "The device's memory does not hold the model and a single image. Close what else uses it, give fewer views of an "
    "image or a smaller model, or predict on the CPU with device=cpu."
)

_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Started:
    """A batch that is being computed; `wait` returns its logits float32 (N, C)."""

    images: torch.Tensor
    wait: Callable[[], np.ndarray]


@runtime_checkable
class KeepsGraphs(Protocol):
    """A module that keeps device memory for recorded graphs."""

    def forget_graphs(self) -> None:
        """Give that memory back."""
        ...


class ForwardPass:
    """Computes logits on `device` with a model in evaluation mode.

    A batch that does not fit into memory is computed in parts, as are all later ones, unless `may_split` is false: then
    the error of the device is raised. `overflowed` counts images that were computed again in float32.
    """

    def __init__(self, model: nn.Module, device: torch.device, precision: Precision, may_split: bool = True) -> None:
        self.model = model
        self.device = device
        self.precision = precision
        self.may_split = may_split
        self.overflowed = 0
        self._at_once: int | None = None

    def start(self, images: torch.Tensor) -> Started:
        """Start on images uint8 (N, 3, H, W), N > 0. Raises RunError if the memory does not hold one of them."""
        return Started(images, _copied_to_host(self._logits(images, self.precision)))

    def finish(self, started: Started, names: list[str] | None = None) -> np.ndarray:
        """Return logits float32 (N, C), all finite. Raises RunError if float32 does not make them so; `names` name the
        images.
        """
        logits = started.wait()
        faulty = _not_finite(logits)
        if len(faulty) and self.precision.dtype is not None:
            again = self._logits(started.images[faulty], dataclasses.replace(self.precision, dtype=None))
            logits[faulty] = again.cpu().numpy()
            self.overflowed += len(faulty)
            faulty = _not_finite(logits)
        if len(faulty):
            raise RunError(_describe_faulty([names[row] for row in faulty] if names else [], len(faulty)))
        return logits

    def _logits(self, images: torch.Tensor, precision: Precision) -> torch.Tensor:
        while True:
            size = min(self._at_once or len(images), len(images))
            logits = self._attempt(images, size, precision)
            if logits is not None:
                return logits
            # only here: within `except` the error would keep all that the failed pass has computed
            for module in self.model.modules():
                if isinstance(module, KeepsGraphs):
                    module.forget_graphs()
            release_device_memory()
            self._at_once = _half_of(size)

    def _attempt(self, images: torch.Tensor, size: int, precision: Precision) -> torch.Tensor | None:
        """Return the logits, computed for `size` images at once, or None if the memory is full."""
        try:
            with precision.context():
                parts = (moved(part, self.device) for part in images.split(size))
                return torch.cat([self.model(part).float() for part in parts])
        except (RuntimeError, MemoryError) as error:
            if not (self.may_split and is_out_of_memory(error)):
                raise
        return None


def overflow_note(images: float, precision: Precision) -> str:
    """Return the line that says how many images were computed again in float32."""
    return f"{images:.0f} image(s) overflowed in {precision} and were computed in float32"


def _copied_to_host(logits: torch.Tensor) -> Callable[[], np.ndarray]:
    """Start copying logits to the host; return a function that waits for this copy, and for no later work."""
    if logits.device.type != "cuda":
        return lambda: logits.cpu().numpy()
    copy, done = logits.to("cpu", non_blocking=True), torch.cuda.Event()
    done.record()

    def wait() -> np.ndarray:
        done.synchronize()
        # of its own: as long as the answers live, the next batch could not reuse this pinned memory
        return copy.numpy().copy()

    return wait


def _half_of(size: int) -> int:
    if size == 1:
        raise RunError(TOO_LARGE_FOR_DEVICE)
    half = -(-size // 2)
    print_warning(f"out of memory with {size} images at once; from here on at most {half} are computed at once")
    return half


def _not_finite(logits: np.ndarray) -> np.ndarray:
    return np.flatnonzero(~np.isfinite(logits).all(axis=1))


def _describe_faulty(names: list[str], count: int) -> str:
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    which = f": {', '.join(names[:_NAMED])}{more}" if names else ""
    return (
        f"The model's answers for {count} images are not finite numbers, in float32 too{which}. Its weights are "
        "damaged, or its training diverged: use an earlier checkpoint, or train with a lower training.learning_rate."
    )
