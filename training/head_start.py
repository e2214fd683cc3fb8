"""The start of a stage head: what its features are reduced and standardised by, from the frozen training images."""

import dataclasses

import torch
from torch import nn

from common import distributed
from common.errors import RunError
from data.dataloader import eval_loader
from models.classifier import Classifier, on_device
from models.heads import covariance
from prediction.logits import compute_logits
from training.features import frozen_features
from training.linear_probe import standardisation
from training.run import Run

# images whose maps the principal components are computed from; each has some dozen positions
_IMAGES_FOR_COMPONENTS = 512


class ChannelCovariance(nn.Module):
    """Adds up the covariance (C, C) of the channels of the last map of each image."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        self.total: torch.Tensor | None = None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (N, 1) zeros for images uint8 (N, 3, H, W)."""
        last = self.model.stage_maps(self.model.normalised(images))[-1].float()
        found = covariance(last.flatten(2)).sum(dim=0)
        self.total = found if self.total is None else self.total + found
        return torch.zeros(len(images), 1, device=images.device)


@torch.no_grad()
def start_head(run: Run, model: Classifier) -> None:
    """Fit the reduction and the standardisation of the head of `model`; nothing for the pooled one.

    Nothing either for random weights without a probe: their batch normalisation has averaged nothing yet, so that the
    features of the frozen network are far smaller than those of training, and dividing by them would blow up the loss.
    """
    head = model.head
    if head is None or not (run.config.model.pretrained or run.config.training.head_init == "probe"):
        return
    if head.reduction is not None:
        head.reduction.weight.copy_(_principal_components(run, model, head.reduction.out_features))
    mean, scale = standardisation(frozen_features(run, model, run.split.train).values)
    head.feature_mean.copy_(torch.from_numpy(mean))
    head.feature_scale.copy_(torch.from_numpy(scale))


def _principal_components(run: Run, model: Classifier, count: int) -> torch.Tensor:
    """Return the `count` strongest principal components (count, C) of the channels of the last map, as rows.

    Raises RunError if no image can be read.
    """
    step = -(-len(run.split.train) // _IMAGES_FOR_COMPONENTS)
    loader = eval_loader(run.config, run.table, run.split.train[::step], run.device)
    adding = on_device(ChannelCovariance(model), run.device)
    # in 16 bits the sum could overflow, unnoticed
    compute_logits(adding, loader, 1, run.device, dataclasses.replace(run.precision, dtype=None))
    totals = [found for found in distributed.gather(adding.total) if found is not None]
    if not totals:
        raise RunError(f"{run.table.image_dir}: none of the {len(run.split.train[::step])} images could be read.")
    total = torch.stack([found.cpu() for found in totals]).sum(dim=0)
    # eigenvalues ascend; the signs change nothing, since a covariance does not depend on them
    return torch.linalg.eigh(total.double()).eigenvectors[:, -count:].T.float()
