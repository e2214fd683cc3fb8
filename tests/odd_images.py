"""Image files that are odd but real: each is a name with its bytes, and the kit and the judges' copy must agree."""

import io
import struct
import zlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image

ROWS, COLUMNS = np.mgrid[0:40, 0:50]
COLOURS = np.stack([COLUMNS * 5, ROWS * 6, (COLUMNS + ROWS) * 2], axis=2).astype(np.uint8)
# a soft disc; its corners are wholly transparent
ALPHA = (255 * np.clip(1.6 - np.hypot((ROWS - 19.5) / 20, (COLUMNS - 24.5) / 25) * 1.5, 0, 1)).astype(np.uint8)
PICTURE = Image.fromarray(COLOURS)
TRANSPARENT = Image.fromarray(np.dstack([COLOURS, ALPHA]))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    # Pillow keeps settings of one format in the image
    image.copy().save(buffer, kind, **options)
    return buffer.getvalue()


def two_frames(image: Image.Image, kind: str, **options) -> bytes:
    """An animation, or two pictures in one file; the second is upside down."""
    return encoded(image, kind, save_all=True, append_images=[image.rotate(180)], **options)


def turned() -> Image.Exif:
    """EXIF that asks for a quarter turn."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def opencv(suffix: str, values: np.ndarray) -> bytes:
    """Encode grey, RGB or RGBA values of 8 or 16 bits."""
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    return cv2.imencode(suffix, values if values.ndim == 2 else values[..., order[values.shape[2]]])[1].tobytes()


def chunk(kind: bytes, body: bytes, wrong: bool = False) -> bytes:
    """A PNG chunk, with a wrong checksum if asked for."""
    checksum = zlib.crc32(kind + body) ^ (0x5555 if wrong else 0)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def with_chunks(png: bytes, *chunks: bytes, after_pixels: bool = False) -> bytes:
    """Put chunks behind the header of a PNG, or before its end."""
    place = len(png) - 12 if after_pixels else 33
    return png[:place] + b"".join(chunks) + png[place:]


def bomb(kind: bytes) -> bytes:
    """A chunk of compressed text or profile, two megabytes when unpacked."""
    prefix = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\1\0\0\0", b"iCCP": b"profile\0\0"}[kind]
    return chunk(kind, prefix + zlib.compress(b"a" * 2_000_000))


def segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    """A JPEG segment, with another length than its own if given."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2 if length is None else length) + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def flipped_idat_checksum(png: bytes) -> bytes:
    place = png.index(b"IEND") - 8
    return png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :]


