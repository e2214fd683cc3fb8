"""Where a network looks: class activation maps by gradients (Grad-CAM, Selvaraju et al. 2017, arXiv:1610.02391)."""

import numpy as np
import torch
from torch.nn.functional import interpolate

from models.classifier import Classifier


def attention_map(model: Classifier, image: np.ndarray, label: int) -> np.ndarray | None:
    """Return float32 (H, W) from 0 to 1: how much each place of `image`, uint8 RGB (H, W, 3), speaks for `label`.

    The map is the last feature map, weighed by the mean gradient of the class's logit. None where the class's logit
    does not depend on the places, as in a ViT that answers from its class token alone.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].to(model.mean.device)
    scale, shift = 1 / (255 * model.std), model.mean / model.std
    normalised = pixels.float() * scale[:, None, None] - shift[:, None, None]
    backbone = model.backbone
    with torch.enable_grad():
        features = backbone.forward_features(normalised).detach().requires_grad_()
        logit = backbone.forward_head(features)[0, label]
        (gradient,) = torch.autograd.grad(logit, features)
    maps, gradients = (_as_places(tensor.detach()[0], backbone) for tensor in (features, gradient))
    weighed = torch.relu((maps * gradients.mean(dim=(1, 2), keepdim=True)).sum(dim=0))
    largest = weighed.max()
    if not largest > 0:
        return None
    full = interpolate((weighed / largest)[None, None], size=image.shape[:2], mode="bilinear", align_corners=False)
    return full[0, 0].cpu().numpy()


def _as_places(features: torch.Tensor, backbone: torch.nn.Module) -> torch.Tensor:
    """Return (C, h, w) of one image's features: tokens (N, C), channels first or channels last."""
    if features.ndim == 2:
        tokens = features[getattr(backbone, "num_prefix_tokens", 0) :]
        side = round(len(tokens) ** 0.5)
        return tokens.T.reshape(features.shape[1], side, side)
    # timm's backbones name their channel count; Swin and its kin put it last
    return features if features.shape[0] == backbone.num_features else features.permute(2, 0, 1)
