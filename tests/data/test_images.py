"""Every format and mode becomes uint8 RGB; damage is recovered and said, or refused with a reason."""

import importlib.util
import io
import pickle
import struct
import sys
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps, features

import data.decoders
from data.images import UnreadableImage, attempt, decode_image, measure_image, read_image
from data.jpeg_header import plain_jpeg_size
from data.listing import list_images
from tests.odd_images import (
    ALPHA,
    COLOURS,
    DEEP,
    HARMLESS,
    JPEG,
    ODD,
    PICTURE,
    PNG,
    SEE_THROUGH,
    TRANSPARENT,
    encoded,
    opencv,
    png_header,
    two_frames,
)

COLUMNS, ROWS = np.meshgrid(np.arange(64) * 4, np.arange(48) * 5)
GRADIENT = np.stack([COLUMNS, ROWS, np.full_like(ROWS, 90)], axis=2).astype(np.uint8)


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


@pytest.mark.parametrize("name", HARMLESS)
def test_metadata_that_is_wrong_costs_no_pixel(name):
    pixels, recovered = decode(HARMLESS[name])
    assert np.array_equal(pixels, decode(JPEG if name.endswith(".jpg") else PNG).pixels)
    assert not recovered


@pytest.mark.parametrize("name", ["wrong checksum of the pixels.png", "all checksums wrong.png"])
def test_a_wrong_checksum_of_what_matters_is_said(name):
    pixels, recovered = decode(ODD[name]())
    assert np.array_equal(pixels, COLOURS)
    assert recovered


def test_a_chunk_that_claims_gigabytes_is_given_none(monkeypatch):
    claimed = []
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: claimed.append(struct.unpack_from(">I", data, 33)[0]))
    pixels, recovered = decode(ODD["chunk of gigabytes.png"]())
    assert recovered
    assert np.array_equal(pixels[:20], COLOURS[:20])
    assert all(length < 100_000 for length in claimed)


def over_white(colours, alpha):
    opacity = alpha[..., None] / 255
    return np.floor(colours * opacity + 255 * (1 - opacity) + 0.5)


@pytest.mark.parametrize("name", SEE_THROUGH)
def test_transparent_pixels_are_laid_over_white_in_every_format(name):
    pixels, recovered = decode(SEE_THROUGH[name]())
    # colours that were multiplied with alpha before have lost a little
    allowed = 1 if name == "premultiplied.tiff" else 0
    assert np.abs(pixels - over_white(COLOURS, ALPHA)).max() <= allowed
    assert not recovered


def test_what_lies_below_transparent_pixels_does_not_matter():
    other = np.where(ALPHA[..., None] == 0, 255 - COLOURS, COLOURS)
    assert not np.array_equal(other, COLOURS)
    for depth, suffix in ((1, ".png"), (257, ".png"), (1, ".webp")):
        kind = np.uint8 if depth == 1 else np.uint16
        first, second = (np.dstack([colours, ALPHA]).astype(kind) * kind(depth) for colours in (COLOURS, other))
        assert np.array_equal(decode(opencv(suffix, first)).pixels, decode(opencv(suffix, second)).pixels)
    # a bright colour that nobody sees says nothing about the depth of the others
    dark = np.dstack([DEEP >> 4, ALPHA.astype(np.uint16) * 257])
    dark[ALPHA == 0, :3] = 65535
    visible = ALPHA == 255
    assert np.array_equal(decode(opencv(".png", dark)).pixels[visible], COLOURS[visible])


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("colour key.png", (5, 6, 4)),
        ("grey key.png", (7, 7, 7)),
        ("one bit key.png", (0, 0, 0)),
        ("grey key 16.png", (5, 5, 5)),
        ("colour key 16.png", (5, 6, 4)),
    ],
)
def test_a_transparent_colour_becomes_white(name, key):
    plain = {
        "colour key.png": PNG,
        "grey key.png": encoded(PICTURE.convert("L"), "PNG"),
        "one bit key.png": encoded(PICTURE.convert("1"), "PNG"),
        "grey key 16.png": opencv(".png", DEEP[..., 0]),
        "colour key 16.png": opencv(".png", DEEP),
    }[name]
    before, pixels = decode(plain).pixels, decode(ODD[name]()).pixels
    transparent = (before == key).all(axis=2)
    assert transparent.any()
    assert (pixels[transparent] == 255).all()
    assert np.array_equal(pixels[~transparent], before[~transparent])


