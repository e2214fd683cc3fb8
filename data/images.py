"""Image files to pixels: every format and colour mode becomes uint8 RGB; damage is recovered or reported."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from data.decoders import Reduction, UnreadableImage, decode, jpeg_size, recover
from data.image_rescue import essence

Result = TypeVar("Result")

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".gif", ".webp",
    ".tif", ".tiff", ".avif", ".heic", ".heif",
)  # fmt: skip


class DecodedImage(NamedTuple):
    """Pixels uint8 RGB (height, width, 3); `recovered` means that the file is damaged and part may be missing."""

    pixels: np.ndarray
    recovered: bool


def read_image(path: Path, reduction: Reduction | None = None) -> DecodedImage:
    """Decode an image file. Raises UnreadableImage, and OSError if the file itself cannot be read."""
    # numpy reads paths that cv2.imread cannot open on Windows
    return decode_image(np.fromfile(path, dtype=np.uint8), str(path), reduction)


def attempt(work: Callable[[], Result]) -> tuple[Result | None, str]:
    """Return what `work` makes of one image, or None and why: whatever fails is the fault of that image alone."""
    try:
        return work(), ""
    except UnreadableImage as error:
        return None, error.reason
    except OSError as error:
        return None, error.strerror or str(error)
    except Exception as error:  # noqa: BLE001 - one odd image must not cost the answers for all others
        return None, " ".join(f"{type(error).__name__}: {error}".split())


def measure_image(data: np.ndarray, name: str) -> tuple[tuple[int, int], bool]:
    """Return (width, height) of the picture that `decode_image` gives, and whether it is `recovered`, but faster.

    Raises UnreadableImage where `decode_image` does.
    """
    with suppress(UnreadableImage):
        size = jpeg_size(data, name)
        if size is not None:
            return size, False
    pixels, recovered = decode_image(data, name)
    return (pixels.shape[1], pixels.shape[0]), recovered


def decode_image(data: np.ndarray, name: str, reduction: Reduction | None = None) -> DecodedImage:
    """Decode the bytes of a file, uint8 (N,), to its first frame or picture.

    EXIF orientation is applied, transparent pixels are laid over white, and 16 bits become 8. Where a PNG or JPEG file
    is refused, its essential parts are tried alone. A JPEG file is decoded smaller by `reduction`, if that is given.
    Raises UnreadableImage.
    """
    if len(data) == 0:
        raise UnreadableImage(name, "the file is empty")
    refusal = None
    try:
        pixels = decode(data, name, reduction)
        if pixels is not None:
            return DecodedImage(pixels, recovered=False)
    except UnreadableImage as error:
        refusal = error
    essential = essence(data.tobytes())
    if essential is None:
        if refusal is not None:
            raise refusal
        return DecodedImage(recover(data, name), recovered=True)
    data = np.frombuffer(essential.content, np.uint8)
    pixels = decode(data, name)
    if pixels is not None:
        return DecodedImage(pixels, essential.damaged)
    return DecodedImage(recover(data, name), recovered=True)
