"""The kinds of drawn flowers. Kinds come in pairs that share colour and shape and differ in one fine trait."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

# OpenCV hue 0..180, saturation 0..255
COLOURS = {
    "red": (176, 215),
    "orange": (11, 225),
    "yellow": (25, 215),
    "violet": (140, 150),
    "blue": (116, 165),
    "white": (25, 25),
}
SHAPES = ("round", "pointed", "strap", "spoon", "wedge")
PETAL_COUNTS = (3, 5, 7)
# OpenCV hue, saturation, value
CENTRES = {"gold": (24, 220, 220), "dark": (12, 160, 70), "lime": (38, 170, 190)}

# what the second kind of a pair has and the first has not, in the order of the pairs
ONE_PETAL_MORE = "one petal more"
NOTCHED, VEINED, RING, SPURRED, DOTS, LARGE = "notched", "veined", "ring", "spurred", "dots", "large centre"
TRAITS = (ONE_PETAL_MORE, NOTCHED, VEINED, RING, SPURRED, DOTS, LARGE)


@dataclass(frozen=True)
class Species:
    """What all pictures of a class share; `centre_size` is a fraction of the flower's radius, `mark` a trait or ""."""

    shape: str
    petals: int
    colour: str
    centre: str
    centre_size: float
    mark: str = ""

    @property
    def name(self) -> str:
        described = f"{self.colour} with {self.petals} {self.shape} petals"
        return f"{described}, {self.mark}" if self.mark else described


def species_of(count: int, generator: np.random.Generator) -> list[Species]:
    """Return `count` different species, at most 180; the first and second, third and fourth, ... are pairs.

    The traits in which pairs differ take turns in the order of `TRAITS`. Colours, shapes and numbers of petals of the
    pairs are random, and no two pairs share colour and shape before all combinations have been used.
    """
    looks = list(product(SHAPES, COLOURS))
    first_counts = generator.integers(len(PETAL_COUNTS), size=len(looks))
    kinds: list[Species] = []
    for turn in range(len(PETAL_COUNTS)):
        for look in generator.permutation(len(looks)):
            petals = PETAL_COUNTS[(first_counts[look] + turn) % len(PETAL_COUNTS)]
            shape, colour = looks[look]
            kinds += _pair(shape, colour, petals, TRAITS[len(kinds) // 2 % len(TRAITS)], generator)
    return kinds[:count]


def _pair(shape: str, colour: str, petals: int, trait: str, generator: np.random.Generator) -> tuple[Species, Species]:
    centre, centre_size = str(generator.choice(list(CENTRES))), float(generator.uniform(0.16, 0.22))
    plain = Species(shape, petals, colour, centre, centre_size)
    if trait == ONE_PETAL_MORE:
        return plain, replace(plain, petals=plain.petals + 1)
    return plain, replace(plain, mark=trait)