OPAQUE = {
    **{mode + ".png": encoded(PICTURE.convert(mode), "PNG") for mode in ("RGB", "L", "P", "1")},
    **{mode + ".bmp": encoded(PICTURE.convert(mode), "BMP") for mode in ("RGB", "L", "P", "1")},
    **{mode + ".gif": encoded(PICTURE.convert(mode), "GIF") for mode in ("RGB", "L", "P", "1")},
    **{mode + ".jpg": encoded(PICTURE.convert(mode), "JPEG") for mode in ("RGB", "L", "CMYK")},
    "sixteen.png": opencv(".png", DEEP),
    "grey sixteen.png": opencv(".png", DEEP[..., 0]),
    "interlaced.gif": encoded(PICTURE, "GIF", interlace=1),
    "smaller than its screen.gif": ODD["smaller than its screen.gif"](),
    "lossy.webp": encoded(PICTURE, "WEBP", quality=60),
    "lossless.webp": encoded(PICTURE, "WEBP", lossless=True),
    "animated.gif": two_frames(PICTURE, "GIF"),
    "animated.png": two_frames(PICTURE, "PNG"),
    "animated.webp": two_frames(PICTURE, "WEBP", lossless=True),
    "opaque alpha.png": encoded(PICTURE.convert("RGBA"), "PNG"),
    "opaque alpha.webp": encoded(PICTURE.convert("RGBA"), "WEBP", quality=60),
    "turned.jpg": ODD["turned.jpg"](),
    "turned.png": ODD["turned.png"](),
}


@pytest.mark.parametrize("name", OPAQUE)
def test_opaque_images_have_the_pixels_that_opencv_gives(name):
    data = np.frombuffer(OPAQUE[name], np.uint8)
    assert np.array_equal(decode_image(data, name).pixels, np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((f"{name}.{suffix}", COLOURS) for name in ("rgb16", "rgb12") for suffix in ("png", "tiff")),
        *((name, COLOURS[..., :1]) for name in ("grey16.png", "grey10.png", "grey12.tiff", "packed 12 bits.tiff")),
        ("black16.png", COLOURS * 0),
        ("fractions.tiff", COLOURS[..., :1]),
        ("white is zero.tiff", 255 - COLOURS[..., :1]),
        ("white is zero, 16 bits.tiff", 255 - COLOURS[..., :1]),
        ("not numbers.tiff", COLOURS * 0),
        ("big.tiff", COLOURS),
        ("tiff_lzw.tiff", COLOURS),
        ("CMYK.tiff", COLOURS),
    ],
)
def test_every_depth_is_scaled_by_the_bits_that_it_uses(name, expected):
    pixels = decode(ODD[name]()).pixels
    assert np.array_equal(pixels, np.broadcast_to(expected, (40, 50, 3)))


@pytest.mark.parametrize("largest", [255, 256, 1023, 1024, 4095, 4096, 16383, 16384, 65535])
def test_the_depth_is_the_smallest_that_holds_the_largest_value(largest):
    values = np.linspace(0, largest, 48 * 64).reshape(48, 64).astype(np.uint16)
    bits = next(depth for depth in (8, 10, 12, 14, 16) if largest < 2**depth)
    assert np.array_equal(decode(opencv(".png", values)).pixels[..., 0], values >> (bits - 8))


