"""The number of epochs of a run, which may be a fraction: the last epoch is then a part of one."""

import math

from configs.schema import Config, TrainingConfig


def epoch_count(training: TrainingConfig) -> int:
    """Return how many epochs a run begins, the last, shorter one included."""
    return math.ceil(training.epochs)


def is_final(config: Config, epoch: int) -> bool:
    """Say whether `epoch`, counted from 0, is one of the last `training.final_epochs`."""
    return epoch >= first_final_epoch(config.training)


def first_final_epoch(training: TrainingConfig) -> int:
    """Return the first of the last `training.final_epochs`, counted from 0."""
    return epoch_count(training) - training.final_epochs


def steps_of(epochs: float, steps_per_epoch: int) -> int:
    """Return the optimizer steps of `epochs`; a last part of an epoch has at least one."""
    whole, part = divmod(epochs, 1)
    return int(whole) * steps_per_epoch + (max(round(part * steps_per_epoch), 1) if part else 0)
