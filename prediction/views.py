"""Test-time augmentation (TTA): several views of each image, averaged to one prediction."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

# fraction of the side that each of the five crops keeps, as in Krizhevsky et al. 2012 (224 of 256 pixels)
CROP = 0.875


def warp(images: torch.Tensor, degrees: float = 0.0, zoom: float = 1.0, x: float = 0.0, y: float = 0.0) -> torch.Tensor:
    """Rotate uint8 images (N, 3, H, W) counter-clockwise and enlarge them about the centre; bilinear, mirrored.

    `x` and `y`, from -1 to 1, move the part that is cut from an enlarged image to the right and down. Computed in
    float32 under mixed precision too.
    """
    height, width = images.shape[-2:]
    cosine, sine = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    rest = 1 - 1 / zoom
    # no matrix product: mixed precision and TF32 would round it, and move places by up to a pixel
    across, down = centres(width, images.device), centres(height, images.device)[:, None]
    columns = across * cosine - down * (sine * height / width) + x * rest
    rows = across * (sine * width / height) + down * cosine + y * rest
    grid = torch.stack([columns, rows], dim=-1).expand(len(images), height, width, 2)
    warped = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return warped.round().clamp(0, 255).to(torch.uint8)


def centres(count: int, device: torch.device) -> torch.Tensor:
    """Return the middle of each of `count` pixels in a row from -1 to 1, float32 (count,)."""
    return (2 * torch.arange(count, device=device) + 1) / count - 1


def brighten(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Multiply uint8 images (N, 3, H, W)."""
    return (images.float() * factor).round().clamp(0, 255).to(torch.uint8)


# uint8 (N, 3, H, W) -> uint8 (N, 3, H, W), on the device of the images
VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "identity": lambda images: images,
    "hflip": lambda images: images.flip(-1),
    "vflip": lambda images: images.flip(-2),
    "hvflip": lambda images: images.flip(-1, -2),
    "rotate+5": lambda images: warp(images, degrees=5),
    "rotate-5": lambda images: warp(images, degrees=-5),
    "brightness+10": lambda images: brighten(images, 1.1),
    "brightness-10": lambda images: brighten(images, 0.9),
    "scale1.1": lambda images: warp(images, zoom=1.1),
    "crop_centre": lambda images: warp(images, zoom=1 / CROP),
    "crop_top_left": lambda images: warp(images, zoom=1 / CROP, x=-1, y=-1),
    "crop_top_right": lambda images: warp(images, zoom=1 / CROP, x=1, y=-1),
    "crop_bottom_left": lambda images: warp(images, zoom=1 / CROP, x=-1, y=1),
    "crop_bottom_right": lambda images: warp(images, zoom=1 / CROP, x=1, y=1),
    "pad": lambda images: images,
    "stretch": lambda images: images,
}

# views of the whole picture, each made of a square of its own (see `eval_image`)
WHOLE = ("pad", "stretch")


def squares_of(views: Sequence[str], fit: str) -> tuple[str, ...]:
    """Return the fits of the squares that `views` are made of; `fit` is that of the checkpoint."""
    return tuple(dict.fromkeys(view if view in WHOLE else fit for view in views))


class ViewAverage(nn.Module):
    """A classifier that computes all views of a batch in one forward pass and averages over them.

    `squares` are the fits of the squares that an image consists of; `fit` is the one that most views are made of.
    """

    def __init__(self, classifier: nn.Module, views: Sequence[str], average: str, fit: str = "crop") -> None:
        super().__init__()
        self.classifier = classifier
        self.views = views
        self.average = average
        self.fit = fit
        self.squares = squares_of(views, fit)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 (N, C) whose softmax is the averaged prediction of images uint8 (N, 3, K * H, W).

        Each image is its K squares, one below the other, as `EvalTransform` gives them.

        Where the classifier's logits of a view are not finite, all numbers of that image are NaN: an average could hide
        it.
        """
        square = dict(zip(self.squares, images.chunk(len(self.squares), dim=-2), strict=True))
        batch = torch.cat([VIEWS[name](square[name if name in WHOLE else self.fit]) for name in self.views])
        logits = self.classifier(batch).float()
        logits = logits.masked_fill(~logits.isfinite().all(dim=-1, keepdim=True), torch.nan)
        logits = logits.view(len(self.views), len(images), -1)
        if self.average == "logits" or len(self.views) == 1:
            return logits.mean(dim=0)
        # the logarithm of the mean probability, which is finite also where float32 has no number for the probability
        return logits.log_softmax(dim=-1).logsumexp(dim=0) - math.log(len(self.views))
