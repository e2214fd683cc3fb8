"""Files to pixels, pixels to views, answers to a CSV."""

import contextlib
import csv
import ctypes
import functools
import importlib
import io
import math
import os
import platform
import re
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F

try:
    from PIL import Image, ImageFile, features

    # Pillow 8.0 does not look for the formats that it is asked for
    Image.init()
except ImportError:
    # headers, broken files, and what OpenCV does not read need it
    Image = None

FOREIGN_FOLDERS = ("@eadir", "__macosx", "$recycle.bin", "system volume information", "#recycle")
NOT_TEXT = re.compile("[\x00-\x1f\x7f\udc80-\udcff]")
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".gif", ".webp",
    ".tif", ".tiff", ".avif", ".heic", ".heif",
)  # fmt: skip
MAX_PIXELS = 178000000
MAX_ASPECT = 4
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# bits of a value that cameras and programs use
DEPTHS = (8, 10, 12, 14, 16, 24, 32)
ROWS_AT_ONCE = 256
# EXIF orientation: how stored rows and columns are turned upright
UPRIGHT = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}
# threads that read images; decoding and resizing run beside each other
READERS = max(4, min(os.cpu_count() or 4, 16))
# what torch and NVIDIA's libraries say when memory is full
MEMORY_IS_FULL = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # cuDNN 9, for the memory of the machine and of the card
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    # torch, after each of cuDNN's convolutions has failed, which lack of memory for their workspaces brings about
    "unable to find an engine to execute this computation",
)
# on Windows a virus scanner holds a new file for a moment, in which it cannot be renamed; one try each 0.1 s
RENAMING_TRIES = 50
# Pillow's switch for truncated files is one for all threads
PILLOW_LOCK = threading.Lock()
cv2.setLogLevel(0) if hasattr(cv2, "setLogLevel") else None


def keep_memory() -> None:
    """Keep freed memory in the process: on Linux, fetching it again costs CPU inference more than anything else."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
        libc.mallopt(-4, 0)
        libc.mallopt(-1, 2**31 - 1)


def is_memory_full(error: BaseException) -> bool:
    """Say whether an error means that the memory of the card or of the machine is full."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in MEMORY_IS_FULL)


def in_batches(read: Callable, items: Sequence[Any], size: int) -> Iterator[List[Any]]:
    """Yield read(item) of `size` items at a time, in order; threads read the next ones while the model works."""
    cv2.setNumThreads(0)
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPoolExecutor(READERS) as pool:
        ahead = [pool.submit(read, item) for item in chunks[0]] if chunks else []
        for position in range(len(chunks)):
            results = [future.result() for future in ahead]
            following = chunks[position + 1] if position + 1 < len(chunks) else []
            ahead = [pool.submit(read, item) for item in following]
            yield results


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


def describe(error: Exception) -> str:
    """Return one line for what went wrong with an image."""
    words = " ".join(str(error).split())
    return words if isinstance(error, (ValueError, OSError)) else "{} {}".format(type(error).__name__, words)


def read_image(path: Path) -> np.ndarray:
    """Return the pixels of a file, uint8 RGB (height, width, 3). Raises ValueError or OSError if there are none.

    The first frame is read, turned upright, transparent pixels over white. A damaged file is read as far as it goes.
    """
    data = np.fromfile(str(path), dtype=np.uint8)
    if len(data) == 0:
        raise ValueError("the file is empty")
    refusal = None
    try:
        pixels = decode(data)
        if pixels is not None:
            return pixels
    except ValueError as error:
        refusal = error
    content = essence(data.tobytes())
    if content is None:
        if refusal is not None:
            raise refusal
        return recover(data)
    data = np.frombuffer(content, np.uint8)
    pixels = decode(data)
    return recover(data) if pixels is None else pixels


