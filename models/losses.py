"""Losses on logits (N, C) and targets: int64 labels (N,), or float distributions (N, C) without smoothing.

Mixup and CutMix give distributions without label smoothing; smoothing is applied here and only here. All losses compute
in float32 and return the mean over the batch.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, kl_div, log_softmax, one_hot

from common.errors import InputError


class LossConfig(Protocol):
    """The keys of `training` that the losses read."""

    loss_function: str
    focal_alpha: float | list[float]
    focal_gamma: float
    label_smoothing: float
    logit_adjustment: float
    class_balance_beta: float


def soft_targets(logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Return float32 targets (N, C), smoothed as (1 - smoothing) t + smoothing / C (Szegedy et al. 2016)."""
    classes = logits.shape[1]
    soft = one_hot(targets, classes).float() if targets.ndim == 1 else targets.float()
    return soft * (1 - smoothing) + smoothing / classes


class LabelSmoothingCrossEntropy(nn.Module):
    """Cross-entropy with smoothed targets."""

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        soft = soft_targets(logits, targets, self.smoothing)
        return -(soft * log_softmax(logits.float(), dim=1)).sum(dim=1).mean()


class CrossEntropy(LabelSmoothingCrossEntropy):
    """Cross-entropy with the targets as they are."""

    def __init__(self) -> None:
        super().__init__(smoothing=0.0)


class FocalLoss(nn.Module):
    """Focal loss (Lin et al. 2017) for soft targets t: sum over c of t_c alpha_c (1 - p_c)^gamma (-log p_c).

    `alpha` is one weight for all classes, or one per class.
    """

    alpha: torch.Tensor

    def __init__(
        self, alpha: float | Sequence[float] | torch.Tensor = 0.25, gamma: float = 2.0, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.register_buffer("alpha", torch.as_tensor(alpha, dtype=torch.float32))
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        soft = soft_targets(logits, targets, self.label_smoothing)
        log_p = log_softmax(logits.float(), dim=1)
        if self.gamma == 0:
            return -(soft * self.alpha * log_p).sum(dim=1).mean()
        # -expm1 keeps 1 - p exact near p = 1; the clamp keeps the gradient of the power finite there for gamma < 1
        rest = (-torch.expm1(log_p)).clamp(min=1e-8)
        return -(soft * self.alpha * rest**self.gamma * log_p).sum(dim=1).mean()


class ClassBalancedFocalLoss(FocalLoss):
    """Focal loss whose class weights are 1 / effective number of images, with mean 1 (Cui et al. 2019).

    The effective number of n images is (1 - beta^n) / (1 - beta); a class without images counts as one.
    """

    def __init__(
        self, class_counts: Sequence[int], beta: float = 0.999, gamma: float = 2.0, label_smoothing: float = 0.0
    ) -> None:
        counts = torch.as_tensor(class_counts, dtype=torch.float64).clamp(min=1)
        weights = (1 - beta) / (1 - beta**counts)
        super().__init__((weights / weights.mean()).float(), gamma, label_smoothing)


class BinaryCrossEntropy(nn.Module):
    """One sigmoid per class (Wightman et al. 2021), summed over classes."""

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        soft = soft_targets(logits, targets, self.smoothing)
        return binary_cross_entropy_with_logits(logits.float(), soft, reduction="none").sum(dim=1).mean()


class LogitAdjustedCrossEntropy(nn.Module):
    """Cross-entropy of logits + tau log(class frequency) (Menon et al. 2021); tau 1 is balanced softmax.

    `class_counts` are training images per class; a class without images counts as one.
    """

    adjustment: torch.Tensor

    def __init__(self, class_counts: Sequence[int], tau: float = 1.0, smoothing: float = 0.0) -> None:
        super().__init__()
        counts = torch.as_tensor(class_counts, dtype=torch.float32).clamp(min=1)
        self.register_buffer("adjustment", tau * torch.log(counts / counts.sum()))
        self.cross_entropy = LabelSmoothingCrossEntropy(smoothing)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.cross_entropy(logits.float() + self.adjustment, targets)


class BalancedSoftmaxCrossEntropy(LogitAdjustedCrossEntropy):
    """Cross-entropy of a softmax weighted by class counts (Ren et al. 2020)."""

    def __init__(self, class_counts: Sequence[int], smoothing: float = 0.0) -> None:
        super().__init__(class_counts, tau=1.0, smoothing=smoothing)


def distillation_loss(
    logits: torch.Tensor, teacher: torch.Tensor, temperature: float, hard_labels: bool
) -> torch.Tensor:
    """Return the distance of logits (N, C) from a teacher's probabilities (N, C), the mean over the batch.

    It is T^2 KL(teacher^(1/T) || softmax(logits / T)) (Hinton et al. 2015, arXiv:1503.02531), or cross-entropy with the
    teacher's most probable class (Touvron et al. 2021, arXiv:2012.12877).
    """
    if hard_labels:
        return cross_entropy(logits.float(), teacher.argmax(dim=1))
    softened = (teacher.clamp(min=1e-8).log() / temperature).log_softmax(dim=1)
    student = log_softmax(logits.float() / temperature, dim=1)
    return temperature**2 * kl_div(student, softened, reduction="batchmean", log_target=True)


# name in training.loss_function: its loss, from the config and the training images per class
LOSSES: dict[str, Callable[[LossConfig, Sequence[int]], nn.Module]] = {
    "cross_entropy": lambda config, counts: CrossEntropy(),
    "label_smoothing": lambda config, counts: LabelSmoothingCrossEntropy(config.label_smoothing),
    "focal": lambda config, counts: FocalLoss(config.focal_alpha, config.focal_gamma, config.label_smoothing),
    "class_balanced_focal": lambda config, counts: ClassBalancedFocalLoss(
        counts, config.class_balance_beta, config.focal_gamma, config.label_smoothing
    ),
    "bce": lambda config, counts: BinaryCrossEntropy(config.label_smoothing),
    "logit_adjusted": lambda config, counts: LogitAdjustedCrossEntropy(
        counts, config.logit_adjustment, config.label_smoothing
    ),
    "balanced_softmax": lambda config, counts: BalancedSoftmaxCrossEntropy(counts, config.label_smoothing),
}


def get_loss_function(config: LossConfig, class_counts: Sequence[int]) -> nn.Module:
    """Return the loss of `config.loss_function`; `class_counts` are training images per class.

    Raises InputError for an unknown name, and for a list `focal_alpha` with another length than the classes.
    """
    alpha = config.focal_alpha
    if config.loss_function == "focal" and isinstance(alpha, list) and len(alpha) != len(class_counts):
        raise InputError(
            f"training.focal_alpha: {len(alpha)} weights for {len(class_counts)} classes. "
            "Give one number, or one per class."
        )
    if config.loss_function not in LOSSES:
        raise InputError(f"training.loss_function={config.loss_function}: choose from {', '.join(LOSSES)}.")
    return LOSSES[config.loss_function](config, class_counts)
