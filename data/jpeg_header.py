"""The size in the header of an ordinary JPEG file; what is unusual is left to Pillow, which takes five times longer."""

# tables of quantisation and Huffman codes, restart intervals, comments
_PLAIN_SEGMENTS = frozenset((0xDB, 0xC4, 0xDD, 0xFE))
_JFIF, _START_OF_SCAN = 0xE0, 0xDA
# baseline, extended sequential and progressive, with Huffman codes
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
# a header is shorter than that, unless it holds what is unusual
_LONGEST_HEADER = 4096


def plain_jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Return (width, height) of an upright grey or YCbCr JPEG picture of 8 bits without metadata, else None.

    `head` is the beginning of the file. None does not say that a file is bad: it may have EXIF, a profile, damage, or
    another format.
    """
    size, place = None, 2
    if head[:3] != b"\xff\xd8\xff":
        return None
    head = head[:_LONGEST_HEADER]
    while place + 4 <= len(head) and head[place] == 0xFF:
        marker, length = head[place + 1], int.from_bytes(head[place + 2 : place + 4], "big")
        body = head[place + 4 : place + 2 + length]
        if length < 2 or len(body) != length - 2:
            return None
        if marker == _START_OF_SCAN:
            return size
        if marker in _FRAMES and size is None:
            size = _size_of(body)
            if size is None:
                return None
        elif marker not in _PLAIN_SEGMENTS and not (marker == _JFIF and body[:5] == b"JFIF\0" and len(body) >= 14):
            return None
        place += 2 + length
    return None


def _size_of(frame: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a frame's segment: bits, height, width, number of components, three bytes for each."""
    if len(frame) < 6 or frame[0] != 8 or frame[5] not in (1, 3) or len(frame) != 6 + 3 * frame[5]:
        return None
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    return (width, height) if width and height else None
