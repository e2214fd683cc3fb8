"""Classes of a data set, and matching the classes of two sources by category id."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageClass:
    """A class: the model's label 0..C-1, the organisers' id, and a name to show."""

    label: int
    category_id: str
    name: str


def positions_of(category_ids: Sequence[str], available: Sequence[str]) -> list[int | None]:
    """Return the position of each category id in `available`, or None for one that is not there."""
    position = {category_id: place for place, category_id in enumerate(available)}
    return [position.get(category_id) for category_id in category_ids]


def labels_in(other: Sequence[ImageClass], classes: Sequence[ImageClass]) -> list[int | None]:
    """Return the label that `other` gives to each of `classes`, in their order; None for a class that it lacks.

    Both are sorted by label. Classes are the same if their category ids are.
    """
    return positions_of([entry.category_id for entry in classes], [entry.category_id for entry in other])


def reordering(other: Sequence[ImageClass], classes: Sequence[ImageClass]) -> list[int] | None:
    """Return `labels_in` if both have exactly the same classes, else None."""
    labels = labels_in(other, classes)
    if None in labels or len(other) != len(classes):
        return None
    return [label for label in labels if label is not None]
