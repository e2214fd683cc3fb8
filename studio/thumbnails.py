"""Small copies of photographs, made when they are first shown and kept in a folder."""

import base64
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from common.files import replacing
from data.images import attempt, read_image

SIDE = 144

WHOLE = 640

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 85]


class Thumbnails:
    """Thumbnails of image files, cached as JPEG files in `folder`; several threads may ask for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def source(self, image: Path) -> str | None:
        """Return a thumbnail as the `src` of an HTML image, or None if the file cannot be read."""

        def shrunk() -> np.ndarray | None:
            pixels = attempt(lambda: read_image(image, _reduction).pixels)[0]
            return None if pixels is None else _shrunk(pixels)

        return self.kept(image, str(SIDE), shrunk)

    def kept(self, image: Path, kind: str, make: Callable[[], np.ndarray | None]) -> str | None:
        """Return what `make` draws of an image file, uint8 RGB, as the `src` of an HTML image; kept for the next time.

        `kind` tells apart what is drawn of one file. Returns None if there is no such file, or `make` gives None.
        """
        try:
            status = image.stat()
        except OSError:
            return None
        key = f"{image.resolve()} {status.st_mtime_ns} {status.st_size} {kind}"
        cached = self.folder / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()}.jpg"
        with self._lock:
            if not cached.is_file():
                pixels = make()
                if pixels is None:
                    return None
                with replacing(cached) as temporary:
                    temporary.write_bytes(_jpeg(pixels))
            return _as_source(cached.read_bytes())

    def whole(self, image: Path) -> str | None:
        """Return a whole photograph with sides of at most `WHOLE` pixels as `source` does; it is not kept."""
        pixels = attempt(lambda: read_image(image).pixels)[0]
        return None if pixels is None else picture_source(_within(pixels, WHOLE))


def picture_source(pixels: np.ndarray) -> str:
    """Return pixels, uint8 RGB (H, W, 3), as the `src` of an HTML image."""
    return _as_source(_jpeg(pixels))


def _reduction(width: int, height: int) -> int:
    return max(factor for factor in (1, 2, 4, 8) if factor == 1 or min(width, height) // factor >= SIDE)


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    """Return the centre square of an image, uint8 (SIDE, SIDE, 3)."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    return cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _within(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return an image whose longer side has at most `side` pixels."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _QUALITY)[1].tobytes()


def _as_source(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