def decode(data: np.ndarray) -> Optional[np.ndarray]:
    """Return the pixels, or None where a decoder finds damage. Raises ValueError for what is no image."""
    formats = formats_of(data)
    if Image is None or (formats == ("AVIF",) and not pillow_reads_avif()):
        return decode_without_pillow(data, formats)
    with quiet(), open_image(data, formats) as image:
        if is_plain(image, data):
            return opencv(data, cv2.IMREAD_COLOR)
        with PILLOW_LOCK, contextlib.suppress(Exception):
            return decode_odd(data, image)
    return None


def formats_of(data: np.ndarray) -> Tuple[str, ...]:
    """Return the formats that the file may have, in Pillow's names."""
    head = data[:64].tobytes()
    brands = head[8 : int.from_bytes(head[:4], "big")] if head[4:8] == b"ftyp" else b""
    if b"avif" in brands or b"avis" in brands:
        return ("AVIF",)
    if any(brand in brands for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")):
        if not pillow_reads_heif():
            raise ValueError("a HEIC image; install pillow-heif, or convert it to JPEG")
        return ("HEIF",)
    return FORMATS


@functools.lru_cache(maxsize=None)
def pillow_reads_avif() -> bool:
    """Say whether Pillow was built with AVIF; older versions warn about the word."""
    with quiet():
        return bool(features.check("avif"))


@functools.lru_cache(maxsize=None)
def pillow_reads_heif() -> bool:
    """Say whether Pillow reads HEIC, after looking for the package that teaches it."""
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    return Image is not None and "HEIF" in Image.OPEN


def open_image(data: np.ndarray, formats: Tuple[str, ...]) -> Any:
    """Open an image; no pixel is decoded yet. Raises ValueError for what is no image, or too large."""
    try:
        image = Image.open(io.BytesIO(data.tobytes()), formats=formats)
    except Exception as error:
        raise ValueError("not an image, or its header is damaged, or it is too large") from error
    check_size(*image.size)
    return image


def check_size(width: int, height: int) -> None:
    """Raise ValueError for no pixels or too many."""
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError("it has no pixels, or too many")


def is_plain(image: Any, data: np.ndarray) -> bool:
    """Say whether every version of OpenCV decodes it as Pillow does, but faster."""
    if image.format in ("JPEG", "MPO") or image.mode == "LAB":
        return True
    if image.format not in ("PNG", "BMP", "WEBP") or has_alpha(image) or getattr(image, "is_animated", False):
        return False
    return not has_sixteen_bits(image, data) and (image.format != "WEBP" or orientation_of(image) == 1)


def has_alpha(image: Any) -> bool:
    """Say whether pixels may be transparent."""
    return image.mode.endswith(("A", "a")) or "transparency" in image.info


def has_sixteen_bits(image: Any, data: np.ndarray) -> bool:
    """Say whether each channel of a PNG or TIFF image has 16 bits."""
    if image.format == "PNG":
        return data[24] == 16
    return set(getattr(image, "tag_v2", {}).get(258, ())) == {16}


def orientation_of(image: Any) -> int:
    """Return the EXIF orientation; 1 if there is none, or EXIF is damaged. Pillow itself turns TIFF images."""
    if image.format == "TIFF":
        return 1
    exif = Image.Exif()
    with contextlib.suppress(Exception):
        exif.load(image.info.get("exif", b""))
        return exif.get(0x0112, 1)
    return 1


def decode_odd(data: np.ndarray, image: Any) -> np.ndarray:
    """Decode transparent, animated, turned and 16-bit images, and the formats that OpenCV may not know."""
    # OpenCV does not know that colours can be multiplied with alpha already
    straight = getattr(image, "tag_v2", {}).get(338, (2,)) == (2,)
    if image.mode in ("RGB", "RGBA", "LA") and has_sixteen_bits(image, data) and straight:
        values = opencv(data, cv2.IMREAD_UNCHANGED)
        if values is not None and values.ndim == 3:
            return turned_upright(to_rgb(values), orientation_of(image))
    return decode_with_pillow(image)


def decode_with_pillow(image: Any) -> np.ndarray:
    """Decode an opened image; Pillow would cut 16-bit grey at 255."""
    image.load()
    if image.mode[0] in "IF":
        values = np.array(image)
        if "transparency" in image.info:
            opaque = values != image.info["transparency"]
            values = np.dstack([values, opaque * np.iinfo(values.dtype).max])
        pixels = to_rgb(values)
        # tag 262 of TIFF: white is 0
        pixels = 255 - pixels if getattr(image, "tag_v2", {}).get(262) == 0 else pixels
    else:
        pixels = to_rgb(np.array(image.convert("RGBA" if has_alpha(image) else "RGB")))
    return turned_upright(pixels, orientation_of(image))


def decode_without_pillow(data: np.ndarray, formats: Tuple[str, ...]) -> np.ndarray:
    """Decode what OpenCV can; the sizes of an AVIF image stand in its boxes `ispe`."""
    for width, height in re.findall(rb"ispe.{4}(.{4})(.{4})", data.tobytes() if formats == ("AVIF",) else b"", re.S):
        check_size(int.from_bytes(width, "big"), int.from_bytes(height, "big"))
    may_be_transparent = formats == ("AVIF",) or data[:4].tobytes() in (b"\x89PNG", b"RIFF")
    values = opencv(data, cv2.IMREAD_UNCHANGED) if may_be_transparent else None
    if values is None or (values.dtype == np.uint8 and values.shape[2:] != (4,)):
        # it turns what it can
        values = opencv(data, cv2.IMREAD_COLOR)
    if values is None and formats == ("AVIF",):
        raise ValueError("an AVIF image; install Pillow 11.3 or newer, or convert it to JPEG")
    if values is None:
        raise ValueError("OpenCV cannot decode it; install Pillow, or convert it to JPEG")
    return to_rgb(values)


def opencv(data: np.ndarray, flags: int) -> Optional[np.ndarray]:
    """Decode to grey, RGB or RGBA; None where OpenCV cannot."""
    if claims_too_much(data):
        return None
    try:
        pixels = cv2.imdecode(data, flags)
    except cv2.error:
        return None
    if pixels is None or pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def recover(data: np.ndarray) -> np.ndarray:
    """Decode as much of a damaged file as there is."""
    if Image is None:
        raise ValueError("it is damaged, and without Pillow nothing is recovered")
    with PILLOW_LOCK:
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            with quiet(), open_image(data, formats_of(data)) as image:
                return decode_with_pillow(image)
        except Exception as error:
            raise ValueError("it is damaged and nothing can be recovered") from error
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings about sizes and metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def essence(content: bytes) -> Optional[bytes]:
    """Return a PNG or JPEG file without its metadata; None for other files, and if no pixels are in it."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return png_essence(content)
    if content.startswith(b"\xff\xd8"):
        return jpeg_essence(content)
    return None


def claims_too_much(data: np.ndarray) -> bool:
    """Say whether a chunk of a PNG file, uint8 (N,), is longer than the rest of it: OpenCV would set as much aside."""
    place, kind = 8, b""
    if data[:4].tobytes() != b"\x89PNG":
        return False
    while kind != b"IEND" and place + 8 <= len(data):
        head = data[place : place + 8].tobytes()
        kind = head[4:]
        place += 12 + int.from_bytes(head[:4], "big")
    return place > len(data)


def png_essence(content: bytes) -> Optional[bytes]:
    """Keep the critical chunks, tRNS and a sound eXIf; checksums are computed anew.

    A header whose checksum is wrong is believed only if the pixels fill its size exactly.
    """
    kept, pixels, doubtful_header, position = [content[:8]], [], b"", 8
    while position + 8 <= len(content):
        length, kind = int.from_bytes(content[position : position + 4], "big"), content[position + 4 : position + 8]
        body = content[position + 8 : position + 8 + length]
        checksum = zlib.crc32(kind + body).to_bytes(4, "big")
        sound = checksum == content[position + 8 + length : position + 12 + length]
        if kind in PNG_CHUNKS or (kind == b"eXIf" and sound):
            kept.append(len(body).to_bytes(4, "big") + kind + body + checksum)
        if kind == b"IDAT":
            pixels.append(body)
        elif kind == b"IHDR" and not sound:
            doubtful_header = body
        position += 12 + length
        if kind == b"IEND":
            break
    if not pixels or (doubtful_header and not fills(b"".join(pixels), doubtful_header)):
        return None
    return b"".join(kept)


def fills(pixels: bytes, header: bytes) -> bool:
    """Say whether compressed pixels have exactly the size of a PNG header (without interlacing)."""
    if len(header) != 13 or header[9] not in PNG_CHANNELS or header[12] != 0:
        return False
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    size = height * (1 + (width * header[8] * PNG_CHANNELS[header[9]] + 7) // 8)
    stream, found = zlib.decompressobj(), 0
    try:
        while not stream.eof and found <= size:
            part = stream.decompress(pixels, 1 << 20)
            if not part:
                break
            found, pixels = found + len(part), stream.unconsumed_tail
    except zlib.error:
        return False
    return found == size


def jpeg_essence(content: bytes) -> Optional[bytes]:
    """Keep the tables, the frame, EXIF, and complete JFIF and Adobe segments, which tell the colour space."""
    kept, position = [content[:2]], 2
    while True:
        position = content.find(b"\xff", position)
        if not 0 <= position < len(content) - 4:
            return None
        marker, length = content[position + 1], int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == 0xDA:
            return b"".join(kept) + content[position:]
        if marker == 0xFF:
            position += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8 or length < 2:
            position += 2
        else:
            segment = content[position : position + 2 + length]
            if is_needed(marker, segment[4:]):
                kept.append(segment)
            position += len(segment)


def is_needed(marker: int, body: bytes) -> bool:
    """Say whether pixels depend on a segment of a JPEG file."""
    if marker == 0xE0:
        return body.startswith(b"JFIF\0") and len(body) >= 14
    if marker == 0xE1:
        return body.startswith(b"Exif\0\0")
    if marker == 0xEE:
        return body.startswith(b"Adobe") and len(body) >= 12
    return not 0xE0 <= marker <= 0xFE


def to_rgb(values: np.ndarray) -> np.ndarray:
    """Return uint8 RGB (H, W, 3) of grey (H, W), grey and alpha, RGB or RGBA values of any depth."""
    values = values[..., None] if values.ndim == 2 else values
    colours, alpha = (values[..., :-1], values[..., -1:]) if values.shape[2] in (2, 4) else (values, None)
    if values.dtype != np.uint8:
        colours, alpha = to_eight_bits(colours, alpha)
    if alpha is not None and alpha.min() < 255:
        colours = over_white(colours, alpha)
    return np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else np.ascontiguousarray(colours)


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return uint8 colours (H, W, C) laid over white by uint8 `alpha` (H, W, 1), rounded to the nearest value."""
    result = np.empty_like(colours)
    for start in range(0, len(colours), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        opacity = alpha[rows].astype(np.uint16)
        sums = colours[rows] * opacity
        sums += 255 * (255 - opacity) + 128
        # the division by 255, rounded, for sums below 2^16
        sums += sums >> 8
        result[rows] = sums >> 8
    return result


def to_eight_bits(colours: np.ndarray, alpha: Optional[np.ndarray]) -> Tuple[np.ndarray, Optional[np.ndarray]]:
    """Scale by the bits that the visible values use: 12-bit values in a 16-bit file are almost black otherwise."""
    colours = whole_numbers(colours)
    largest = colours.max() if alpha is None else colours.max(where=alpha > 0, initial=0)
    bits = next(depth for depth in DEPTHS if largest < 2**depth)
    if alpha is not None:
        alpha = shifted(alpha, bits if alpha.max() < 2**bits else 16)
    return shifted(colours, bits), alpha


def whole_numbers(values: np.ndarray) -> np.ndarray:
    """Return unsigned values; floating-point ones are fractions of white if none is above 1."""
    if values.dtype.kind == "u":
        return values
    if values.dtype.kind == "i":
        return values.clip(0, None).astype(np.uint32)
    values = np.nan_to_num(values.astype(np.float64)).clip(0, 2**32 - 1)
    return (values * 255 if values.max() <= 1 else values).round().astype(np.uint32)


def shifted(values: np.ndarray, bits: int) -> np.ndarray:
    """Return the highest 8 of `bits`."""
    return np.minimum(values >> (bits - 8), 255).astype(np.uint8)


def turned_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels (H, W, 3) turned by their EXIF orientation; 1 and unknown values change nothing."""
    return np.ascontiguousarray(UPRIGHT[orientation](pixels)) if orientation in UPRIGHT else pixels


def cut_to_aspect(image: np.ndarray) -> np.ndarray:
    """Return the centre of an image, at most `MAX_ASPECT` times as long as wide."""
    height, width = image.shape[:2]
    longest = MAX_ASPECT * min(height, width)
    top, left = max(height - longest, 0) // 2, max(width - longest, 0) // 2
    # as much from both ends, so that the centre stays where it is
    return image[top : height - top, left : width - left]


def eval_image(image: np.ndarray, input_size: int, crop_pct: float = 1.0, fit: str = "crop") -> np.ndarray:
    """Return the square that a model sees: the centre, the whole image with mirrored borders, or stretched."""
    if fit == "stretch":
        return resize(image, input_size, input_size)
    if fit == "pad":
        return padded(image, input_size)
    image = cut_to_aspect(image)
    height, width = image.shape[:2]
    scale = round(input_size / crop_pct) / min(height, width)
    new_width, new_height = max(round(width * scale), input_size), max(round(height * scale), input_size)
    image = resize(image, new_width, new_height)
    top, left = (new_height - input_size) // 2, (new_width - input_size) // 2
    return image[top : top + input_size, left : left + input_size]


def padded(image: np.ndarray, input_size: int) -> np.ndarray:
    """Resize the longer side to `input_size` and mirror the image over the rest of the square."""
    height, width = image.shape[:2]
    scale = input_size / max(height, width)
    new_width, new_height = max(round(width * scale), 1), max(round(height * scale), 1)
    top, left = (input_size - new_height) // 2, (input_size - new_width) // 2
    bottom, right = input_size - new_height - top, input_size - new_width - left
    return cv2.copyMakeBorder(resize(image, new_width, new_height), top, bottom, left, right, cv2.BORDER_REFLECT)


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Make sides smaller by area interpolation, and larger by cubic one."""
    smaller = min(width, image.shape[1]), min(height, image.shape[0])
    for size, interpolation in ((smaller, cv2.INTER_AREA), ((width, height), cv2.INTER_CUBIC)):
        if size != (image.shape[1], image.shape[0]):
            image = cv2.resize(image, size, interpolation=interpolation)
    return image


def squares_of(views: Sequence[str], fit: str) -> Tuple[str, ...]:
    """Return the fits of the squares that views are made of; `fit` is the model's own."""
    return tuple(dict.fromkeys(view if view in WHOLE else fit for view in views))


def squares(image: np.ndarray, entry: Dict[str, Any], views: Sequence[str]) -> np.ndarray:
    """Return the squares that the views of a model of the config need, one below the other: uint8 (K * S, S, 3)."""
    size, crop_pct = entry["input_size"], entry["crop_pct"]
    return np.concatenate([eval_image(image, size, crop_pct, fit) for fit in squares_of(views, entry["fit"])])


def warp(images: torch.Tensor, degrees: float = 0.0, zoom: float = 1.0, x: float = 0.0, y: float = 0.0) -> torch.Tensor:
    """Turn uint8 images counter-clockwise and enlarge them; `x` and `y` move what is cut out, from -1 to 1."""
    height, width = images.shape[-2:]
    cosine, sine = math.cos(math.radians(degrees)) / zoom, math.sin(math.radians(degrees)) / zoom
    rest = 1 - 1 / zoom
    # no matrix product: mixed precision and TF32 would round it, and move places by up to a pixel
    across, down = centres(width, images.device), centres(height, images.device)[:, None]
    columns = across * cosine - down * (sine * height / width) + x * rest
    rows = across * (sine * width / height) + down * cosine + y * rest
    grid = torch.stack([columns, rows], dim=-1).expand(len(images), height, width, 2)
    warped = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return warped.round().clamp(0, 255).to(torch.uint8)


def centres(count: int, device: torch.device) -> torch.Tensor:
    """Return the middle of each of `count` pixels in a row from -1 to 1, float32 (count,)."""
    return (2 * torch.arange(count, device=device) + 1) / count - 1


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
    "pad": lambda images: images,
    "stretch": lambda images: images,
}
# views of the whole picture, each made of a square of its own
WHOLE = ("pad", "stretch")


def average_views(
    model: Callable, images: torch.Tensor, views: Sequence[str], average: str, dtype: Optional[str], fit: str = "crop"
) -> torch.Tensor:
    """Return probabilities float64 (N, C), averaged over the views of images uint8 (N, 3, K * H, W).

    Each image is its K squares, one below the other; `fit` is the model's own. Only the model computes in `dtype`: 16
    bits would move the pixels of a turned image.
    """
    fits = squares_of(views, fit)
    square = dict(zip(fits, images.chunk(len(fits), dim=-2)))
    batch = torch.cat([VIEWS[name](square[name if name in WHOLE else fit]) for name in views])
    with mixed_precision(images.device.type, dtype):
        logits = model(batch)
    logits = logits.float().view(len(views), len(images), -1)
    if average == "logits":
        return logits.mean(dim=0).double().softmax(dim=-1)
    return logits.double().softmax(dim=-1).mean(dim=0)


def choose_dtype(wanted: Optional[str], device: torch.device) -> Optional[str]:
    """Return the dtype of a forward pass: None, float32, except on CUDA.

    Cards before Ampere (compute capability 8) only imitate bfloat16, and torch 1.9 cannot ask for it: float16 there.
    """
    if wanted is None or device.type != "cuda":
        return None
    imitated = not hasattr(torch, "autocast") or torch.cuda.get_device_capability(device)[0] < 8
    return "float16" if wanted == "bfloat16" and imitated else wanted


def mixed_precision(device_type: str, dtype: Optional[str]) -> Any:
    """Return the context of a forward pass; None is plain float32, also within another such context."""
    if not hasattr(torch, "autocast"):
        return torch.cuda.amp.autocast(enabled=dtype is not None)
    if dtype is None:
        return torch.autocast(device_type, enabled=False)
    return torch.autocast(device_type, dtype=getattr(torch, dtype))


def loss_scaler(device_type: str, dtype: Optional[str]) -> Any:
    """Return what scales the loss of float16, whose small gradients would vanish; it changes no other dtype.

    It starts below torch's own 2^16, with which the first steps would overflow and be left out.
    """
    options = {"init_scale": 2.0**12, "enabled": dtype == "float16"}
    if hasattr(torch, "amp") and hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler(device_type, **options)
    return torch.cuda.amp.GradScaler(**options)


def choose_same_algorithms() -> None:
    """Let two runs agree: no kernel is chosen by the clock, and CUDA does not round float32 to TF32."""
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Tuple[Any, ...]]) -> None:
    """Write a table as UTF-8 without BOM, whole or not at all; the folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".{}.{}.tmp".format(path.name, os.getpid()))
    with open(str(temporary), "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    for tries_left in reversed(range(RENAMING_TRIES)):
        try:
            os.replace(str(temporary), str(path))
            return
        except PermissionError:
            if not tries_left:
                raise
        time.sleep(0.1)
