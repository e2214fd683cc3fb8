"""Every format and mode becomes uint8 RGB; damage is recovered and said, or refused with a reason."""

import io
import pickle
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.images import UnreadableImage, decode_image, read_image
from data.listing import list_images

COLUMNS, ROWS = np.meshgrid(np.arange(64) * 4, np.arange(48) * 5)
GRADIENT = np.stack([COLUMNS, ROWS, np.full_like(ROWS, 90)], axis=2).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(content: bytes):
    return decode_image(np.frombuffer(content, np.uint8), "picture")


MODES = {
    "JPEG": Image.fromarray(GRADIENT),
    "PNG": Image.fromarray(GRADIENT),
    "BMP": Image.fromarray(GRADIENT),
    "WEBP": Image.fromarray(GRADIENT),
    "GIF": Image.fromarray(GRADIENT),
}


@pytest.mark.parametrize("kind", MODES)
def test_every_format_is_read(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels, recovered = decode(encoded(MODES[kind], kind, **options))
    assert (pixels.shape, pixels.dtype, recovered) == ((48, 64, 3), np.uint8, False)
    assert np.abs(pixels.astype(int) - GRADIENT).mean() < (12 if kind in ("GIF", "JPEG") else 0.01)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_colour_mode_becomes_rgb(mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    image = Image.fromarray(GRADIENT).convert(mode)
    pixels, recovered = decode(encoded(image, kind))
    assert (pixels.shape, pixels.dtype, recovered) == ((48, 64, 3), np.uint8, False)
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(pixels.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3)])
def test_sixteen_bits_are_scaled_not_cut(shape):
    values = np.linspace(0, 65535, int(np.prod(shape))).reshape(shape).astype(np.uint16)
    pixels = decode(cv2.imencode(".png", values)[1].tobytes()).pixels
    reference = np.broadcast_to((values if values.ndim == 3 else values[..., None]) / 257, (48, 64, 3))
    assert np.abs(pixels.astype(float) - reference[..., ::-1]).max() <= 1.5


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter
    assert decode(encoded(Image.fromarray(GRADIENT), "JPEG", exif=exif)).pixels.shape == (64, 48, 3)


def test_a_truncated_jpeg_is_recovered_and_says_so():
    content = encoded(Image.fromarray(np.tile(GRADIENT, (8, 8, 1))), "JPEG", quality=95)
    whole = decode(content).pixels.astype(int)
    pixels, recovered = decode(content[: len(content) * 6 // 10])
    assert recovered
    assert pixels.shape == whole.shape
    upper = slice(0, whole.shape[0] // 3)
    assert np.abs(pixels[upper].astype(int) - whole[upper]).mean() < 3


def test_a_truncated_sixteen_bit_png_is_recovered_and_scaled():
    values = np.random.default_rng(0).integers(30000, 40000, (200, 200)).astype(np.uint16)
    content = cv2.imencode(".png", values)[1].tobytes()
    pixels, recovered = decode(content[: len(content) // 2])
    assert recovered
    assert 110 < pixels[:20].mean() < 160


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, this is text", "not a JPEG"),
        (b"\xff\xd8\xff", "not a JPEG|damaged"),
        (b"%PDF-1.4 ....", "not a JPEG"),
    ],
)
def test_what_is_no_image_is_refused_with_a_reason(content, reason):
    with pytest.raises(UnreadableImage, match=reason):
        decode(content)


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes cannot hold."""
    small = bytearray(encoded(Image.new("RGB", (1, 1)), "PNG"))
    small[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    small[29:33] = zlib.crc32(bytes(small[12:29])).to_bytes(4, "big")
    return bytes(small)


@pytest.mark.parametrize("size", [(30000, 30000), (178_001, 1000), (60000, 60000)])
def test_a_huge_picture_is_refused_by_its_header(size):
    with pytest.raises(UnreadableImage, match="megapixels"):
        decode(png_header(*size))


def test_the_error_crosses_process_borders():
    error = pickle.loads(pickle.dumps(UnreadableImage("a/b.jpg", "the file is empty")))
    assert (error.path, error.reason, str(error)) == ("a/b.jpg", "the file is empty", "a/b.jpg: the file is empty")


def test_files_with_chinese_names_are_read(tmp_path):
    path = tmp_path / "数据 (1)" / "花.jpg"
    path.parent.mkdir()
    path.write_bytes(encoded(Image.fromarray(GRADIENT), "JPEG"))
    assert read_image(path).pixels.shape == (48, 64, 3)


def test_listing_takes_each_image_once_in_order(tmp_path):
    for name in ["b.JPG", "a.jpeg", "sub/c.PNG", "notes.txt", ".hidden.jpg", "__MACOSX/d.jpg", "e.webp"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert list(list_images(tmp_path)) == ["a.jpeg", "b.JPG", "e.webp", "sub/c.PNG"]


SEEDS = [encoded(image, kind) for kind, image in MODES.items()]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12),
    st.integers(0, 10**6),
)
def test_mutated_files_give_pixels_or_a_reason(content, changes, cut):
    mutated = bytearray(content)
    for position, value in changes:
        mutated[position % len(mutated)] = value
    if cut % 3 == 0:
        del mutated[cut % len(mutated) :]
    try:
        pixels = decode(bytes(mutated)).pixels
    except UnreadableImage:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
