"""The classifier: a timm backbone that takes raw pixels. Normalisation is its first layer.

So preprocessing is stored with the weights and cannot differ between training, inference and the judges.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import PretrainedCfg
from torch import nn

from common.errors import InputError, did_you_mean
from configs.schema import ModelConfig

ModelType = TypeVar("ModelType", bound=nn.Module)

# how far from a refused input size accepted ones are searched, in pixels
_SIZE_SEARCH = 64


class Classifier(nn.Module):
    """Normalisation and backbone; `mean` and `std` (3,) are of pixels scaled to 0..1."""

    # timm's models have attributes of their own, which torch's types do not know
    backbone: Any
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C) of images (N, 3, H, W), uint8 or float, with values 0..255."""
        scale, shift = 1 / (255 * self.std), self.mean / self.std
        return self.backbone(images.float() * scale[:, None, None] - shift[:, None, None])


class HeadLinear(nn.Linear):
    """The last linear layer: float32 also where the rest of a model computes in 16 bits.

    Those would round the logits, and tip labels whose two best classes are close.
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


def _autocast_is_on(device_type: str) -> bool:
    # the meta device, which computes shapes alone, has none
    return device_type != "meta" and torch.is_autocast_enabled(device_type)


def build_classifier(
    architecture: str,
    num_classes: int,
    input_size: int,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    grad_checkpointing: bool = False,
) -> Classifier:
    """Return a randomly initialised classifier.

    Raises InputError, with the config key, for an unknown architecture, an input size that it does not take, and an
    option that it does not have.
    """
    _check_input_size(architecture, input_size)
    backbone = _create(architecture, num_classes, input_size, drop_rate, drop_path_rate)
    if grad_checkpointing:
        _enable_grad_checkpointing(backbone, architecture)
    _keep_heads_exact(backbone)
    normalisation = resolve_model_data_config(backbone)
    return Classifier(backbone, normalisation["mean"], normalisation["std"])


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


def meta_classifier(architecture: str, num_classes: int, input_size: int) -> Classifier:
    """Return the classifier on torch's meta device, which has shapes but takes no memory."""
    with torch.device("meta"):
        return build_classifier(architecture, num_classes, input_size)


def pretrained_config(architecture: str) -> PretrainedCfg:
    """Return timm's description of a model: sizes, normalisation, weights, licence."""
    found = timm.get_pretrained_cfg(architecture)
    if found is None:
        raise InputError(f"model.architecture={architecture}: timm has no such model.")
    return found


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


def _takes_img_size(architecture: str) -> bool:
    """Say whether the model is built for one image size (position tables, windows) and needs `img_size`."""
    if not timm.is_model(architecture):
        known = timm.list_models() + timm.list_pretrained()
        raise InputError(
            f"model.architecture={architecture}: timm {timm.__version__} has no such model."
            f"{did_you_mean(architecture, known)}"
        )
    return bool(pretrained_config(architecture).fixed_input_size)


def _check_input_size(architecture: str, input_size: int) -> None:
    if _accepts(architecture, input_size):
        return
    below = (size for size in range(input_size - 1, max(input_size - _SIZE_SEARCH, 15), -1))
    above = range(input_size + 1, input_size + _SIZE_SEARCH)
    nearest = [next((size for size in sizes if _accepts(architecture, size)), None) for sizes in (below, above)]
    accepted = " or ".join(str(size) for size in nearest if size) or "another size"
    raise InputError(f"model.input_size={input_size}: {architecture} does not take it. The nearest is {accepted}.")


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
