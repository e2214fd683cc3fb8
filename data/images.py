"""Image files to pixels: every format and colour mode becomes uint8 RGB; damage is recovered or reported."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")

MAX_PIXELS = 178_000_000

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")

# what Pillow raises for damaged files, found by decoding many mutated ones
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

# damaged files are reported once, by path; the decoder would print one line per damaged block
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class UnreadableImage(Exception):
    """The file gives no pixels; `reason` says why in a few words."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple:
        return type(self), (self.path, self.reason)


class DecodedImage(NamedTuple):
    """Pixels uint8 RGB (height, width, 3); `recovered` means that the file is damaged and part may be missing."""

    pixels: np.ndarray
    recovered: bool


def read_image(path: Path) -> DecodedImage:
    """Decode an image file. Raises UnreadableImage, and OSError if the file itself cannot be read."""
    # numpy reads paths that cv2.imread cannot open on Windows
    return decode_image(np.fromfile(path, dtype=np.uint8), str(path))


def decode_image(data: np.ndarray, name: str) -> DecodedImage:
    """Decode the bytes of a file, uint8 (N,); EXIF orientation is applied, 16 bits become 8. Raises UnreadableImage."""
    if len(data) == 0:
        raise UnreadableImage(name, "the file is empty")
    _check_header(data, name)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        pixels = None
    if pixels is not None:
        return DecodedImage(pixels, recovered=False)
    return DecodedImage(_recover(data, name), recovered=True)


def _check_header(data: np.ndarray, name: str) -> None:
    """Refuse files that are no images, or too large, before any pixel is decoded."""
    try:
        with _quiet(), Image.open(io.BytesIO(data.tobytes()), formats=_FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise UnreadableImage(name, f"more than {MAX_PIXELS / 1e6:.0f} megapixels") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(name, "not a JPEG, PNG, BMP, GIF or WebP image") from error
    except _DAMAGE as error:
        raise UnreadableImage(name, "its header is damaged") from error
    if width * height > MAX_PIXELS:
        raise UnreadableImage(name, f"{width * height / 1e6:.0f} megapixels, more than {MAX_PIXELS / 1e6:.0f}")
    if width < 1 or height < 1:
        raise UnreadableImage(name, "it has no pixels")


def _recover(data: np.ndarray, name: str) -> np.ndarray:
    """Decode a damaged file as far as possible; Pillow fills the missing rows with grey or black."""
    try:
        with _quiet(), _truncated_images_allowed(), Image.open(io.BytesIO(data.tobytes()), formats=_FORMATS) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):
                # Pillow would clip 16-bit values at 255
                return np.repeat(
                    (np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)[..., None], 3, 2
                )
            return np.asarray(upright.convert("RGB"))
    except _DAMAGE as error:
        raise UnreadableImage(name, "it is damaged and nothing can be recovered") from error


@contextmanager
def _truncated_images_allowed() -> Iterator[None]:
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's warnings about sizes and metadata: the size is checked here, metadata does not matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
