"""A training step replayed on fake tensors, which have a shape and a dtype but no memory: what would it allocate?

The step computes as on CUDA: autocast casts as it does there, with the real cache of cast weights.
"""

import contextlib
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

# torch hands out memory of a GPU in blocks of this many bytes
_BLOCK = 512

# what autocast computes in float32 on CUDA, but not on a CPU; a test compares the list with torch's own
FLOAT32_ON_CUDA = (
    *("layer_norm", "native_layer_norm", "group_norm", "rms_norm"),
    *("softmax.int", "log_softmax.int", "logsumexp", "softplus"),
    *("sum", "sum.dim_IntList", "cumsum", "cumprod"),
    *("exp", "expm1", "log", "log10", "log1p", "log2", "reciprocal", "rsqrt"),
    *("pow.Scalar", "pow.Tensor_Scalar", "pow.Tensor_Tensor"),
    *("acos", "asin", "cosh", "sinh", "tan", "erfinv"),
    *("linalg_vector_norm", "linalg_matrix_norm", "linalg_matrix_norm.str_ord"),
    *("norm.Scalar", "norm.ScalarOpt_dim", "frobenius_norm.dim", "nuclear_norm", "nuclear_norm.dim"),
    *("cosine_similarity", "dist", "pdist", "renorm"),
    *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"),
    *("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d"),
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
)


class AllocatedBytes(TorchDispatchMode):
    """Counts the bytes of all tensors made while it is active: `now`, and the most at once since `restart`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def restart(self) -> None:
        """Forget the peak."""
        self.peak = self.now

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, torch.Tensor):
                self._count(result.untyped_storage())
        return results

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._sizes:
            return
        size = -(-storage.nbytes() // _BLOCK) * _BLOCK
        self._sizes[storage._cdata] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, storage._cdata)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


class _FusedAttention(TorchFunctionMode):
    """Attention keeps no matrix of weights even where its bias is trained, for which only CUDA has a kernel."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention and isinstance(kwargs.get("attn_mask"), torch.Tensor):
            kwargs = {**kwargs, "attn_mask": kwargs["attn_mask"].detach()}
        return func(*args, **kwargs)


@contextlib.contextmanager
def fake_step(dtype: torch.dtype | None, as_cuda: bool = True) -> Iterator[AllocatedBytes]:
    """Make tensors fake and count their bytes; with `as_cuda`, autocast to `dtype` works as on CUDA.

    Inside, use `torch.autocast("cpu", dtype)`: only fake tensors of a CPU can run backward where there is no GPU.
    """
    counter = AllocatedBytes()
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        _FusedAttention(),
        _autocast_of_cuda() if as_cuda and dtype is not None else contextlib.nullcontext(),
        counter,
    ):
        yield counter


@contextlib.contextmanager
def _autocast_of_cuda() -> Iterator[None]:
    """Give autocast on the CPU what it does on CUDA alone: some operations compute in float32."""
    library = torch.library.Library("aten", "IMPL")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in FLOAT32_ON_CUDA:
                operator = _operator(name)
                if operator is not None:
                    library.impl(name, _in_float32(operator), "AutocastCPU")
        yield
    finally:
        library._destroy()


def _operator(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)


def _in_float32(operator: Any) -> Callable[..., Any]:
    takes_dtype = any(argument.name == "dtype" for argument in operator._schema.arguments)

    def compute(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            if not takes_dtype:
                args, kwargs = tree_map(_as_float32, (args, kwargs))
            elif kwargs.get("dtype") is None and args[0].is_floating_point():
                kwargs["dtype"] = torch.float32
            return operator(*args, **kwargs)

    return compute


def _as_float32(value: Any) -> Any:
    is_16_bit = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if is_16_bit else value


def materialise(model: nn.Module, device: str = "cpu") -> None:
    """Replace the meta tensors of `model` by empty ones on `device`, kernels in channels_last memory.

    `Module.to_empty` cannot do this with fake tensors.
    """
    # parameters among the parameters, which a type cannot say
    made: dict[int, Any] = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    made.setdefault(id(tensor), _empty_like(tensor, device))
                    tensors[name] = made[id(tensor)]


def _empty_like(tensor: torch.Tensor, device: str) -> torch.Tensor:
    layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device=device, memory_format=layout)
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
