"""Damaged PNG and JPEG files cut down to the parts that hold pixels: what decoders refuse often lies in the others."""

import zlib
from typing import NamedTuple

import numpy as np

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# by colour type
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

_START_OF_SCAN = 0xDA
# markers without a length: padding, stuffed zeros, restarts, the start of the image
_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xD9)))
# application segments, reserved ones, comments
_OPTIONAL = frozenset(range(0xE0, 0xFF))


class Essence(NamedTuple):
    """A file of the needed parts alone; `damaged` means that a checksum of one of these is wrong."""

    content: bytes
    damaged: bool


def essence(content: bytes) -> Essence | None:
    """Return a PNG or JPEG file without its metadata; None for other files, and if no pixels are in it.

    A sound EXIF block stays, because it tells which side is up.
    """
    if content.startswith(_PNG):
        return _png_essence(content)
    if content.startswith(b"\xff\xd8"):
        return _jpeg_essence(content)
    return None


def claims_too_much(data: np.ndarray) -> bool:
    """Say whether a chunk of a PNG file, uint8 (N,), is longer than the rest of it: OpenCV would set as much aside."""
    place, kind = len(_PNG), b""
    if data[:place].tobytes() != _PNG:
        return False
    while kind != b"IEND" and place + 8 <= len(data):
        head = data[place : place + 8].tobytes()
        kind = head[4:]
        place += 12 + int.from_bytes(head[:4], "big")
    return place > len(data)


def _png_essence(content: bytes) -> Essence | None:
    """Keep the critical chunks, tRNS and a sound eXIf; checksums are computed anew.

    A header whose checksum is wrong is believed only if the pixels fill its size exactly.
    """
    kept, pixels, damaged, position = [_PNG], [], False, len(_PNG)
    doubtful_header = b""
    while position + 8 <= len(content):
        length, kind = int.from_bytes(content[position : position + 4], "big"), content[position + 4 : position + 8]
        body = content[position + 8 : position + 8 + length]
        checksum = zlib.crc32(kind + body)
        sound = checksum.to_bytes(4, "big") == content[position + 8 + length : position + 12 + length]
        if kind in _PNG_CHUNKS or (kind == b"eXIf" and sound):
            damaged = damaged or not sound
            kept.append(len(body).to_bytes(4, "big") + kind + body + checksum.to_bytes(4, "big"))
        if kind == b"IDAT":
            pixels.append(body)
        elif kind == b"IHDR" and not sound:
            doubtful_header = body
        position += 12 + length
        if kind == b"IEND":
            break
    if not pixels or (doubtful_header and not _fills(b"".join(pixels), doubtful_header)):
        return None
    return Essence(b"".join(kept), damaged)


def _fills(pixels: bytes, header: bytes) -> bool:
    """Say whether compressed pixels have exactly the size of a PNG header (without interlacing)."""
    if len(header) != 13 or header[9] not in _PNG_CHANNELS or header[12] != 0:
        return False
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    size = height * (1 + (width * header[8] * _PNG_CHANNELS[header[9]] + 7) // 8)
    stream, found = zlib.decompressobj(), 0
    try:
        while not stream.eof and found <= size and (part := stream.decompress(pixels, 1 << 20)):
            found, pixels = found + len(part), stream.unconsumed_tail
    except zlib.error:
        return False
    return found == size


def _jpeg_essence(content: bytes) -> Essence | None:
    """Keep the tables, the frame, EXIF, and complete JFIF and Adobe segments, which tell the colour space."""
    kept, position = [b"\xff\xd8"], 2
    while True:
        position = content.find(b"\xff", position)
        if not 0 <= position < len(content) - 4:
            return None
        marker, length = content[position + 1], int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == _START_OF_SCAN:
            return Essence(b"".join(kept) + content[position:], damaged=False)
        if marker == 0xFF:
            position += 1
        elif marker in _ALONE or length < 2:
            position += 2
        else:
            segment = content[position : position + 2 + length]
            if _is_needed(marker, segment[4:]):
                kept.append(segment)
            position += len(segment)


def _is_needed(marker: int, body: bytes) -> bool:
    if marker == 0xE0:
        return body.startswith(b"JFIF\0") and len(body) >= 14
    if marker == 0xE1:
        return body.startswith(b"Exif\0\0")
    if marker == 0xEE:
        return body.startswith(b"Adobe") and len(body) >= 12
    return marker not in _OPTIONAL
