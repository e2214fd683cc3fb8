"""Files to pixels, pixels to views, answers to a CSV."""

import contextlib
import csv
import ctypes
import io
import math
import os
import platform
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F

try:
    from PIL import Image, ImageFile, ImageOps
except ImportError:
    # only headers and broken files need it
    Image = None

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
FOREIGN_FOLDERS = ("@eadir", "__macosx", "$recycle.bin", "system volume information", "#recycle")
NOT_TEXT = re.compile("[\x00-\x1f\x7f\udc80-\udcff]")
MAX_PIXELS = 178000000
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
DAMAGE = (
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
)

cv2.setLogLevel(0) if hasattr(cv2, "setLogLevel") else None


def keep_memory() -> None:
    """Keep freed memory in the process: on Linux, fetching it again costs CPU inference more than anything else."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
        libc.mallopt(-4, 0)
        libc.mallopt(-1, 2**31 - 1)


def list_images(folder: Path) -> List[str]:
    """Return the images below `folder` as POSIX paths relative to it, sorted, each once, suffixes in any case.

    Links to folders are followed; hidden files and folders of thumbnails are left out.
    """
    found = []
    waiting = [(str(folder), "", (os.path.realpath(str(folder)),))]
    while waiting:
        here, prefix, above = waiting.pop()
        for entry in os.scandir(here):
            if entry.name.startswith(".") or entry.name.lower() in FOREIGN_FOLDERS:
                continue
            real = os.path.realpath(entry.path)
            if entry.is_dir() and real not in above:
                waiting.append((entry.path, prefix + entry.name + "/", (*above, real)))
            elif entry.is_file() and Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
                found.append(prefix + entry.name)
    return sorted(found, key=printable)


def printable(name: str) -> str:
    """Return a name for a line of text: bytes that are no UTF-8, and control characters, become `%E9` and `%0A`."""
    return NOT_TEXT.sub(lambda match: "%{:02X}".format(ord(match.group()) & 0xFF), name)


def read_image(path: Path) -> np.ndarray:
    """Return the pixels of a file, uint8 RGB (height, width, 3). Raises ValueError or OSError if there are none.

    A damaged file is read as far as it goes, if Pillow is there.
    """
    data = np.fromfile(str(path), dtype=np.uint8)
    if len(data) == 0:
        raise ValueError("the file is empty")
    if Image is not None:
        check_header(data)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is not None:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if Image is None:
        raise ValueError("it cannot be decoded")
    return recover(data)


def check_header(data: np.ndarray) -> None:
    """Raise ValueError for what is no image, or too large, before any pixel is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data.tobytes()), formats=FORMATS) as image:
                width, height = image.size
    except (*DAMAGE, Image.DecompressionBombError):
        raise ValueError("not an image, or its header is damaged") from None
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError("it has no pixels, or too many")


def recover(data: np.ndarray) -> np.ndarray:
    """Decode as much of a damaged file as there is."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data.tobytes()), formats=FORMATS) as image:
                image.load()
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith("I"):
                    # Pillow would cut 16-bit values at 255
                    grey = (np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
                    return np.repeat(grey[..., None], 3, 2)
                return np.asarray(upright.convert("RGB"))
    except (*DAMAGE, Image.DecompressionBombError):
        raise ValueError("it is damaged and nothing can be recovered") from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def eval_image(image: np.ndarray, input_size: int, crop_pct: float = 1.0) -> np.ndarray:
    """Resize the shorter side to `input_size / crop_pct` and cut the centre square of `input_size`."""
    height, width = image.shape[:2]
    scale = round(input_size / crop_pct) / min(height, width)
    new_width, new_height = max(round(width * scale), input_size), max(round(height * scale), input_size)
    if (new_width, new_height) != (width, height):
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, (new_width, new_height), interpolation=interpolation)
    top, left = (new_height - input_size) // 2, (new_width - input_size) // 2
    return image[top : top + input_size, left : left + input_size]


def warp(images: torch.Tensor, degrees: float = 0.0, zoom: float = 1.0, x: float = 0.0, y: float = 0.0) -> torch.Tensor:
    """Turn uint8 images counter-clockwise and enlarge them; `x` and `y` move what is cut out, from -1 to 1."""
    height, width = images.shape[-2:]
    cosine, sine = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    rest = 1 - 1 / zoom
    theta = [[cosine, -sine * height / width, x * rest], [sine * width / height, cosine, y * rest]]
    places = torch.tensor([theta], device=images.device).expand(len(images), 2, 3)
    grid = F.affine_grid(places, [len(images), 3, height, width], align_corners=False)
    warped = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return warped.round().clamp(0, 255).to(torch.uint8)


def brighten(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Multiply uint8 images."""
    return (images.float() * factor).round().clamp(0, 255).to(torch.uint8)


# uint8 (N, 3, H, W) -> uint8 (N, 3, H, W); the five crops keep CROP of the side
CROP = 0.875
VIEWS = {
    "identity": lambda images: images,
    "hflip": lambda images: images.flip(-1),
    "vflip": lambda images: images.flip(-2),
    "hvflip": lambda images: images.flip(-1, -2),
    "rotate+5": lambda images: warp(images, degrees=5),
    "rotate-5": lambda images: warp(images, degrees=-5),
    "brightness+10": lambda images: brighten(images, 1.1),
    "brightness-10": lambda images: brighten(images, 0.9),
    "scale1.1": lambda images: warp(images, zoom=1.1),
    "crop_centre": lambda images: warp(images, zoom=1 / CROP),
    "crop_top_left": lambda images: warp(images, zoom=1 / CROP, x=-1, y=-1),
    "crop_top_right": lambda images: warp(images, zoom=1 / CROP, x=1, y=-1),
    "crop_bottom_left": lambda images: warp(images, zoom=1 / CROP, x=-1, y=1),
    "crop_bottom_right": lambda images: warp(images, zoom=1 / CROP, x=1, y=1),
}


def average_views(model: Callable, images: torch.Tensor, views: Sequence[str], average: str) -> torch.Tensor:
    """Return probabilities float64 (N, C), averaged over the views of images uint8 (N, 3, H, W)."""
    batch = torch.cat([VIEWS[name](images) for name in views])
    logits = model(batch).float().view(len(views), len(images), -1)
    if average == "logits":
        return logits.mean(dim=0).double().softmax(dim=-1)
    return logits.double().softmax(dim=-1).mean(dim=0)


def mixed_precision(dtype: Optional[str]) -> Any:
    """Return the context of a forward pass; None is plain float32."""
    if dtype is None:
        return contextlib.nullcontext()
    if hasattr(torch, "autocast"):
        return torch.autocast("cuda", dtype=getattr(torch, dtype))
    return torch.cuda.amp.autocast()


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Tuple[Any, ...]]) -> None:
    """Write a table as UTF-8 without BOM, whole or not at all; the folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".{}.{}.tmp".format(path.name, os.getpid()))
    with open(str(temporary), "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    os.replace(str(temporary), str(path))