def without_checksums(png: bytes) -> bytes:
    """The PNG with 0 in place of every checksum."""
    result, place = png[:8], 8
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        result += png[place : place + 8 + length] + bytes(4)
        place += 12 + length
    return result


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes cannot hold."""
    small = bytearray(encoded(Image.new("RGB", (1, 1)), "PNG"))
    small[16:24] = struct.pack(">2I", width, height)
    small[29:33] = struct.pack(">I", zlib.crc32(bytes(small[12:29])))
    return bytes(small)


def tiff(
    values: np.ndarray,
    photometric: int,
    bits: int,
    sample_format: int = 1,
    extra: Sequence[int] = (),
    width: int | None = None,
) -> bytes:
    """An uncompressed TIFF of one strip; `values` are written as they are."""
    channels, body = values.shape[2] if values.ndim == 3 else 1, values.tobytes()
    shorts = [
        *((256, width or values.shape[1]), (257, values.shape[0]), (258, bits), (259, 1), (262, photometric), (273, 8)),
        *((277, channels), (278, values.shape[0]), (279, len(body)), (339, sample_format)),
        *((338, kind) for kind in extra),
    ]
    end = 8 + len(body)
    later, entries = b"", b""
    for tag, value in sorted(shorts):
        count = channels if tag in (258, 339) else 1
        if count > 2:
            place = end + 2 + 12 * len(shorts) + 4 + len(later)
            later += struct.pack(f"<{count}H", *[value] * count)
            entries += struct.pack("<2H2I", tag, 3, count, place)
        elif count == 2:
            entries += struct.pack("<2HI2H", tag, 3, count, value, value)
        else:
            entries += struct.pack("<2H2I", tag, 4 if tag in (273, 279) else 3, 1, value)
    return b"II*\0" + struct.pack("<I", end) + body + struct.pack("<H", len(shorts)) + entries + bytes(4) + later


DEEP = COLOURS.astype(np.uint16) * 257
PNG, JPEG = encoded(PICTURE, "PNG"), encoded(PICTURE, "JPEG", quality=95)

# PNG and JPEG files that viewers show; each is what `PNG` or `JPEG` is
HARMLESS: dict[str, bytes] = {
    "wrong checksum of pHYs.png": with_chunks(PNG, chunk(b"pHYs", bytes(9), wrong=True)),
    "wrong checksum of tEXt.png": with_chunks(PNG, chunk(b"tEXt", b"Comment\0hello", wrong=True)),
    "wrong checksum of tEXt at the end.png": with_chunks(PNG, chunk(b"tEXt", b"a\0b", wrong=True), after_pixels=True),
    "zTXt of two megabytes.png": with_chunks(PNG, bomb(b"zTXt")),
    "iTXt of two megabytes.png": with_chunks(PNG, bomb(b"iTXt")),
    "iTXt of two megabytes at the end.png": with_chunks(PNG, bomb(b"iTXt"), after_pixels=True),
    "profile of two megabytes.png": with_chunks(PNG, bomb(b"iCCP")),
    "hundred texts.png": with_chunks(PNG, *[bomb(b"zTXt")] * 100),
    "broken EXIF.png": with_chunks(PNG, chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff")),
    "EXIF of a wrong checksum.png": with_chunks(PNG, chunk(b"eXIf", turned().tobytes()[6:], wrong=True)),
    "pHYs too short.png": with_chunks(PNG, chunk(b"pHYs", b"")),
    "text after the end.png": PNG + b"hello" * 100,
    "short profile.jpg": with_segments(JPEG, segment(0xE2, b"ICC_PROFILE\0")),
    "short JFIF.jpg": JPEG[:2] + segment(0xE0, b"JFIF\0") + JPEG[20:],
    "short Adobe.jpg": with_segments(JPEG, segment(0xEE, b"Adobe")),
    "reserved segment.jpg": with_segments(JPEG, segment(0xF0, b"abc")),
    "broken profile.jpg": with_segments(JPEG, segment(0xE2, b"ICC_PROFILE\0\5\2" + bytes(range(256)) * 200)),
    "profile of 12 megabytes.jpg": with_segments(JPEG, *[segment(0xE2, b"ICC_PROFILE\0\1\xc8" + bytes(60000))] * 200),
    "broken EXIF.jpg": with_segments(JPEG, segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"zz" * 20)),
    "impossible orientation.jpg": with_segments(
        JPEG, segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x4d\0\0\0\0\0\0")
    ),
    "length of an application segment 0.jpg": with_segments(JPEG, segment(0xE5, b"", 0)),
    "too short a length.jpg": with_segments(JPEG, segment(0xE5, b"x" * 50, 20)),
    "multi-picture index broken.jpg": with_segments(JPEG, segment(0xE2, b"MPF\0garbage")),
}


def _associated(alpha: np.ndarray) -> np.ndarray:
    """Colours multiplied with alpha, as TIFF may store them."""
    multiplied = np.round(COLOURS.astype(float) * alpha[..., None] / 255).astype(np.uint8)
    return np.dstack([multiplied, alpha])


# the picture with the same alpha in every format that has one; each is `over_white`
SEE_THROUGH: dict[str, Callable[[], bytes]] = {
    "rgba.png": lambda: encoded(TRANSPARENT, "PNG"),
    "rgba.webp": lambda: encoded(TRANSPARENT, "WEBP", lossless=True),
    "hidden colours kept.webp": lambda: encoded(TRANSPARENT, "WEBP", lossless=True, exact=True),
    "rgba16.png": lambda: opencv(".png", np.asarray(TRANSPARENT).astype(np.uint16) * 257),
    "rgba12 in 16.png": lambda: opencv(".png", np.asarray(TRANSPARENT).astype(np.uint16) * 16 + 15),
    "rgba.tiff": lambda: encoded(TRANSPARENT, "TIFF"),
    "rgba.lzw.tiff": lambda: encoded(TRANSPARENT, "TIFF", compression="tiff_lzw"),
    "rgba16.tiff": lambda: tiff(np.asarray(TRANSPARENT).astype(np.uint16) * 257, 2, 16, extra=[2]),
    "premultiplied.tiff": lambda: tiff(_associated(ALPHA), 2, 8, extra=[1]),
    "wrong checksum.png": lambda: with_chunks(encoded(TRANSPARENT, "PNG"), chunk(b"pHYs", bytes(9), wrong=True)),
    "text at the end.png": lambda: with_chunks(encoded(TRANSPARENT, "PNG"), bomb(b"zTXt"), after_pixels=True),
    "animated.png": lambda: two_frames(TRANSPARENT, "PNG"),
    "animated.webp": lambda: two_frames(TRANSPARENT, "WEBP", lossless=True),
}


def _packed(values: np.ndarray) -> np.ndarray:
    """12-bit values (H, W), two in three bytes."""
    first, second = values[:, ::2], values[:, 1::2]
    triples = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=2)
    return triples.astype(np.uint8).reshape(len(values), -1)


ODD: dict[str, Callable[[], bytes]] = {
    **{name: (lambda data=data: data) for name, data in HARMLESS.items()},
    **SEE_THROUGH,
    "la.png": lambda: encoded(TRANSPARENT.convert("LA"), "PNG"),
    "palette.png": lambda: encoded(PICTURE.convert("P"), "PNG", transparency=3),
    "palette, bits of transparency.png": lambda: encoded(PICTURE.convert("P"), "PNG", transparency=bytes(range(256))),
    "colour key.png": lambda: encoded(PICTURE, "PNG", transparency=(5, 6, 4)),
    "grey key.png": lambda: encoded(PICTURE.convert("L"), "PNG", transparency=7),
    "grey key 16.png": lambda: with_chunks(opencv(".png", DEEP[..., 0]), chunk(b"tRNS", b"\5\5")),
    "colour key 16.png": lambda: with_chunks(opencv(".png", DEEP), chunk(b"tRNS", b"\5\5\6\6\4\4")),
    "one bit.png": lambda: encoded(PICTURE.convert("1"), "PNG"),
    "one bit key.png": lambda: encoded(PICTURE.convert("1"), "PNG", transparency=0),
    "rgb16.png": lambda: opencv(".png", DEEP),
    "grey16.png": lambda: opencv(".png", DEEP[..., 0]),
    "rgb12.png": lambda: opencv(".png", DEEP >> 4),
    "grey10.png": lambda: opencv(".png", DEEP[..., 0] >> 6),
    "black16.png": lambda: opencv(".png", DEEP * 0),
    "turned16.png": lambda: with_chunks(opencv(".png", DEEP), chunk(b"eXIf", turned().tobytes()[6:])),
    "turned.png": lambda: encoded(PICTURE, "PNG", exif=turned()),
    "turned rgba.png": lambda: encoded(TRANSPARENT, "PNG", exif=turned()),
    "turned.webp": lambda: encoded(PICTURE, "WEBP", lossless=True, exif=turned()),
    "turned.tiff": lambda: encoded(PICTURE, "TIFF", exif=turned()),
    "turned.jpg": lambda: encoded(PICTURE, "JPEG", exif=turned()),
    "turned, wrong checksum.png": lambda: with_chunks(
        encoded(PICTURE, "PNG", exif=turned()), chunk(b"pHYs", bytes(9), wrong=True)
    ),
    "turned, short profile.jpg": lambda: with_segments(
        encoded(PICTURE, "JPEG", exif=turned()), segment(0xE2, b"ICC_PROFILE\0")
    ),
    "animated.gif": lambda: two_frames(PICTURE, "GIF"),
    "smaller than its screen.gif": lambda: encoded(PICTURE, "GIF").replace(b"GIF87a2\0(\0", b"GIF87a<\0\x32\0"),
    "transparent.gif": lambda: encoded(PICTURE.convert("P"), "GIF", transparency=3),
    "opaque animated.png": lambda: two_frames(PICTURE, "PNG"),
    "default picture.png": lambda: two_frames(PICTURE, "PNG", default_image=True),
    "opaque animated.webp": lambda: two_frames(PICTURE, "WEBP", lossless=True),
    "two pictures.mpo": lambda: two_frames(PICTURE, "MPO"),
    "two pages.tiff": lambda: two_frames(PICTURE, "TIFF"),
    "cmyk.jpg": lambda: encoded(PICTURE.convert("CMYK"), "JPEG"),
    "progressive.jpg": lambda: encoded(PICTURE, "JPEG", progressive=True),
    "grey.jpg": lambda: encoded(PICTURE.convert("L"), "JPEG"),
    **{
        f"{compression}.tiff": lambda compression=compression: encoded(PICTURE, "TIFF", compression=compression)
        for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    },
    **{
        f"{mode}.tiff": lambda mode=mode: encoded(PICTURE.convert(mode), "TIFF")
        for mode in ("1", "L", "P", "CMYK", "LAB", "I", "F")
    },
    "la.tiff": lambda: encoded(TRANSPARENT.convert("LA"), "TIFF"),
    "fax.tiff": lambda: encoded(PICTURE.convert("1"), "TIFF", compression="group4"),
    "big.tiff": lambda: encoded(PICTURE, "TIFF", big_tiff=True),
    "rgb16.tiff": lambda: tiff(DEEP, 2, 16),
    "rgb12.tiff": lambda: tiff(DEEP >> 4, 2, 16),
    "grey12.tiff": lambda: tiff(DEEP[..., 0] >> 4, 1, 16),
    "packed 12 bits.tiff": lambda: tiff(_packed(DEEP[..., 0] >> 4), 1, 12, width=50),
    "white is zero.tiff": lambda: tiff(COLOURS[..., 0], 0, 8),
    "white is zero, 16 bits.tiff": lambda: tiff(DEEP[..., 0], 0, 16),
    "fractions.tiff": lambda: tiff((COLOURS[..., 0] / 255).astype(np.float32), 1, 32, sample_format=3),
    "colour fractions.tiff": lambda: tiff((COLOURS / 255).astype(np.float32), 2, 32, sample_format=3),
    "not numbers.tiff": lambda: tiff(np.full((40, 50), np.nan, np.float32), 1, 32, sample_format=3),
    "whole numbers of 32 bits.tiff": lambda: tiff(COLOURS[..., 0].astype(np.int32) - 9, 1, 32, sample_format=2),
    "rgba.bmp": lambda: encoded(TRANSPARENT, "BMP"),
    "alpha.bmp": lambda: opencv(".bmp", np.asarray(TRANSPARENT)),
    "one bit.bmp": lambda: encoded(PICTURE.convert("1"), "BMP"),
    "icon.png": lambda: encoded(PICTURE, "ICO", sizes=[(16, 16)]),
    "jpeg 2000.jpg": lambda: encoded(PICTURE, "JPEG2000"),
    "a jpeg.png": lambda: JPEG,
    "a png.jpg": lambda: PNG,
    "a tiff.gif": lambda: encoded(PICTURE, "TIFF"),
    "wrong checksum of the pixels.png": lambda: flipped_idat_checksum(PNG),
    "wrong checksum of the pixels, rgba.png": lambda: flipped_idat_checksum(encoded(TRANSPARENT, "PNG")),
    "all checksums wrong.png": lambda: without_checksums(PNG),
    "all checksums wrong, rgba.png": lambda: without_checksums(encoded(TRANSPARENT, "PNG")),
    "wrong size, wrong checksum.png": lambda: PNG[:16] + struct.pack(">2I", 50, 39) + PNG[24:],
    "wrong colours, wrong checksum.png": lambda: PNG[:25] + b"\0" + PNG[26:],
    "chunk of gigabytes.png": lambda: PNG.replace(PNG[33:37] + b"IDAT", b"\x7f\0\0\0IDAT"),
    "chunk of gigabytes, 16 bits.png": lambda: opencv(".png", DEEP)[:33] + b"\x7f" + opencv(".png", DEEP)[34:],
    "half of rgba.png": lambda: encoded(TRANSPARENT, "PNG")[:900],
    "half of 16 bits.png": lambda: opencv(".png", DEEP)[:900],
    "half.tiff": lambda: encoded(PICTURE, "TIFF")[:3000],
    "half of lzw.tiff": lambda: encoded(PICTURE, "TIFF", compression="tiff_lzw")[:900],
    "half.webp": lambda: encoded(TRANSPARENT, "WEBP", lossless=True)[:400],
    "no pixels.png": lambda: png_header(0, 0),
    "65500 x 65500.png": lambda: png_header(65500, 65500),
    "65500 x 65500.tiff": lambda: (
        tiff(COLOURS, 2, 8)
        .replace(struct.pack("<2H2I", 256, 3, 1, 50), struct.pack("<2H2I", 256, 3, 1, 65500))
        .replace(struct.pack("<2H2I", 257, 3, 1, 40), struct.pack("<2H2I", 257, 3, 1, 65500))
    ),
    "20000 x 1.png": lambda: encoded(Image.new("RGB", (20000, 1), (9, 8, 7)), "PNG"),
    "photograph.heic": lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
    "broken.avif": lambda: b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(200),
}
Image.init()
if "AVIF" in Image.SAVE:
    ODD |= {
        "opaque.avif": lambda: encoded(PICTURE, "AVIF"),
        "rgba.avif": lambda: encoded(TRANSPARENT, "AVIF"),
        "turned.avif": lambda: encoded(PICTURE, "AVIF", exif=turned()),
        "animated.avif": lambda: two_frames(PICTURE, "AVIF"),
        "half.avif": lambda: encoded(PICTURE, "AVIF")[:300],
    }
