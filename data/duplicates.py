"""Near-duplicates: images of the same picture, found by a perceptual hash and kept on one side of the split.

The hash holds the signs of low frequencies of the cosine transform against their median (Zauner 2010, "Implementation
and benchmarking of perceptual image hash functions"), with 16 x 16 frequencies instead of 8 x 8.
"""

import contextlib
import csv
import hashlib
import os
import zipfile
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from common.csv_files import read_rows
from common.csv_stream import stream_rows
from common.errors import InputError
from common.files import replacing
from common.processors import default_workers
from common.progress import progress
from data.hamming_pairs import connected_components, near_groups, near_pairs
from data.image_ids import ImageIds, find_positions
from data.images import attempt, read_image
from data.table import ImageTable

HASHES_FILE = "image_hashes.csv"

GROUPS_FILE = "image_groups.npz"

PAIRS_FILE = "duplicates.csv"

PAIR_COLUMNS = ("image_id", "other_id", "found_by")

_HASH_COLUMNS = ("image_id", "bytes", "hash")

_SIDE = 16

# 64-bit words of a hash
_WORDS = _SIDE * _SIDE // 64

# of 256 bits; copies that were scaled or compressed again differ in few bits, other photographs in about 128
MAX_DISTANCE = 32

# files that a thread takes at a time
_BLOCK = 64

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class ImageHashes:
    """The hashes of readable images: `rows` of the table, int64 (M,) sorted, and `words`, uint64 (M, 4)."""

    rows: np.ndarray
    words: np.ndarray


