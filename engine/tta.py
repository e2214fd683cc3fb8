"""Test-time augmentation: several views of each image, answered together by one averaged prediction."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from configs.errors import InputError, did_you_mean

# uint8 (N, 3, H, W) -> uint8 (N, 3, H, W), on the device of the images
VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "identity": lambda images: images,
    "hflip": lambda images: images.flip(-1),
}
PLAIN = ("identity",)
AVERAGES = ("probabilities", "logits")


def parse_views(text: str | None) -> tuple[str, ...]:
    """Return the views that `--tta` names, as in `identity,hflip`; None, for no `--tta`, is the image itself."""
    if text is None:
        return PLAIN
    views = tuple(name.strip() for name in text.split(","))
    for name in views:
        if name not in VIEWS:
            raise InputError(f"--tta {text}: no view {name!r}.{did_you_mean(name, VIEWS)} Views: {', '.join(VIEWS)}.")
    if len(set(views)) < len(views):
        raise InputError(f"--tta {text}: a view stands in it twice.")
    return views


class ViewAverage(nn.Module):
    """A classifier that sees all views of a batch in one forward pass and averages its answers over them."""

    def __init__(self, classifier: nn.Module, views: Sequence[str], average: str) -> None:
        super().__init__()
        self.classifier = classifier
        self.views = views
        self.average = average

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (N, C), float32, of which the softmax is the averaged prediction of images uint8 (N, 3, H, W)."""
        batch = torch.cat([VIEWS[name](images) for name in self.views])
        logits = self.classifier(batch).float().view(len(self.views), len(images), -1)
        if self.average == "logits" or len(self.views) == 1:
            return logits.mean(dim=0)
        return logits.softmax(dim=-1).mean(dim=0).log()
