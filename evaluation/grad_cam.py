"""Grad-CAM: where in an image a network finds its class (Selvaraju et al. 2017, arXiv:1610.02391)."""

import numpy as np
import torch
from torch.nn.functional import interpolate

from models.classifier import Classifier


def attention_map(model: Classifier, image: np.ndarray, label: int) -> np.ndarray | None:
    """Return a heat map float32 (H, W) from 0 to 1: how much each position of `image` supports `label`.

    `image` is uint8 RGB (H, W, 3). The map is the last feature map, weighted by the mean gradient of the class's logit.
    Returns None if the logit does not depend on positions, as in a ViT that only uses its class token.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].to(model.mean.device)
    normalised = model.normalised(pixels)
    with torch.enable_grad():
        if model.head is None:
            features = model.backbone.forward_features(normalised).detach().requires_grad_()
            logit = model.backbone.forward_head(features)[0, label]
        else:
            *earlier, last = (stage.detach() for stage in model.stage_maps(normalised))
            features = last.requires_grad_()
            logit = model.head([*earlier, features])[0, label]
        (gradient,) = torch.autograd.grad(logit, features)
    maps, gradients = (_as_places(tensor.detach()[0], model) for tensor in (features, gradient))
    weighed = torch.relu((maps * gradients.mean(dim=(1, 2), keepdim=True)).sum(dim=0))
    largest = weighed.max()
    if not largest > 0:
        return None
    full = interpolate((weighed / largest)[None, None], size=image.shape[:2], mode="bilinear", align_corners=False)
    return full[0, 0].cpu().numpy()


def _as_places(features: torch.Tensor, model: Classifier) -> torch.Tensor:
    """Return (C, h, w) of the features of one image: tokens (N, C), channels first or channels last."""
    backbone = model.backbone
    if model.head is not None:
        # `stage_maps` puts channels first
        return features
    if features.ndim == 2:
        tokens = features[getattr(backbone, "num_prefix_tokens", 0) :]
        side = round(len(tokens) ** 0.5)
        return tokens.T.reshape(features.shape[1], side, side)
    # timm backbones state their number of channels; Swin-like models put channels last
    return features if features.shape[0] == backbone.num_features else features.permute(2, 0, 1)
