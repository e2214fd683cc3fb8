"""What a shortlist is asked for, checked before anything is measured. Imports nothing heavy."""

import math
from collections.abc import Sequence

from common.errors import InputError, check_choice
from configs.compose import listed, parse_override
from configs.options import named_models

# what each option says of itself
_OF_THE_OPTION = ("model", "model.name", "model.architecture", "model.weights")


def check_words(words: Sequence[str], options: Sequence[str] | None, images: int, seconds_per_model: float) -> None:
    """Raise InputError for numbers, overrides or options of `model=` that a shortlist does not take."""
    if images < 1:
        raise InputError(f"{images} images: expected at least 1.")
    if not (math.isfinite(seconds_per_model) and seconds_per_model > 0):
        raise InputError(f"{seconds_per_model:g} seconds per model: expected more than 0.")
    for text in listed(words):
        key = parse_override(text).key_or_group
        if key in _OF_THE_OPTION:
            raise InputError(f"{text}: a shortlist compares options of model=, each with its own {key}. Leave it out.")
    if options is not None and not options:
        raise InputError("The list of models is empty; name at least one.")
    for option in options or ():
        check_choice(f"model={option}", option, named_models())
