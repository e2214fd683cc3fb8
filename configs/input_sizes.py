"""Input sizes in pixels: of each training epoch, of evaluation and of the shipped model."""

from configs.epochs import is_final
from configs.schema import Config


def training_size(config: Config, epoch: int) -> int:
    """Return the size of training images in `epoch`, counted from 0."""
    return final_size(config) if is_final(config, epoch) else config.model.input_size


def final_size(config: Config) -> int:
    """Return the size of training images in the last epoch; what is still `auto` counts as no other size."""
    size = config.training.final_input_size
    return size if config.training.final_epochs > 0 and isinstance(size, int) else config.model.input_size


def eval_size(config: Config) -> int:
    """Return the size of validation and of the shipped model."""
    return config.model.eval_input_size or final_size(config)
