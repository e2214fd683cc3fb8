"""Full memory in training: it must go on in smaller parts, and nothing of the failed pass may stay in memory."""

import weakref
from typing import Any

from benchmarks.gpu.pictures import SMALL
from benchmarks.gpu.site import Facts, Site, base_keys, history

# passes, counted from 1, of one step each: the second is measured, the third fails in its forward pass
MEASURED, FAILING = 2, 3
# passes from the first success after that failure to the one that fails in its backward pass
PASSES_BETWEEN = 4
# half of a pass has room, but workspaces and gaps take some of it
MOST_PARTS = 8
# share of a pass's memory that may differ before a retry, for what is allocated only once
HELD = 0.1


def full_memory(site: Site, start: str) -> Facts:
    """Let memory be full once in a forward pass and once in a backward pass; `start` is `training.head_init`.

    On CUDA the first failure is a real cap on this process; on a CPU both are errors raised in its place.
    """
    from benchmarks.gpu.kit import train_here

    name = f"full_memory_{start}"
    with Watch(on_cuda=not site.reduced) as watch:
        code = train_here([*base_keys(site, name), *_keys(site), f"training.head_init={start}"])
    losses = [float(row["train_loss"]) for row in history(site.folder / name)]
    facts = {"exit_code": code, "loss": losses, "failures": watch.failures, "pass_gb": round(watch.pass_gb, 3)}
    why = _problem(code, losses, watch)
    parts = " and ".join(str(failure["parts"]) for failure in watch.failures)
    return {**facts, "ok": not why, "why": why, "summary": f"went on in {parts} parts, nothing held"}


def _keys(site: Site) -> list[str]:
    keys = [
        "augmentation=light",
        "training.epochs=2",
        "training.warmup_epochs=0",
        "training.ema_decay=0.99",
        "dataset.val_split=0",
        f"dataset.root={site.folder / SMALL}",
    ]
    if site.reduced:
        tiny = ["model.architecture=test_convnext", "model.drop_path_rate=0", "model.input_size=32"]
        return [*keys, *tiny, "dataset.batch_size=8", "dataset.num_workers=0"]
    return [*keys, "model=convnext_tiny", "model.input_size=224", "dataset.batch_size=32", "dataset.num_workers=2"]


def _problem(code: int, losses: list[float], watch: "Watch") -> str:
    """Return what is wrong, or an empty text."""
    if code or not losses or any(loss != loss for loss in losses):
        return f"training ended with exit code {code} and the losses {losses}"
    places = [failure["place"] for failure in watch.failures]
    if places[:1] != ["forward"] or places[-1:] != ["backward"]:
        return f"failures in {places} instead of one in the forward pass, then one in the backward pass"
    for failure in watch.failures:
        if failure["alive"] or failure["held_gb"] > HELD * watch.pass_gb:
            return (
                f"after the failure in the {failure['place']} pass {failure['alive']} of its tensors and "
                f"{failure['held_gb']:.2f} GB were still held"
            )
    return "" if watch.failures[0]["parts"] <= MOST_PARTS else f"{watch.failures[0]['parts']} parts were needed"


class Watch:
    """Follows every training pass of a classifier from outside, by hooks of torch, and makes two of them fail.

    `failures` has for each failed pass where it failed, how many outputs of its modules were alive when the next one
    began, how many GB more than before were then allocated (CUDA), and in how many parts the batch went on.
    """

    def __init__(self, on_cuda: bool) -> None:
        self.on_cuda = on_cuda
        self.failures: list[dict[str, Any]] = []
        self.pass_gb = 0.0
        self._passes = 0
        self._batch = 0
        self._running = False
        self._failed_backward = False
        self._backward_at: int | None = None
        self._least = float("inf")
        self._outputs: list[weakref.ref] = []

    def __enter__(self) -> "Watch":
        from torch.nn.modules import module as hooks

        self._hooks = [
            hooks.register_module_forward_pre_hook(self._before),
            hooks.register_module_forward_hook(self._after),
        ]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _before(self, module: Any, inputs: tuple) -> None:
        from benchmarks.gpu.kit import is_training_pass

        if not is_training_pass(module):
            return
        if self._running or self._failed_backward:
            self._note_failure("forward" if self._running else "backward", len(inputs[0]))
        self._passes += 1
        self._batch = self._batch or len(inputs[0])
        self._running, self._outputs = True, []
        if self._passes >= MEASURED:
            self._least = min(self._least, self._allocated())
        if self.on_cuda:
            self._measure_or_cap()

    def _measure_or_cap(self) -> None:
        """Measure what one pass takes, then leave room for half of it."""
        import torch

        if self._passes == MEASURED:
            # what cuDNN tried in the pass before is no part of it
            torch.cuda.reset_peak_memory_stats()
        elif self._passes == FAILING:
            live, peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
            self.pass_gb = (peak - live) / 1e9
            torch.cuda.empty_cache()
            total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
            # gaps between live blocks stay reserved, so they count as taken
            allowed = torch.cuda.memory_reserved() + (peak - live) / 2
            torch.cuda.set_per_process_memory_fraction(min(allowed / total, 1.0))

    def _note_failure(self, place: str, images: int) -> None:
        alive = sum(output() is not None for output in self._outputs)
        held = (self._allocated() - self._least) / 1e9
        parts = -(-self._batch // images)
        self.failures.append({"place": place, "alive": alive, "held_gb": held, "parts": parts})
        self._failed_backward = False
        if self._backward_at is None:
            self._backward_at = self._passes + PASSES_BETWEEN

    def _after(self, module: Any, inputs: tuple, output: Any) -> None:
        import torch

        from benchmarks.gpu.kit import is_training_pass

        if not self._running:
            return
        if isinstance(output, torch.Tensor):
            self._outputs.append(weakref.ref(output))
        if not is_training_pass(module):
            return
        if not self.on_cuda and self._passes == FAILING:
            raise torch.OutOfMemoryError("memory is full in the forward pass: raised by the check")
        self._running = False
        if self._passes == self._backward_at:
            output.register_hook(self._fail_backward)

    def _fail_backward(self, gradient: Any) -> None:
        import torch

        self._failed_backward = True
        if self.on_cuda:
            # more than any card has: torch's own error
            torch.empty(1 << 44, dtype=torch.uint8, device="cuda")
        raise torch.OutOfMemoryError("memory is full in the backward pass: raised by the check")

    def _allocated(self) -> float:
        import torch

        return float(torch.cuda.memory_allocated()) if self.on_cuda else 0.0
