"""The decoders, OpenCV and Pillow: which one reads what, so that every version of both gives the same pixels.

OpenCV reads JPEG, and opaque 8-bit PNG, BMP and WebP, because it is faster. Pillow reads the rest: versions of OpenCV
differ in it, or cannot read it. OpenCV also reads colours of 16 bits, which Pillow cuts to 8. Pillow opens every file
before, for its size and kind, except JPEG files with an ordinary header.
"""

import functools
import importlib
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError, features

from data.image_rescue import claims_too_much
from data.jpeg_header import plain_jpeg_size
from data.pixel_values import to_rgb, turned_upright

MAX_PIXELS = 178_000_000

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# byte of a PNG file
_PNG_DEPTH = 24

# (width, height) of an upright picture -> 1, 2, 4 or 8: by how much smaller a JPEG file may be decoded
Reduction = Callable[[int, int], int]

_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}

# EXIF and TIFF tags
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
_BITS_PER_SAMPLE = 258
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_EXTRA_SAMPLES, _STRAIGHT_ALPHA = 338, 2

# Pillow's switch for truncated files is one for all threads
_pillow_lock = threading.Lock()

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


def decode(data: np.ndarray, name: str, reduction: Reduction | None = None) -> np.ndarray | None:
    """Return the pixels, or None where a decoder finds damage. Raises UnreadableImage for what is no image."""
    size = plain_jpeg_size(data[:4096].tobytes())
    if size is not None:
        _check_size(*size, name)
        return _decode_plain(data, reduction(*size) if reduction else 1)
    formats = _formats(data, name)
    if formats == ("AVIF",) and not _pillow_reads_avif():
        return _decode_avif(data, name)
    with _quiet(), _open(data, name, formats) as image:
        if _is_plain(image, data):
            factor = reduction(*_upright_size(image)) if reduction and image.format in ("JPEG", "MPO") else 1
            return _decode_plain(data, factor)
        with _pillow_lock, suppress(Exception):
            return _decode_odd(data, image)
    return None


def jpeg_size(data: np.ndarray, name: str) -> tuple[int, int] | None:
    """Return (width, height) of what `decode` gives for a sound JPEG file; None for a damaged or another file.

    OpenCV reads all of its code but computes an eighth of the pixels a side, which takes half the time. Raises
    UnreadableImage.
    """
    if data[:3].tobytes() != b"\xff\xd8\xff":
        return None
    with _quiet(), _open(data, name, _FORMATS) as image:
        if image.format not in ("JPEG", "MPO") or _opencv(data, cv2.IMREAD_REDUCED_GRAYSCALE_8) is None:
            return None
        return _upright_size(image)


