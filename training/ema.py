"""EMA: the exponential moving average of a model's weights, which is validated and shipped (`training.ema_decay`)."""

import copy

import torch
from torch import nn

from models.classifier import Classifier
from training.norm_statistics import is_statistic

# the warm-up of timm's ModelEmaV3, by which the average forgets the random start
_WARM_UP_POWER = 2 / 3


class AveragedModel:
    """A copy of a model, `module`, whose weights are the average over the steps of training.

    The running statistics of BatchNorm are averaged like weights, and its counts of batches are copied. Other buffers
    never change. The lists of tensors are made once, because `state_dict()` at every step costs the host time.
    """

    def __init__(self, model: Classifier, decay: float) -> None:
        self.module = copy.deepcopy(model).eval()
        self.decay = decay
        self._averages, self._copied_counts = _changing(self.module)
        self._values, self._counts = _changing(model)

    def decay_at(self, step: int) -> float:
        """Return the weight of the old average in the update after `step` other steps; it grows from 0 to `decay`."""
        return min(1 - (1 + step) ** -_WARM_UP_POWER, self.decay)

    @torch.no_grad()
    def update(self, step: int, skip: torch.Tensor | None = None) -> None:
        """Move the averages towards the weights of the model after `step` other steps.

        `skip` is a float32 scalar on the device: where it is 1, the averages stay, and the host need not know.
        """
        weight = 1 - self.decay_at(step)
        if skip is None:
            torch._foreach_lerp_(self._averages, self._values, weight)
        else:
            _lerp_unless(skip, self._averages, self._values, weight)
        if self._counts:
            torch._foreach_copy_(self._copied_counts, self._counts)


def _changing(model: nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the tensors that change in training: weights with floating-point statistics, and counts."""
    statistics = [buffer for name, buffer in model.named_buffers() if is_statistic(name)]
    weights = [*model.parameters(), *(buffer for buffer in statistics if buffer.is_floating_point())]
    return weights, [buffer for buffer in statistics if not buffer.is_floating_point()]


def _lerp_unless(skip: torch.Tensor, averages: list[torch.Tensor], values: list[torch.Tensor], weight: float) -> None:
    """Move `averages` towards `values`, unless `skip` is 1.

    torch has no such lerp, but its SGD kernel is one: with gradient -value (`maximize`) and weight decay 1, it computes
    average - weight * (average - value), and it obeys `found_inf`. It differs from lerp in the last bit.
    """
    torch._fused_sgd_(
        averages,
        values,
        [],
        lr=weight,
        weight_decay=1.0,
        maximize=True,
        momentum=0.0,
        dampening=0.0,
        nesterov=False,
        is_first_step=False,
        found_inf=skip,
    )
