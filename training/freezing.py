"""Freezing: which parts of a model are trained: all, the classifier alone, or all above the first layers."""

from torch import nn

from configs.schema import Config
from models.classifier import Classifier
from models.layers import head_parameter_names, layer_of_parameter


def set_trainable(model: Classifier, config: Config, head_only: bool = False) -> None:
    """Put the model in training mode; only the parts that the config does not freeze get gradients.

    `head_only` trains the classifier alone. `freeze_batchnorm` and `freeze_layers` keep pretrained values, so they have
    no effect on a model with random weights. BatchNorm statistics stay fixed in frozen layers, and in all layers under
    `freeze_batchnorm` and `head_only`.
    """
    training, pretrained = config.training, config.model.pretrained
    frozen = frozen_parameter_names(model, training.freeze_layers) if pretrained else set()
    if head_only:
        frozen = {name for name, _ in model.named_parameters()} - head_parameter_names(model)
    model.train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    keeps_all = head_only or (training.freeze_batchnorm and pretrained)
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (keeps_all or f"{name}.weight" in frozen):
            module.eval()


def frozen_parameter_names(model: Classifier, share: float) -> set[str]:
    """Return the names (as in `model.named_parameters()`) of the first `share` of the layers of the backbone.

    The head, the deepest layer, is never frozen.
    """
    layers = layer_of_parameter(model)
    first_trained = round(share * max(layers.values()))
    return {name for name, layer in layers.items() if layer < first_trained}
