"""AdamW for many parameter groups: layer decay has two groups a layer, and each one costs the host time."""

from typing import Any, cast

import torch


class GroupedAdamW(torch.optim.AdamW):
    """torch's fused AdamW, bit for bit, with one kernel launch a group instead of three.

    The kernels read the attribute `found_inf`, a float32 scalar on the device: where it is 1, nothing changes.
    All parameters lie on one device.
    """

    def __init__(self, groups: list[dict], lr: float) -> None:
        super().__init__(groups, lr=lr, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update the parameters that have gradients."""
        create_moments(self)
        found_inf: torch.Tensor | None = getattr(self, "found_inf", None)
        groups = [(group, _with_gradients(group)) for group in self.param_groups]
        counts = [self.state[parameter]["step"] for _, parameters in groups for parameter in parameters]
        if counts:
            # a list, because the host would wait for the value of a single tensor
            torch._foreach_add_(counts, 1.0 if found_inf is None else [1 - found_inf] * len(counts))
        for group, parameters in groups:
            if parameters:
                self._update(group, parameters, found_inf)

    def _update(self, group: dict[str, Any], parameters: list[torch.Tensor], found_inf: torch.Tensor | None) -> None:
        states = [self.state[parameter] for parameter in parameters]
        torch._fused_adamw_(
            parameters,
            cast("list[torch.Tensor]", [parameter.grad for parameter in parameters]),
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
            found_inf=found_inf,
        )


def _with_gradients(group: dict[str, Any]) -> list[torch.Tensor]:
    return [parameter for parameter in group["params"] if parameter.grad is not None]


def create_moments(optimizer: torch.optim.Optimizer) -> None:
    """Create the zero moments of AdamW and SGD for the parameters that are trained and have none.

    So memory is full before a step changes anything, and not in the middle of it. Other optimizers create their state
    in their first step.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.requires_grad and not optimizer.state.get(parameter):
                moments = _zero_moments(optimizer, parameter)
                if moments:
                    optimizer.state[parameter] = moments


def _zero_moments(optimizer: torch.optim.Optimizer, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
    if isinstance(optimizer, GroupedAdamW):
        count = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return {"step": count, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
    if isinstance(optimizer, torch.optim.SGD):
        return {"momentum_buffer": torch.zeros_like(parameter)}
    return {}
