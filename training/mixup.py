"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) for batches of any size.

Label smoothing is not applied here: the losses in `models.losses` do it, once.
"""

import numpy as np
import torch

from common.device import moved
from configs.epochs import epoch_count
from configs.schema import TrainingConfig


def mixes(config: TrainingConfig, epoch: int) -> bool:
    """Say whether batches of `epoch` (from 0) are mixed: an alpha is set, and the last epochs have not begun."""
    unmixed = max(config.mix_off_epochs, config.final_epochs)
    return (config.mixup_alpha > 0 or config.cutmix_alpha > 0) and epoch < epoch_count(config) - unmixed


def mix_batch(
    images: torch.Tensor, targets: torch.Tensor, config: TrainingConfig, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each image with another one of its batch.

    `images` are uint8 (N, 3, H, W); `targets` are float32 (N, K), and each column is mixed. Returns images (float32
    0..255 from mixup, uint8 from cutmix) and targets float32 (N, K). With both alphas set, one of the two is drawn for
    the batch.
    """
    use_cutmix = config.cutmix_alpha > 0 and (config.mixup_alpha == 0 or generator.random() < 0.5)
    alpha = config.cutmix_alpha if use_cutmix else config.mixup_alpha
    kept = float(generator.beta(alpha, alpha))
    partners = moved(torch.from_numpy(generator.permutation(len(images))), images.device)
    if use_cutmix:
        top, bottom, left, right = _box(images.shape[2], images.shape[3], 1 - kept, generator)
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images[partners, :, top:bottom, left:right]
        kept = 1 - (bottom - top) * (right - left) / (images.shape[2] * images.shape[3])
    else:
        pixels = images.float()
        mixed = pixels.lerp(pixels[partners], 1 - kept)
    return mixed, targets.lerp(targets[partners], 1 - kept)


def _box(height: int, width: int, share: float, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw a box of about `share` of the area; its centre is anywhere, and it is cut at the edges."""
    half_height, half_width = height * share**0.5 / 2, width * share**0.5 / 2
    y, x = generator.uniform(0, height), generator.uniform(0, width)
    top, bottom = max(round(y - half_height), 0), min(round(y + half_height), height)
    left, right = max(round(x - half_width), 0), min(round(x + half_width), width)
    return top, bottom, left, right
