"""Memory estimate: what training a model takes, computed on torch's meta device, which has only shapes."""

from dataclasses import dataclass

import torch

from configs.input_sizes import final_size
from configs.schema import Config
from models.classifier import Classifier, build_classifier
from models.losses import get_loss_function
from training.freezing import set_trainable


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes: `fixed` for weights, gradients, optimizer and EMA; `per_image` for what the backward pass keeps."""

    weights: int
    gradients: int
    optimizer: int
    averages: int
    per_image: int

    @property
    def fixed(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.averages

    def total(self, batch_size: int) -> int:
        """Return the bytes at a batch size."""
        return self.fixed + batch_size * self.per_image

    def largest_batch(self, bytes_of_device: float) -> int:
        """Return how many images fit, 0 if none does."""
        return max(0, int((bytes_of_device - self.fixed) // self.per_image))


def training_memory(config: Config, num_classes: int, dtype: torch.dtype | None = None) -> TrainingMemory:
    """Return the memory for training the model of `config`; `dtype` is that of mixed precision, None for float32.

    Only tensors are counted. With `dtype`, everything that the backward pass keeps counts at its size, although
    autocast leaves some operations in float32. Workspaces of convolutions, fragmentation and the CUDA context come on
    top.
    """
    with torch.device("meta"):
        model = build_classifier(
            config.model.architecture,
            num_classes,
            config.model.input_size,
            drop_rate=config.model.drop_rate,
            drop_path_rate=config.model.drop_path_rate,
            grad_checkpointing=config.model.grad_checkpointing,
        )
    set_trainable(model, config)
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    optimizer = trained * (2 if config.training.optimizer == "adamw" else 1)
    if dtype is not None:
        model = model.to(dtype)
    # the difference of two batch sizes, because a part of the memory does not grow with the batch
    two, three = (saved_bytes(model, config, batch_size, num_classes) for batch_size in (2, 3))
    return TrainingMemory(
        weights=weights,
        gradients=trained,
        optimizer=optimizer,
        averages=0 if config.training.ema_decay is None else weights,
        per_image=three - two,
    )


def saved_bytes(model: Classifier, config: Config, batch_size: int, num_classes: int) -> int:
    """Return the bytes of the distinct tensors, without weights, that a forward pass keeps for the backward pass."""
    own = {tensor.untyped_storage()._cdata for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, torch.Tensor] = {}

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in own:
            # keep the tensor alive, because another one could get its address
            kept[storage] = tensor
        return tensor

    size = max(config.model.input_size, final_size(config))
    dtype = next(model.parameters()).dtype
    images = torch.empty((batch_size, 3, size, size), dtype=dtype, device="meta")
    labels = torch.empty(batch_size, dtype=torch.int64, device="meta")
    loss_function = get_loss_function(config.training, [1] * num_classes).to("meta")
    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        loss_function(model.backbone(images), labels)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