def _formats(data: np.ndarray, name: str) -> tuple[str, ...]:
    """Return the formats that the file may have, in Pillow's names."""
    head = data[:64].tobytes()
    brands = head[8 : int.from_bytes(head[:4], "big")] if head[4:8] == b"ftyp" else b""
    if b"avif" in brands or b"avis" in brands:
        return ("AVIF",)
    if any(brand in brands for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")):
        if not _pillow_reads_heif():
            raise UnreadableImage(name, "a HEIC image; install pillow-heif, or convert it to JPEG")
        return ("HEIF",)
    return _FORMATS


@functools.cache
def _pillow_reads_avif() -> bool:
    # older versions of Pillow warn about the word
    with _quiet():
        return bool(features.check("avif"))


@functools.cache
def _pillow_reads_heif() -> bool:
    with suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    return "HEIF" in Image.OPEN


def _open(data: np.ndarray, name: str, formats: tuple[str, ...]) -> Image.Image:
    """Open an image; no pixel is decoded yet. Raises UnreadableImage for what is no image, or too large."""
    try:
        image = Image.open(io.BytesIO(data.tobytes()), formats=formats)
    except Image.DecompressionBombError as error:
        raise UnreadableImage(name, f"more than {MAX_PIXELS / 1e6:.0f} megapixels") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(name, _unknown(data, formats)) from error
    except Exception as error:
        raise UnreadableImage(name, "its header is damaged") from error
    _check_size(*image.size, name)
    return image


def _unknown(data: np.ndarray, formats: tuple[str, ...]) -> str:
    if formats != _FORMATS:
        return "its header is damaged"
    if data[:4].tobytes() in _TIFF_STARTS:
        return "a TIFF image that is damaged or of a rare kind; save it as PNG"
    return "not a JPEG, PNG, BMP, GIF, WebP, TIFF or AVIF image"


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableImage(name, f"{width * height / 1e6:.0f} megapixels, more than {MAX_PIXELS / 1e6:.0f}")
    if width < 1 or height < 1:
        raise UnreadableImage(name, "it has no pixels")


def _is_plain(image: Image.Image, data: np.ndarray) -> bool:
    """Say whether every version of OpenCV decodes it as Pillow does, but faster."""
    if image.format in ("JPEG", "MPO") or image.mode == "LAB":
        return True
    if image.format not in ("PNG", "BMP", "WEBP") or _has_alpha(image) or getattr(image, "is_animated", False):
        return False
    return not _has_sixteen_bits(image, data) and (image.format != "WEBP" or _orientation(image) == 1)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode.endswith(("A", "a")) or "transparency" in image.info


def _has_sixteen_bits(image: Image.Image, data: np.ndarray) -> bool:
    if image.format == "PNG":
        return data[_PNG_DEPTH] == 16
    tags = getattr(image, "tag_v2", {})
    return set(tags.get(_BITS_PER_SAMPLE, ())) == {16}


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 if there is none, or EXIF is damaged. Pillow itself turns TIFF images."""
    if image.format == "TIFF":
        return 1
    exif = Image.Exif()
    with suppress(Exception):
        exif.load(image.info.get("exif", b""))
        return exif.get(_ORIENTATION, 1)
    return 1


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) of the picture when it is turned as EXIF says."""
    width, height = image.size
    return (height, width) if _orientation(image) in _ON_ITS_SIDE else (width, height)


def _decode_plain(data: np.ndarray, factor: int) -> np.ndarray | None:
    """Decode with OpenCV. A JPEG file reduced by 2, 4 or 8 takes half the time: all code, but fewer pixels."""
    if factor == 1:
        return _opencv(data, cv2.IMREAD_COLOR_RGB)
    pixels = _opencv(data, _REDUCED[factor])
    return None if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _decode_odd(data: np.ndarray, image: Image.Image) -> np.ndarray:
    """Decode transparent, animated, turned and 16-bit images, and the formats that OpenCV may not know."""
    tags = getattr(image, "tag_v2", {})
    # OpenCV does not know that colours can be multiplied with alpha already
    straight = tags.get(_EXTRA_SAMPLES, (_STRAIGHT_ALPHA,)) == (_STRAIGHT_ALPHA,)
    if image.mode in ("RGB", "RGBA", "LA") and _has_sixteen_bits(image, data) and straight:
        values = _opencv(data, cv2.IMREAD_UNCHANGED)
        if values is not None and values.ndim == 3:
            code = cv2.COLOR_BGR2RGB if values.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
            return turned_upright(to_rgb(cv2.cvtColor(values, code)), _orientation(image))
    return _decode_with_pillow(image)


def _decode_with_pillow(image: Image.Image) -> np.ndarray:
    image.load()
    return turned_upright(_to_rgb(image), _orientation(image))


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Return uint8 RGB of a loaded image; Pillow's own conversion would cut 16 bits at 255."""
    if image.mode[0] in "IF":
        values = np.array(image)
        if "transparency" in image.info:
            opaque = values != image.info["transparency"]
            values = np.dstack([values, opaque * np.iinfo(values.dtype).max])
        pixels = to_rgb(values)
        # Pillow turns white and black of 8 bits alone
        return 255 - pixels if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO else pixels
    return to_rgb(np.array(image.convert("RGBA" if _has_alpha(image) else "RGB")))


def _decode_avif(data: np.ndarray, name: str) -> np.ndarray:
    """Decode an AVIF image without Pillow; its sizes stand in the boxes `ispe` (ISO/IEC 23008-12)."""
    for width, height in re.findall(rb"ispe.{4}(.{4})(.{4})", data.tobytes(), re.DOTALL):
        _check_size(int.from_bytes(width, "big"), int.from_bytes(height, "big"), name)
    pixels = _opencv(data, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise UnreadableImage(name, "an AVIF image; install Pillow 11.3 or newer, or convert it to JPEG")
    return to_rgb(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[-1] == 4 else cv2.COLOR_BGR2RGB))


def _opencv(data: np.ndarray, flags: int) -> np.ndarray | None:
    if claims_too_much(data):
        return None
    try:
        return cv2.imdecode(data, flags)
    except cv2.error:
        return None


def recover(data: np.ndarray, name: str) -> np.ndarray:
    """Decode a damaged file as far as possible; Pillow fills the missing rows with grey or black."""
    try:
        with _quiet(), _pillow_lock, _truncated_images_allowed(), _open(data, name, _formats(data, name)) as image:
            return _decode_with_pillow(image)
    except Exception as error:
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
