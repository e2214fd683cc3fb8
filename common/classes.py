"""A class of a data set: its label, the organisers' id, its name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageClass:
    """A class: the model's label 0..C-1, the organisers' id, and a name to show."""

    label: int
    category_id: str
    name: str
