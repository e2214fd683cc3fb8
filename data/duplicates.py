"""Near-duplicates: images of the same picture, found by a perceptual hash and kept on one side of the split.

The hash holds the signs of low frequencies of the cosine transform against their median (Zauner 2010, "Implementation
and benchmarking of perceptual image hash functions"), with 16 x 16 frequencies instead of 8 x 8.
"""

import contextlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from common.csv_files import read_rows, write_rows
from common.errors import InputError
from common.progress import progress
from data.dataloader import default_workers
from data.images import attempt, read_image
from data.table import ImageTable

HASHES_FILE = "image_hashes.csv"

PAIRS_FILE = "duplicates.csv"

PAIR_COLUMNS = ("image_id", "other_id", "found_by")

_HASH_COLUMNS = ("image_id", "bytes", "hash")

_SIDE = 16

# of 256 bits; copies that were scaled or compressed again differ in few bits, other photographs in about 128
MAX_DISTANCE = 32

_BLOCK = 512


def perceptual_hash(pixels: np.ndarray) -> str:
    """Return the 256-bit hash of an image, uint8 RGB (H, W, 3), as 64 hexadecimal digits."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (4 * _SIDE, 4 * _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_SIDE, :_SIDE].ravel()
    return np.packbits(low > np.median(low)).tobytes().hex()


def image_hashes(table: ImageTable, folder: Path) -> dict[str, str]:
    """Return the hash of each readable image by image id; the hashes are cached in `folder`/image_hashes.csv.

    Where the folder is not writable, they are computed each time.
    """
    path = folder / HASHES_FILE
    known = _read_hashes(path)
    sizes = {image_id: _size(table.image_dir / image_id) for image_id in table.image_ids}
    hashes = {name: known[name, size] for name, size in sizes.items() if size is not None and (name, size) in known}
    missing = [name for name, size in sizes.items() if name not in hashes and size is not None]
    if missing:
        with progress("comparing images", len(missing)) as advance, ThreadPoolExecutor(default_workers()) as threads:
            for name, found in zip(
                missing, threads.map(_hash_file, [table.image_dir / n for n in missing]), strict=True
            ):
                if found is not None:
                    hashes[name] = found
                advance(1)
        new = {(name, size): hashes[name] for name, size in sizes.items() if size is not None and name in hashes}
        rows = {**known, **new}
        with contextlib.suppress(OSError):
            write_rows(path, _HASH_COLUMNS, [(name, size, found) for (name, size), found in sorted(rows.items())])
    return hashes


def near_duplicates(hashes: Sequence[str], max_distance: int = MAX_DISTANCE) -> list[tuple[int, int, int]]:
    """Return (position, position, differing bits) of all pairs that differ in at most `max_distance` bits."""
    words = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint64).reshape(len(hashes), -1)
    pairs = []
    for start in range(0, len(words), _BLOCK):
        block = words[start : start + _BLOCK, None]
        distances = np.bitwise_count(block ^ words[None, start:]).sum(axis=2)
        for row, column in zip(*np.nonzero(distances <= max_distance), strict=True):
            if column > row:
                pairs.append((int(start + row), int(start + column), int(distances[row, column])))
    return pairs


def duplicate_groups(table: ImageTable, folder: Path) -> np.ndarray:
    """Return a group number for each row of the table, int64 (N,); rows of a group show the same picture.

    Pairs come from the hashes, and from `folder`/duplicates.csv (`image_id,other_id,...`) if it exists.
    """
    hashes = image_hashes(table, folder)
    row_of = {image_id: row for row, image_id in enumerate(table.image_ids)}
    hashed = [image_id for image_id in table.image_ids if image_id in hashes]
    pairs = [(row_of[hashed[a]], row_of[hashed[b]]) for a, b, _ in near_duplicates([hashes[name] for name in hashed])]
    pairs += [(row_of[a], row_of[b]) for a, b in read_pairs(folder) if a in row_of and b in row_of]
    return connected_components(len(table.image_ids), pairs)


def read_pairs(folder: Path) -> list[tuple[str, str]]:
    """Return the pairs of image ids in `folder`/duplicates.csv; none if there is no such file."""
    path = folder / PAIRS_FILE
    return [(row["image_id"], row["other_id"]) for row in read_rows(path, PAIR_COLUMNS[:2])] if path.is_file() else []


def connected_components(count: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Return the connected component of each of `count` nodes, int64: the number of its lowest node."""
    group = np.arange(count)
    for a, b in pairs:
        low, high = sorted((group[a], group[b]))
        group[group == high] = low
    return group


def _read_hashes(path: Path) -> dict[tuple[str, int], str]:
    """Return the cached hashes; a damaged cache counts as empty."""
    if not path.is_file():
        return {}
    try:
        rows = read_rows(path, _HASH_COLUMNS)
        found = {(row["image_id"], int(row["bytes"])): row["hash"] for row in rows}
    except (InputError, ValueError):
        return {}
    digits = _SIDE * _SIDE // 4
    return {key: text for key, text in found.items() if len(text) == digits and set(text) <= set("0123456789abcdef")}


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _hash_file(path: Path) -> str | None:
    # training lists unreadable images
    return attempt(lambda: perceptual_hash(read_image(path).pixels))[0]
