"""Mutated images, tables and checkpoints end in a result or in an error of ours, never in another exception."""

# a None where a value should be fails the test like any other fault
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false

import importlib.util
import io
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from common.classes import ImageClass
from common.errors import InputError
from data.images import UnreadableImage, decode_image
from data.table import read_classes, read_table
from models.checkpoint import load_checkpoint
from prediction.predictions_csv import read_predictions
from tests.conftest import stripes
from tests.helpers import REPOSITORY
from tests.odd_images import ODD
from training.resume import load_training_state

pytestmark = pytest.mark.integration

# cases of each of the four tests: 200 together in the ordinary run, 2,400 in the slow one
CASES = [pytest.param(50, id="quick"), pytest.param(600, id="slow", marks=pytest.mark.slow)]

# where bytes change, to what, where the file is cut, and what is put in
MUTATION = some.fixed_dictionaries(
    {
        "changes": some.lists(some.tuples(some.floats(0, 1), some.integers(0, 255)), max_size=8),
        "header": some.lists(some.tuples(some.integers(0, 64), some.integers(0, 255)), max_size=3),
        "cut": some.none() | some.floats(0, 1),
        "insert": some.tuples(some.floats(0, 1), some.binary(max_size=20)),
    }
)


def mutated(data: bytes, mutation: dict) -> bytes:
    result = bytearray(data)
    for share, value in mutation["changes"]:
        result[min(int(share * len(result)), len(result) - 1)] = value
    for place, value in mutation["header"]:
        if place < len(result):
            result[place] = value
    place, inserted = mutation["insert"]
    result[int(place * len(result)) : int(place * len(result))] = inserted
    return bytes(result if mutation["cut"] is None else result[: int(mutation["cut"] * len(result))])


def fuzz(cases: int, strategy: some.SearchStrategy, check) -> int:
    """Call `check` with `cases` draws; return how many were made."""
    made = 0

    @settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(strategy)
    def run(drawn):
        nonlocal made
        made += 1
        check(drawn)

    run()
    return made


def refusal(read) -> str:
    """Return the message with which `read` refuses its file, or nothing if it does not."""
    try:
        read()
    except InputError as error:
        return str(error)
    return ""


def image_files() -> list[bytes]:
    """Return small files of every format, grey, with an alpha channel, progressive, animated, and odd ones."""
    pixels = stripes(2, 1)
    files = [cv2.imencode(suffix, pixels)[1].tobytes() for suffix in (".jpg", ".png", ".webp", ".bmp")]
    files.append(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes())
    picture = Image.fromarray(pixels)
    for mode, form in (("L", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("RGBA", "WEBP")):
        buffer = io.BytesIO()
        picture.convert(mode).save(buffer, form)
        files.append(buffer.getvalue())
    buffer = io.BytesIO()
    picture.save(buffer, "GIF", save_all=True, append_images=[picture.rotate(90)])
    odd = [make() for name, make in ODD.items() if not name.startswith("profile of 12") and name != "hundred texts.png"]
    return [*files, buffer.getvalue(), *odd]


def judges_decoder():
    spec = importlib.util.spec_from_file_location("judges", REPOSITORY / "competition" / "template" / "utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read_image


@pytest.mark.parametrize("cases", CASES)
def test_images_give_pixels_or_a_reason_and_judges_see_the_same(tmp_path, cases):
    files, read_as_judge, path = image_files(), judges_decoder(), tmp_path / "image"

    def check(drawn):
        number, mutation = drawn
        data = mutated(files[number], mutation)
        try:
            pixels = decode_image(np.frombuffer(data, np.uint8), "image").pixels
            assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
            assert pixels.size > 0
        except UnreadableImage:
            pixels = None
        path.write_bytes(data)
        try:
            theirs = read_as_judge(path)
        except (ValueError, OSError):
            theirs = None
        assert (pixels is None) == (theirs is None)
        assert pixels is None or np.array_equal(pixels, theirs)

    assert fuzz(cases, some.tuples(some.integers(0, len(files) - 1), MUTATION), check) >= cases


TABLE_TEXTS = [
    "image_id,label\na.png,0\nb.png,1\n",
    "filename,category_id,confidence\na.png,100,0.5\nb.png,101,0.25\n",
    'label,category_id,name\n0,100,"花, 一"\n1,101,玫瑰\n',
]
HOSTILE_CELLS = [
    "",
    "-1",
    "1.0",
    "1e400",
    "nan",
    "９",
    "999999999",
    "../x",
    "/etc/passwd",
    "C:\\x",
    '"',
    "\0",
    "\ufeff",
    "花" * 200,
]


@pytest.mark.parametrize("cases", CASES)
def test_tables_are_read_or_refused(tmp_path, cases):
    (tmp_path / "a.png").write_bytes(b"")
    classes = [ImageClass(0, "100", "a"), ImageClass(1, "101", "b")]
    path = tmp_path / "table.csv"

    def check(drawn):
        number, mutation, cell, place, encoding = drawn
        text = TABLE_TEXTS[number]
        cells = text.split(",")
        cells[int(place * len(cells))] = cell
        path.write_bytes(mutated(",".join(cells).encode(encoding, errors="replace"), mutation))
        for read in (
            lambda: read_table(path, tmp_path),
            lambda: read_classes(path),
            lambda: read_predictions(path, classes),
        ):
            assert len(refusal(read).splitlines()) <= 2

    strategy = some.tuples(
        some.integers(0, len(TABLE_TEXTS) - 1),
        MUTATION,
        some.sampled_from(HOSTILE_CELLS) | some.text(max_size=20),
        some.floats(0, 0.99),
        some.sampled_from(["utf-8", "utf-8-sig", "gbk", "utf-16"]),
    )
    assert fuzz(cases, strategy, check) >= cases


@pytest.mark.parametrize("cases", CASES)
def test_damaged_checkpoint_files_are_refused_or_whole(checkpoint, tmp_path, cases):
    states = checkpoint.read_bytes(), checkpoint.with_name("last.pt").read_bytes()
    path = tmp_path / "mutated.pt"

    def check(drawn):
        is_state, mutation = drawn
        path.write_bytes(mutated(states[is_state], mutation))
        reason = refusal(lambda: load_training_state(path) if is_state else load_checkpoint(path).build_model())
        assert not reason or str(path) in reason

    assert fuzz(cases, some.tuples(some.booleans(), MUTATION), check) >= cases


HOSTILE_VALUES = some.sampled_from([None, 0, -1, 2**70, float("nan"), 1e308, True, "", "x" * 10000, "../x", [], {}])


@pytest.mark.parametrize("cases", CASES)
def test_checkpoints_with_other_values_are_refused_or_work(checkpoint, tmp_path, cases):
    payload = torch.load(checkpoint, weights_only=True)
    places = list(_places(payload))
    path = tmp_path / "mutated.pt"

    def check(drawn):
        share, value = drawn
        torch.save(_replaced(payload, places[int(share * len(places))], value), path)
        assert len(refusal(lambda: load_checkpoint(path).build_model()).splitlines()) <= 2

    assert fuzz(cases, some.tuples(some.floats(0, 0.999), HOSTILE_VALUES), check) >= cases


def _places(value: object, place: tuple = ()):
    """Yield where something stands in a checkpoint, a few entries of each long part."""
    if place:
        yield place
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in list(entries)[:8]:
        yield from _places(entry, (*place, key))


def _replaced(value: Any, place: tuple, new: Any) -> Any:
    if not place:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = _replaced(value[place[0]], place[1:], new)
    return copy
