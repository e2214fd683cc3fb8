"""Heads: what the classifier reads of a backbone (`model.head`).

`pooled` is timm's own: a linear layer on the pooled last layer. The others read the maps of the stages before it, which
hold more of what tells similar classes apart: `last_block` the average and the maximum over the positions of the last
stage, `stages` those of all stages, and `second_order` beside these the square root of the covariance of the last
stage's channels (iSQRT-COV, Li et al. 2018, arXiv:1712.01034).
"""

from collections.abc import Sequence

import torch
from torch import nn

# channels of the covariance: 64 give 2,080 numbers
_REDUCED_CHANNELS = 64

# Newton-Schulz steps to the square root of a matrix, as in the paper
_SQUARE_ROOT_STEPS = 5

# a backbone that lists more stages than this, as a ViT lists its blocks, is read at four of them
_MOST_STAGES = 6


class HeadLinear(nn.Linear):
    """A linear layer of the head: float32 also where the rest of a model computes in 16 bits.

    In the last layer those would round the logits, and tip labels whose two best classes are close.
    """

    @classmethod
    def of(cls, layer: nn.Linear) -> "HeadLinear":
        """Return the layer with the parameters of another."""
        # on the meta device, so that nothing is drawn
        head = cls(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        head.weight, head.bias = layer.weight, layer.bias
        return head

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return float32 (..., C) of (..., D)."""
        if not _autocast_is_on(input.device.type):
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


class StageHead(nn.Module):
    """Logits from the maps of stages; all in float32.

    `stages` are their places in the backbone's `feature_info`. The features are standardised by `feature_mean` and
    `feature_scale` (D,), which are fitted once, on the frozen features of the training images, and stay.
    """

    feature_mean: torch.Tensor
    feature_scale: torch.Tensor
    upper: torch.Tensor

    def __init__(
        self, kind: str, stages: Sequence[int], channels: Sequence[int], num_classes: int, drop_rate: float
    ) -> None:
        super().__init__()
        self.kind = kind
        self.stages = list(stages)
        features = 2 * sum(channels)
        self.reduction = None
        if kind == "second_order":
            reduced = min(_REDUCED_CHANNELS, channels[-1])
            self.reduction = HeadLinear(channels[-1], reduced, bias=False)
            features += reduced * (reduced + 1) // 2
            # places of the upper triangle in a flat matrix
            rows, columns = torch.triu_indices(reduced, reduced)
            self.register_buffer("upper", rows * reduced + columns, persistent=False)
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_scale", torch.ones(features))
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = HeadLinear(features, num_classes)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return logits float32 (N, C) of one map (N, channels, H, W) per stage."""
        features = (self.features(maps) - self.feature_mean) / self.feature_scale
        return self.classifier(self.dropout(features))

    def features(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return features float32 (N, D), not standardised, of one map (N, channels, H, W) per stage."""
        if not _autocast_is_on(maps[0].device.type):
            return self._features(maps)
        with torch.autocast(maps[0].device.type, enabled=False):
            return self._features([stage.float() for stage in maps])

    def _features(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        parts = [pooled for stage in maps for pooled in (stage.mean(dim=(2, 3)), stage.amax(dim=(2, 3)))]
        if self.reduction is not None:
            root = covariance_root(self.reduction.weight @ maps[-1].flatten(2))
            parts.append(root.flatten(1)[:, self.upper])
        return torch.cat(parts, dim=1)


def covariance(places: torch.Tensor) -> torch.Tensor:
    """Return the covariance (N, D, D) over the P places of (N, D, P)."""
    centred = places - places.mean(dim=2, keepdim=True)
    return centred @ centred.transpose(1, 2) / places.shape[2]


def covariance_root(places: torch.Tensor) -> torch.Tensor:
    """Return the square root (N, D, D) of the covariance over the P places of (N, D, P), divided by its trace.

    Coupled Newton-Schulz iteration (Higham 2008, chapter 6, as in Li et al. 2018). The root is not multiplied by the
    root of the trace afterwards: how strong the channels are is in the averages already.
    """
    matrix = covariance(places)
    # a map without any difference between places has the trace 0
    identity = torch.eye(matrix.shape[1], device=matrix.device)
    trace = (matrix * identity).sum(dim=(1, 2)).clamp(min=1e-12)
    root, inverse = matrix / trace[:, None, None], identity.expand_as(matrix)
    for _ in range(_SQUARE_ROOT_STEPS):
        factor = 0.5 * (3 * identity - inverse @ root)
        root, inverse = root @ factor, factor @ inverse
    return root


def stages_of(count: int, kind: str) -> list[int]:
    """Return which of `count` stages a head reads, by their places."""
    if kind == "last_block":
        return [count - 1]
    if count <= _MOST_STAGES:
        return list(range(count))
    return [count * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]


def _autocast_is_on(device_type: str) -> bool:
    # the meta device, which computes shapes alone, has none
    return device_type != "meta" and torch.is_autocast_enabled(device_type)
