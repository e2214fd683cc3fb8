"""The classifier: a timm backbone that takes raw pixels, and a head. Normalisation is its first layer.

So preprocessing is stored with the weights and cannot differ between training, inference and the judges.
"""

import functools
from collections.abc import Iterable
from typing import Any, TypeVar

import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from common.errors import InputError
from configs.schema import ModelConfig
from configs.timm_models import pretrained_config
from models.heads import HeadLinear, StageHead, stages_of

ModelType = TypeVar("ModelType", bound=nn.Module)

# how far from a refused input size accepted ones are searched, in pixels
_SIZE_SEARCH = 64


class Classifier(nn.Module):
    """Normalisation, backbone and head; `mean` and `std` (3,) are of pixels scaled to 0..1.

    Without a `head` the backbone gives the logits; with one it has no layers after its last stage.
    """

    # timm's models have attributes of their own, which torch's types do not know
    backbone: Any
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        backbone: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        head: StageHead | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C) of images (N, 3, H, W), uint8 or float, with values 0..255."""
        pixels = self.normalised(images)
        return self.backbone(pixels) if self.head is None else self.head(self.stage_maps(pixels))

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Return float32 (N, 3, H, W) of images with values 0..255, as the backbone takes them."""
        scale, shift = 1 / (255 * self.std), self.mean / self.std
        return images.float() * scale[:, None, None] - shift[:, None, None]

    def stage_maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return the map (N, channels, H, W) of each stage that the head reads, of normalised pixels (N, 3, H, W)."""
        assert self.head is not None
        return self.backbone.forward_intermediates(pixels, indices=self.head.stages, intermediates_only=True)


def build_classifier(
    architecture: str,
    num_classes: int,
    input_size: int,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    grad_checkpointing: bool = False,
    head: str = "pooled",
) -> Classifier:
    """Return a randomly initialised classifier.

    `head` is one of `configs.options.HEADS`. Raises InputError, with the config key, for an unknown architecture, an
    input size that it does not take, and an option or a head that it does not have.
    """
    _check_input_size(architecture, input_size)
    backbone = _create(architecture, num_classes if head == "pooled" else 0, input_size, drop_rate, drop_path_rate)
    if grad_checkpointing:
        _enable_grad_checkpointing(backbone, architecture)
    normalisation = resolve_model_data_config(backbone)
    stage_head = None
    if head == "pooled":
        _keep_heads_exact(backbone)
    else:
        stage_head = _stage_head(backbone, architecture, head, num_classes, drop_rate)
    return Classifier(backbone, normalisation["mean"], normalisation["std"], stage_head)


def classifier_of(config: ModelConfig, num_classes: int, grad_checkpointing: bool | None = None) -> Classifier:
    """Return the randomly initialised classifier of a config; `grad_checkpointing` takes the place of its key.

    Where that is `auto` and not decided yet, checkpointing is off. Raises InputError like `build_classifier`.
    """
    wanted = config.grad_checkpointing if grad_checkpointing is None else grad_checkpointing
    return build_classifier(
        config.architecture,
        num_classes,
        config.input_size,
        drop_rate=config.drop_rate,
        drop_path_rate=config.drop_path_rate,
        grad_checkpointing=wanted is True,
        head=config.head,
    )


def on_device(model: ModelType, device: torch.device) -> ModelType:
    """Move `model` to `device` in channels_last memory, the faster layout of convolutions, and return it."""
    return model.to(device).to(memory_format=torch.channels_last)


def check_sizes(architecture: str, input_size: int, others: Iterable[int]) -> None:
    """Raise InputError if a model built for `input_size` does not take images of the sizes `others`."""
    for size in others:
        if size != input_size and _takes_img_size(architecture):
            raise InputError(
                f"{architecture} is built for one size: training.final_input_size and model.eval_input_size must be "
                f"null, or model.input_size={input_size}."
            )
        _check_input_size(architecture, size)


def meta_classifier(architecture: str, num_classes: int, input_size: int, head: str = "pooled") -> Classifier:
    """Return the classifier on torch's meta device, which has shapes but takes no memory."""
    with torch.device("meta"):
        return build_classifier(architecture, num_classes, input_size, head=head)


