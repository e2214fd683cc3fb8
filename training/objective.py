"""What a step minimises: a loss against the labels and, with a teacher, the distance from its probabilities."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import one_hot

from configs.schema import TrainingConfig
from models.losses import distillation_loss, get_loss_function
from training.distillation import Teacher


class Objective:
    """The loss of `training.loss_function`.

    Targets are float32 (N, K). Their first C columns are the distribution over classes: one-hot, until mixup mixes it.
    """

    def __init__(self, loss_function: nn.Module, num_classes: int) -> None:
        self.loss_function = loss_function
        self.num_classes = num_classes

    def targets(self, labels: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the targets of images with `labels` int64 (N,) in `rows` int64 (N,) of the table."""
        return one_hot(labels, self.num_classes).float()

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of logits (N, C); `images` (N, 3, H, W) are the input of the model."""
        return self.loss_function(logits, targets)

    def correct(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the number of images whose largest logit is at the label with the largest share."""
        return (logits.argmax(dim=1) == targets[:, : self.num_classes].argmax(dim=1)).sum()


class DistillationObjective(Objective):
    """The loss, averaged with the distance from a teacher by `training.distillation_weight`.

    The further columns of the targets are the probabilities saved by the teacher, so that mixup mixes them too.
    """

    def __init__(self, loss_function: nn.Module, num_classes: int, teacher: Teacher, config: TrainingConfig) -> None:
        super().__init__(loss_function, num_classes)
        self.teacher = teacher
        self.config = config

    def targets(self, labels: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the targets of the labels, followed by the probabilities that the teacher saved."""
        return torch.cat([super().targets(labels, rows), self.teacher.saved(rows)], dim=1)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return the weighted mean of both losses."""
        of_labels = super().loss(logits, targets[:, : self.num_classes], images)
        probabilities = self.teacher.probabilities(images, targets[:, self.num_classes :])
        of_teacher = distillation_loss(
            logits, probabilities, self.config.distillation_temperature, self.config.distillation_hard_labels
        )
        return of_labels.lerp(of_teacher, self.config.distillation_weight)


def build_objective(
    config: TrainingConfig, class_counts: Sequence[int], teacher: Teacher | None, device: torch.device
) -> Objective:
    """Return the objective of a run; `class_counts` are training images per class.

    Raises InputError like `get_loss_function`.
    """
    loss_function = get_loss_function(config, class_counts).to(device)
    if teacher is None:
        return Objective(loss_function, len(class_counts))
    return DistillationObjective(loss_function, len(class_counts), teacher, config)