@pytest.mark.parametrize(
    "name", ["turned.png", "turned.jpg", "turned.webp", "turned.tiff", "turned16.png", "turned, wrong checksum.png",
             "turned, short profile.jpg", "turned rgba.png", "turned.avif"]
)  # fmt: skip
def test_the_side_that_is_up_is_known_in_every_format(name):
    if name not in ODD:
        pytest.skip("this Pillow writes no AVIF")
    wanted = over_white(COLOURS, ALPHA) if "rgba" in name else COLOURS
    wanted = np.rot90(wanted, -1)
    pixels = decode(ODD[name]()).pixels
    assert pixels.shape == wanted.shape
    assert np.abs(pixels - wanted.astype(float)).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = encoded(Image.merge("RGBA", TRANSPARENT.split()), "PNG", exif=exif)
    with Image.open(io.BytesIO(turned)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(decode(turned).pixels, over_white(expected[..., :3], expected[..., 3]))


FIRST = ["animated.gif", "opaque animated.png", "default picture.png", "opaque animated.webp", "animated.avif",
         "two pictures.mpo", "two pages.tiff"]  # fmt: skip


@pytest.mark.parametrize("name", FIRST)
def test_the_first_frame_or_picture_is_read(name):
    if name not in ODD:
        pytest.skip("this Pillow writes no AVIF")
    pixels, recovered = decode(ODD[name]())
    assert np.abs(pixels.astype(int) - COLOURS).mean() < 4
    assert not recovered


UNREADABLE = {
    "icon.png": "not a JPEG, PNG, BMP, GIF, WebP, TIFF or AVIF image",
    "jpeg 2000.jpg": "not a JPEG",
    "colour fractions.tiff": "a TIFF image that is damaged or of a rare kind",
    "half of lzw.tiff": "a TIFF image that is damaged",
    "half.webp": "its header is damaged",
    "half.avif": "damaged",
    "broken.avif": "its header is damaged",
    "wrong size, wrong checksum.png": "damaged|not a JPEG",
    "wrong colours, wrong checksum.png": "damaged|not a JPEG",
    "no pixels.png": "not a JPEG|no pixels",
    "65500 x 65500.png": "megapixels",
    "65500 x 65500.tiff": "megapixels",
    "photograph.heic": "a HEIC image; install pillow-heif, or convert it to JPEG",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_give_pixels_or_a_reason(name):
    if name == "photograph.heic" and importlib.util.find_spec("pillow_heif"):
        pytest.skip("a decoder of HEIC is installed")
    if name in UNREADABLE:
        with pytest.raises(UnreadableImage, match=UNREADABLE[name]):
            decode(ODD[name]())
        return
    pixels = decode(ODD[name]()).pixels
    assert (pixels.dtype, pixels.ndim, pixels.shape[2], pixels.flags.writeable) == (np.uint8, 3, 3, True)
    # none is black by mistake
    assert pixels.max() > 5 or name in ("black16.png", "not numbers.tiff")


def test_avif_needs_one_of_the_two_decoders(monkeypatch):
    if "opaque.avif" not in ODD:
        pytest.skip("this Pillow writes no AVIF")
    expected = decode(ODD["opaque.avif"]()).pixels
    monkeypatch.setattr("data.decoders._pillow_reads_avif", lambda: False)
    assert np.array_equal(decode(ODD["opaque.avif"]()).pixels, expected)
    monkeypatch.setattr("data.decoders.MAX_PIXELS", 100)
    with pytest.raises(UnreadableImage, match="megapixels"):
        decode(ODD["opaque.avif"]())
    monkeypatch.undo()
    monkeypatch.setattr("data.decoders._pillow_reads_avif", lambda: False)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
    with pytest.raises(UnreadableImage, match="an AVIF image; install Pillow"):
        decode(ODD["opaque.avif"]())


def test_an_old_pillow_does_not_know_the_word_avif(monkeypatch):
    def check(feature):
        warnings.warn(f"Unknown feature '{feature}'.", stacklevel=2)

    monkeypatch.setattr(features, "check", check)
    data.decoders._pillow_reads_avif.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not data.decoders._pillow_reads_avif()
    data.decoders._pillow_reads_avif.cache_clear()


def test_heic_is_read_where_a_decoder_is_installed(monkeypatch):
    factory: Any = lambda *_: PICTURE.copy()  # noqa: E731
    decoder = types.ModuleType("pillow_heif")
    setattr(decoder, "register_heif_opener", lambda: Image.register_open("HEIF", factory))  # noqa: B010
    monkeypatch.setitem(sys.modules, "pillow_heif", decoder)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    data.decoders._pillow_reads_heif.cache_clear()
    assert np.array_equal(decode(ODD["photograph.heic"]()).pixels, COLOURS)
    data.decoders._pillow_reads_heif.cache_clear()


def test_threads_do_not_change_what_others_see():
    """Pillow has one switch for truncated files; a file must not be read leniently because another one is."""
    half, whole = ODD["half of rgba.png"](), SEE_THROUGH["rgba.png"]()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(decode, [half, whole] * 40))
    assert [image.recovered for image in found] == [True, False] * 40
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError("Unable to allocate 21.6 GiB"), "MemoryError: Unable to allocate 21.6 GiB"),
        (cv2.error("OpenCV:\n Insufficient memory\n"), "error: OpenCV: Insufficient memory"),
        (UnreadableImage("a.jpg", "the file is empty"), "the file is empty"),
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (ValueError(), "ValueError:"),
    ],
)
def test_whatever_fails_is_the_fault_of_one_image(error, reason):
    def fail():
        raise error

    assert attempt(fail) == (None, reason)
    assert attempt(lambda: 3) == (3, "")


SEEDS = [encoded(image, kind) for kind, image in MODES.items()] + [make() for make in SEE_THROUGH.values()]


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


def measured_and_decoded(content):
    data = np.frombuffer(content, np.uint8)
    measured, problem = attempt(lambda: measure_image(data, "x"))
    decoded, reason = attempt(lambda: decode_image(data, "x"))
    expected = None if decoded is None else ((decoded.pixels.shape[1], decoded.pixels.shape[0]), decoded.recovered)
    return (measured, problem), (expected, reason)


@pytest.mark.parametrize("name", ODD)
def test_measuring_an_odd_image_agrees_with_decoding_it(name):
    measured, decoded = measured_and_decoded(ODD[name]())
    assert measured == decoded