def parameter_count(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def size_in_bytes(model: nn.Module, bytes_per_value: int = 4) -> int:
    """Return the bytes of the floating-point tensors, stored with `bytes_per_value` each."""
    tensors = model.state_dict().values()
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point()) * bytes_per_value


def _create(
    architecture: str, num_classes: int, input_size: int, drop_rate: float = 0.0, drop_path_rate: float = 0.0
) -> Any:
    options: dict[str, Any] = {"num_classes": num_classes}
    if _takes_img_size(architecture):
        options["img_size"] = input_size
    if drop_rate:
        options["drop_rate"] = drop_rate
    if drop_path_rate:
        options["drop_path_rate"] = drop_path_rate
    try:
        return timm.create_model(architecture, pretrained=False, **options)
    except TypeError as error:
        for name in ("drop_path_rate", "drop_rate"):
            if f"'{name}'" in str(error):
                raise InputError(f"model.{name}: {architecture} has no such option. Set it to 0.") from error
        raise


def _keep_heads_exact(backbone: Any) -> None:
    names, modules = backbone.pretrained_cfg["classifier"], dict(backbone.named_modules())
    for name in (names,) if isinstance(names, str) else names:
        if type(modules.get(name)) in (nn.Linear, timm.layers.Linear):
            backbone.set_submodule(name, HeadLinear.of(modules[name]))


def _stage_head(backbone: Any, architecture: str, kind: str, num_classes: int, drop_rate: float) -> StageHead:
    """Return the head, and take the layers that it does not read out of the backbone."""
    if not all(hasattr(backbone, name) for name in ("feature_info", "forward_intermediates")):
        raise InputError(f"model.head={kind}: timm gives no maps of the stages of {architecture}. Set it to pooled.")
    stages = stages_of(len(backbone.feature_info), kind)
    channels = [backbone.feature_info[stage]["num_chs"] for stage in stages]
    backbone.prune_intermediate_layers(stages, prune_norm=True, prune_head=True)
    return StageHead(kind, stages, channels, num_classes, drop_rate)


def _takes_img_size(architecture: str) -> bool:
    """Say whether the model is built for one image size (position tables, windows) and needs `img_size`."""
    return bool(pretrained_config(architecture).fixed_input_size)


def _check_input_size(architecture: str, input_size: int) -> None:
    if _accepts(architecture, input_size):
        return
    below = (size for size in range(input_size - 1, max(input_size - _SIZE_SEARCH, 15), -1))
    above = range(input_size + 1, input_size + _SIZE_SEARCH)
    nearest = [next((size for size in sizes if _accepts(architecture, size)), None) for sizes in (below, above)]
    accepted = " or ".join(str(size) for size in nearest if size) or "another size"
    raise InputError(f"model.input_size={input_size}: {architecture} does not take it. The nearest is {accepted}.")


@functools.cache
def _accepts(architecture: str, input_size: int) -> bool:
    """Say whether a forward pass works on the meta device, which computes shapes only."""
    try:
        with torch.device("meta"), torch.no_grad():
            model = _create(architecture, 2, input_size).eval()
            if input_size % _patch_size(model):
                return False
            model(torch.empty(1, 3, input_size, input_size))
    except (AssertionError, RuntimeError):
        return False
    return True


def _patch_size(model: Any) -> int:
    """Return the side of the patches of a ViT; other sizes than its multiples would lose pixels silently."""
    patch_embed = getattr(model, "patch_embed", None)
    dynamic_pad = getattr(patch_embed, "dynamic_img_pad", False)
    size = getattr(patch_embed, "patch_size", 1)
    return 1 if dynamic_pad else int(size[0] if isinstance(size, tuple) else size)


def _enable_grad_checkpointing(backbone: Any, architecture: str) -> None:
    try:
        backbone.set_grad_checkpointing(True)
    except (AssertionError, AttributeError) as error:
        raise InputError(f"model.grad_checkpointing: {architecture} does not support it. Set it to false.") from error
