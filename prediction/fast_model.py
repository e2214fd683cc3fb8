"""A classifier as CUDA computes it fastest: BatchNorm folded into convolutions, 16-bit weights, recorded graphs."""

import copy
from collections import Counter
from typing import Any

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from timm.layers import Linear as TimmLinear
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from common.device import Precision
from common.errors import RunError, print_warning
from common.memory import is_out_of_memory
from models.classifier import Classifier, on_device
from prediction.cuda_graph import GraphedModel
from prediction.forward import TOO_LARGE_FOR_DEVICE

# exact classes: one that derives from them may use its weights in another way
_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
_NORMS = (nn.BatchNorm2d, BatchNormAct2d)
# autocast computes these in 16 bits; the last layer is a class of its own
_IN_16_BITS = (*_CONVOLUTIONS, nn.Linear, TimmLinear)

# the largest change of a logit by folding, as a share of the largest logit: a wrong fold changes far more
_FOLDING_TOLERANCE = 1e-3


class FastClassifier(Classifier):
    """A classifier that answers by a copy of itself, prepared for one device, under the autocast of one precision.

    Without autocast it computes in float32, and itself; its weights stay in the machine's memory until then. New ones
    may be loaded.
    """

    def __init__(self, plain: Classifier, precision: Precision, example: torch.Tensor) -> None:
        super().__init__(plain.backbone, tuple(plain.mean.tolist()), tuple(plain.std.tolist()), plain.head)
        self._precision, self._example = precision, example
        self._prepare()
        self.register_load_state_dict_post_hook(lambda _module, _keys: self._prepare())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C) of images uint8 (N, 3, H, W)."""
        if self._precision.dtype is None or torch.is_autocast_enabled(images.device.type):
            return self._fast[0](images)
        # weights moved in inference mode could not be loaded anew
        with torch.inference_mode(False):
            on_device(self, self._example.device)
        return super().forward(images)

    def forget_graphs(self) -> None:
        """Give the memory of recorded graphs back, and record no more."""
        self._fast[0].forget_graphs()

    def _prepare(self) -> None:
        plain = Classifier(self.backbone, tuple(self.mean.tolist()), tuple(self.std.tolist()), self.head)
        on_device(plain, self._example.device)
        # in a tuple: its parameters are no further ones of this module
        self._fast = (GraphedModel(fast_copy(plain, self._precision, self._example)).eval(),)
        self.eval().cpu()


def prepared(plain: Classifier, device: torch.device, precision: Precision, input_size: int) -> nn.Module:
    """Return a classifier in evaluation mode as it predicts on `device`: on CUDA a fast one, warmed up.

    Raises RunError if it does not fit in the memory of `device`.
    """
    if device.type != "cuda":
        return on_device(plain, device)
    generator = torch.Generator().manual_seed(0)
    example = torch.randint(0, 256, (1, 3, input_size, input_size), dtype=torch.uint8, generator=generator)
    try:
        return FastClassifier(plain, precision, example.to(device))
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise RunError(TOO_LARGE_FOR_DEVICE) from error
        raise


@torch.no_grad()
def fast_copy(plain: Classifier, precision: Precision, example: torch.Tensor) -> Classifier:
    """Return a copy with folded BatchNorm and weights in `precision`; each step is left out where it does not work.

    `example` uint8 (1, 3, S, S) is what tries them.
    """
    fast = copy.deepcopy(plain)
    fold_batchnorm(fast, example)
    expected, found = plain(example), fast(example)
    if not (found - expected).abs().max() <= _FOLDING_TOLERANCE * expected.abs().max():
        fast = copy.deepcopy(plain)
    # autocast would keep casts of what requires a gradient, but only until it ends: a graph must not use them
    fast.requires_grad_(False)
    if precision.dtype is None:
        return fast
    halved = copy.deepcopy(fast)
    halve_weights(halved, precision.dtype)
    return halved if _runs(halved, precision, example) else fast


def fold_batchnorm(model: nn.Module, example: torch.Tensor) -> int:
    """Fold each BatchNorm whose input is the output of a convolution into it; return how many there were."""
    pairs = _convolutions_before_norms(model, example)
    for conv_name, norm_name in pairs:
        conv: Any = model.get_submodule(conv_name)
        norm: Any = model.get_submodule(norm_name)
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        model.set_submodule(norm_name, getattr(norm, "act", nn.Identity()))
    return len(pairs)


def halve_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Convert the weights that autocast would convert at every call; norms and the last layer stay in float32."""
    for module in model.modules():
        if type(module) in _IN_16_BITS:
            module.to(dtype)


def _convolutions_before_norms(model: nn.Module, example: torch.Tensor) -> list[tuple[str, str]]:
    """Return the names of convolutions and of the norms that get exactly their output, found by a forward pass."""
    calls: Counter[str] = Counter()
    pairs: list[tuple[str, str]] = []

    def mark(name: str, output: torch.Tensor) -> None:
        calls[name] += 1
        # the version tells whether it was changed in place since
        setattr(output, "made_by", (name, output._version))  # noqa: B010

    def note(name: str, given: torch.Tensor) -> None:
        calls[name] += 1
        made_by, version = getattr(given, "made_by", ("", 0))
        if made_by and given._version == version:
            pairs.append((made_by, name))

    hooks = []
    for name, module in model.named_modules():
        if type(module) in _CONVOLUTIONS:
            hooks.append(module.register_forward_hook(lambda _m, _i, output, name=name: mark(name, output)))
        elif type(module) in _NORMS and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(lambda _m, inputs, name=name: note(name, inputs[0])))
    try:
        model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return [(conv, norm) for conv, norm in pairs if calls[conv] == calls[norm] == 1]


def _runs(model: nn.Module, precision: Precision, example: torch.Tensor) -> bool:
    """Say whether the model computes the example, which also warms it up."""
    try:
        with precision.context():
            model(example)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
    else:
        return True
    print_warning(f"the weights stay in float32, which takes longer for single images: {reason}")
    return False
