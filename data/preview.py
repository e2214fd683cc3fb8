"""Contact sheets of augmented images."""

import functools
from pathlib import Path

import cv2
import numpy as np

from common.errors import InputError
from common.files import replacing
from common.randomness import Purpose, keyed_generator
from data.images import attempt, read_image
from data.table import ImageTable
from data.transforms import FinishingTransform, TrainTransform, eval_image


def contact_sheet(
    table: ImageTable,
    transform: TrainTransform | FinishingTransform,
    images: int,
    epochs: int,
    tile: int,
    seed: int,
    fit: str = "crop",
) -> np.ndarray:
    """Return uint8 RGB (images * tile, (1 + epochs) * tile, 3): each row an image, then its copies in each epoch.

    `fit` is how evaluation shows the image (see `eval_image`).
    """
    order = keyed_generator(seed, Purpose.ORDER).permutation(len(table.image_ids))
    rows, problem = [], ""

    def row_of(index: int) -> np.ndarray:
        pixels = read_image(table.image_dir / table.image_ids[index]).pixels
        views = [pixels] + [transform(pixels, epoch, index) for epoch in range(epochs)]
        return np.concatenate([eval_image(view, tile, fit=fit) for view in views], axis=1)

    for index in order:
        if len(rows) == images:
            break
        row, problem = attempt(functools.partial(row_of, int(index)))
        if row is None:
            print(f"warning: {table.image_ids[index]}: {problem}; left out", flush=True)
        else:
            rows.append(row)
    if not rows:
        raise InputError(f"{table.image_dir}: no image of the table could be shown, the last because: {problem}.")
    return np.concatenate(rows, axis=0)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 RGB pixels as a PNG, whole or not at all."""
    encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
