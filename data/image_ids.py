"""The names of a million images as two arrays, of which a forked worker process copies nothing.

A list of str costs each worker its own copy, because Python counts references in the strings themselves.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import SupportsIndex, overload

import numpy as np


class ImageIds(Sequence[str]):
    """A read-only sequence of str in one buffer.

    `buffer` holds the UTF-8 bytes of all, and those of id k go from `ends[k - 1]` to `ends[k]`, int64. Bytes of file
    names that are not UTF-8 stay what they are.
    """

    def __init__(self, image_ids: Iterable[str]) -> None:
        buffer, ends = bytearray(), array("q")
        for image_id in image_ids:
            buffer += image_id.encode("utf-8", "surrogateescape")
            ends.append(len(buffer))
        self.buffer = bytes(buffer)
        self.ends = np.array(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: SupportsIndex) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._decode(place) for place in range(*index.indices(len(self)))]
        place = index.__index__()
        if not -len(self) <= place < len(self):
            raise IndexError(f"image {place} of {len(self)}")
        return self._decode(place % len(self))

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self.ends.tolist():
            yield self.buffer[start:end].decode("utf-8", "surrogateescape")
            start = end

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ImageIds):
            return self.buffer == other.buffer and np.array_equal(self.ends, other.ends)
        return isinstance(other, list) and list(self) == other

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"ImageIds of {len(self)} images"

    def _decode(self, place: int) -> str:
        start = int(self.ends[place - 1]) if place else 0
        return self.buffer[start : int(self.ends[place])].decode("utf-8", "surrogateescape")


def find_positions(image_ids: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Return the position in `image_ids` of each of `wanted`, int64; -1 where it is not there."""
    if len(image_ids) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    keys, wanted_keys = _keys(image_ids), _keys(wanted)
    order = np.argsort(keys, kind="stable")
    places = order[np.searchsorted(keys, wanted_keys, sorter=order).clip(max=len(keys) - 1)]
    places[keys[places] != wanted_keys] = -1
    same = (place < 0 or image_ids[place] == name for place, name in zip(places.tolist(), wanted, strict=True))
    return np.where(np.fromiter(same, dtype=bool, count=len(wanted)), places, -1)


def first_repeated(image_ids: Sequence[str]) -> int | None:
    """Return the position of the first image id that stands before it already."""
    keys = _keys(image_ids)
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    seen: set[str] = set()
    for place in np.unique(order[np.concatenate([same, same + 1])]).tolist():
        name = str(image_ids[place])
        if name in seen:
            return place
        seen.add(name)
    return None


def _keys(image_ids: Sequence[str]) -> np.ndarray:
    return np.fromiter(map(hash, image_ids), dtype=np.int64, count=len(image_ids))