@pytest.mark.parametrize("orientation", range(1, 9))
def test_measuring_knows_which_side_is_up(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(GRADIENT).save(buffer, "JPEG", exif=exif)
    measured, decoded = measured_and_decoded(buffer.getvalue())
    assert measured == decoded


@pytest.mark.parametrize("progressive", [False, True])
def test_measuring_finds_the_damage_that_decoding_finds(progressive):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (96, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG", progressive=progressive)
    content = buffer.getvalue()
    for length in range(1, len(content), 97):
        measured, decoded = measured_and_decoded(content[:length])
        assert measured == decoded, length


LARGE = np.tile(GRADIENT, (8, 8, 1))


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_decoded_smaller_and_upright(factor, orientation, mode):
    exif, sizes = Image.Exif(), []
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(cv2.GaussianBlur(LARGE, (0, 0), 4)).convert(mode), "JPEG", exif=exif, quality=95)

    def reduction(width, height):
        sizes.append((width, height))
        return factor

    whole = decode(content).pixels
    pixels, recovered = decode_image(np.frombuffer(content, np.uint8), "picture", reduction)
    assert sizes == [(whole.shape[1], whole.shape[0])]
    assert not recovered
    assert pixels.shape == (whole.shape[0] // factor, whole.shape[1] // factor, 3)
    expected = cv2.resize(whole, pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(pixels.astype(int) - expected).mean() < 2


def test_damage_is_found_in_a_smaller_picture_too():
    content = encoded(Image.fromarray(LARGE), "JPEG", quality=95)
    half = np.frombuffer(content[: len(content) // 2], np.uint8)
    pixels, recovered = decode_image(half, "picture", lambda *_: 4)
    assert recovered
    assert np.array_equal(pixels, decode_image(half, "picture").pixels)


@pytest.mark.parametrize("name", ODD)
def test_a_reduction_changes_no_refusal_and_no_damage(name):
    data_of_file = np.frombuffer(ODD[name](), np.uint8)
    whole, reason = attempt(lambda: decode_image(data_of_file, "x"))
    small, problem = attempt(lambda: decode_image(data_of_file, "x", lambda *_: 2))
    assert problem == reason
    if whole is None or small is None:
        assert small is whole
    else:
        assert small.recovered == whole.recovered
        assert small.pixels.shape in (whole.pixels.shape, (*(-(-side // 2) for side in whole.pixels.shape[:2]), 3))


def with_pillow(content):
    """Decode as if no header were plain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data.decoders.plain_jpeg_size", lambda _: None)
        return attempt(lambda: decode(content))


def same_as_with_pillow(content):
    """Say whether the pixels and what is said of damage are the same, or both refuse the file (in other words)."""
    (expected, _), (found, _) = with_pillow(content), attempt(lambda: decode(content))
    if expected is None or found is None:
        return found is expected
    return found.recovered == expected.recovered and np.array_equal(found.pixels, expected.pixels)


@pytest.mark.parametrize("name", ODD)
def test_the_quick_look_at_a_header_changes_nothing(name):
    assert same_as_with_pillow(ODD[name]())


@pytest.mark.parametrize(("mode", "progressive"), [("RGB", False), ("RGB", True), ("L", False)])
def test_a_plain_header_is_read_without_pillow(mode, progressive, monkeypatch):
    content = encoded(Image.fromarray(GRADIENT).convert(mode), "JPEG", progressive=progressive)
    assert plain_jpeg_size(content) == (64, 48)
    expected = decode(content).pixels
    monkeypatch.setattr(Image, "open", None)
    assert np.array_equal(decode(content).pixels, expected)


@pytest.mark.parametrize("name", ["turned.jpg", "cmyk.jpg", "two pictures.mpo", "short JFIF.jpg", "a png.jpg"])
def test_an_unusual_header_is_left_to_pillow(name):
    assert plain_jpeg_size(ODD[name]()) is None


def test_a_jpeg_that_claims_to_be_huge_is_refused_by_its_header():
    frame = JPEG.index(b"\xff\xc0")
    huge = JPEG[: frame + 5] + b"\xff\xff\xff\xff" + JPEG[frame + 9 :]
    assert plain_jpeg_size(huge) == (65535, 65535)
    with pytest.raises(UnreadableImage, match="megapixels"):
        decode(huge)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 700), st.integers(0, 255)), max_size=3), st.integers(2, 3000))
def test_a_header_with_any_bytes_changed_is_read_as_before(changes, length):
    mutated = bytearray(JPEG[:length] if length % 4 == 0 else JPEG)
    for place, value in changes:
        mutated[place % len(mutated)] = value
    assert same_as_with_pillow(bytes(mutated))