def perceptual_hash(pixels: np.ndarray) -> np.ndarray:
    """Return the 256-bit hash of an image, uint8 RGB (H, W, 3), as uint64 (4,)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (4 * _SIDE, 4 * _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_SIDE, :_SIDE].ravel()
    return np.packbits(low > np.median(low)).view(np.uint64)


def image_hashes(table: ImageTable, folder: Path) -> ImageHashes:
    """Return the hash of each readable image; the hashes are cached in `folder`/image_hashes.csv.

    Where the folder is not writable, they are computed each time.
    """
    path = folder / HASHES_FILE
    cached = _read_hashes(path)
    everything = np.arange(len(table.image_ids))
    sizes = np.fromiter(_in_threads(_size, table, everything), dtype=np.int64, count=len(everything))
    places = find_positions(cached.image_ids, table.image_ids)
    known = (places >= 0) & (sizes >= 0)
    known[known] = cached.sizes[places[known]] == sizes[known]
    words = np.zeros((len(sizes), _WORDS), dtype=np.uint64)
    words[known] = cached.words[places[known]]
    missing = np.flatnonzero(~known & (sizes >= 0))
    if len(missing):
        try:
            with progress("comparing images", len(missing)) as advance:
                for row, found in zip(missing.tolist(), _in_threads(_hash_file, table, missing), strict=True):
                    if found is not None:
                        words[row], known[row] = found, True
                    advance(1)
        finally:
            # an interrupted search goes on where it was
            _write_hashes(path, table, sizes, words, np.flatnonzero(known), cached)
    rows = np.flatnonzero(known)
    return ImageHashes(rows, words[rows])


def near_duplicates(hashes: ImageHashes, max_distance: int = MAX_DISTANCE) -> np.ndarray:
    """Return (row, row, differing bits) of all pairs that differ in at most `max_distance` bits, int64 (P, 3).

    The pairs are sorted, the lower row first. A thousand copies of an image are half a million pairs.
    """
    pairs = near_pairs(hashes.words, max_distance, default_workers())
    return np.stack([hashes.rows[pairs[:, 0]], hashes.rows[pairs[:, 1]], pairs[:, 2]], axis=1)


def duplicate_groups(table: ImageTable, folder: Path) -> np.ndarray:
    """Return a group number for each row of the table, int64 (N,); rows of a group show the same picture.

    Pairs come from the hashes, and from `folder`/duplicates.csv (`image_id,other_id,...`) if it exists. The groups of
    the hashes are cached in `folder`/image_groups.npz.
    """
    hashes = image_hashes(table, folder)
    distinct, place = np.unique(hashes.words.view(f"V{8 * _WORDS}").ravel(), return_inverse=True)
    group = _groups_of_hashes(distinct.view(np.uint64).reshape(-1, _WORDS), folder / GROUPS_FILE)[place]
    # each image is joined with the first of its group
    _, first = np.unique(group, return_index=True)
    links = np.stack([hashes.rows, hashes.rows[first[np.searchsorted(group[first], group)]]], axis=1)
    by_user = find_positions(table.image_ids, [name for pair in read_pairs(folder) for name in pair]).reshape(-1, 2)
    return connected_components(len(table.image_ids), np.concatenate([links, by_user[(by_user >= 0).all(axis=1)]]))


def read_pairs(folder: Path) -> list[tuple[str, str]]:
    """Return the pairs of image ids in `folder`/duplicates.csv; none if there is no such file."""
    path = folder / PAIRS_FILE
    return [(row["image_id"], row["other_id"]) for row in read_rows(path, PAIR_COLUMNS[:2])] if path.is_file() else []


def _groups_of_hashes(words: np.ndarray, path: Path) -> np.ndarray:
    """Return the group of each of the sorted, distinct hashes, int64, from the cache at `path` if it is of them."""
    key = hashlib.sha256(f"{MAX_DISTANCE} {_WORDS}".encode() + words.tobytes()).hexdigest()
    damage = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
    with contextlib.suppress(*damage), np.load(path, allow_pickle=False) as cached:
        if str(cached["hashes"]) == key:
            return cached["group"]
    group = near_groups(words, MAX_DISTANCE, default_workers())
    with contextlib.suppress(OSError), replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, hashes=np.array(key), group=group)
    return group


@dataclass(frozen=True)
class _CachedHashes:
    """What image_hashes.csv holds; `sizes` int64 (N,) in bytes, `words` uint64 (N, 4)."""

    image_ids: ImageIds
    sizes: np.ndarray
    words: np.ndarray


def _read_hashes(path: Path) -> _CachedHashes:
    """Return the cached hashes; a damaged cache counts as empty."""
    sizes, words = array("q"), bytearray()

    def image_ids() -> Iterator[str]:
        for image_id, size, found in stream_rows(path, _HASH_COLUMNS):
            sizes.append(int(size))
            words.extend(bytes.fromhex(found))
            if len(words) != 8 * _WORDS * len(sizes):
                raise ValueError(f"{image_id}: not a hash of {_SIDE * _SIDE} bits")
            yield image_id

    try:
        names = ImageIds(image_ids())
    except (InputError, ValueError, OverflowError):
        return _CachedHashes(ImageIds([]), np.empty(0, dtype=np.int64), np.empty((0, _WORDS), dtype=np.uint64))
    return _CachedHashes(
        names, np.array(sizes, dtype=np.int64), np.frombuffer(bytes(words), np.uint64).reshape(-1, _WORDS)
    )


def _write_hashes(
    path: Path, table: ImageTable, sizes: np.ndarray, words: np.ndarray, rows: np.ndarray, cached: _CachedHashes
) -> None:
    """Write the hashes of `rows`, and those of other images that were in the cache."""
    others = np.flatnonzero(find_positions(table.image_ids, cached.image_ids) < 0).tolist()
    with (
        contextlib.suppress(OSError),
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HASH_COLUMNS)
        for row in rows.tolist():
            writer.writerow((table.image_ids[row], sizes[row], words[row].tobytes().hex()))
        for place in others:
            writer.writerow((cached.image_ids[place], cached.sizes[place], cached.words[place].tobytes().hex()))


def _in_threads(work: Callable[[str], _Found], table: ImageTable, rows: np.ndarray) -> Iterator[_Found]:
    """Yield `work` of the files of `rows`, in order. A thread takes several at a time, and few wait for it."""

    def work_on(block: np.ndarray) -> list[_Found]:
        return [work(f"{table.image_dir}/{table.image_ids[row]}") for row in block]

    blocks = np.array_split(rows, len(rows) // _BLOCK + 1)
    with ThreadPoolExecutor(default_workers()) as threads:
        for found in threads.map(work_on, blocks):
            yield from found


def _size(path: str) -> int:
    """Return the size of a file in bytes, -1 if there is none."""
    try:
        # a Path for each of a million photographs costs six seconds at every start
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return -1


def _hash_file(path: str) -> np.ndarray | None:
    # training lists unreadable images
    return attempt(lambda: perceptual_hash(read_image(Path(path)).pixels))[0]
