"""Pairs of 256-bit words that differ in few bits, found without comparing every word with every other.

The bits are dealt to parts. Two words that differ in d bits differ in at most d // parts bits of some part, so words
that differ that little in one part are candidates, of which the whole distance is computed. So exactly the pairs of the
full comparison are found (Norouzi, Punjani and Fleet 2012, "Fast search in Hamming space with multi-index hashing").

Beside the words, about 150 bytes a word and 20 MB of blocks are held for each thread, whatever is found.
"""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from scipy.sparse import coo_array, csgraph

BITS = 256

# A candidate costs as much as a few look-ups. More parts need fewer look-ups a word, and have more candidates.
_PARTS_FOR_FEW, _PARTS_FOR_MANY, _MANY = 17, 11, 60_000

# look-ups, candidates or pairs that are held at a time; and cells, so that what they look up lies in the cache
_BLOCK, _CELLS = 1 << 17, 1 << 16


def near_pairs(words: np.ndarray, max_distance: int, threads: int = 1) -> np.ndarray:
    """Return (position, position, differing bits) of all pairs that differ in at most `max_distance` bits.

    `words` is uint64 (N, 4); the pairs are int64 (P, 3), sorted, the lower position first.
    """
    search = partial(_near_pairs_of_part, words, max_distance, np.arange(len(words)))
    pairs = np.concatenate([np.empty((0, 3), dtype=np.int64), *_each_part(search, len(words), threads)])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def near_groups(words: np.ndarray, max_distance: int, threads: int = 1) -> np.ndarray:
    """Return the connected component of each word, int64 (N,), where pairs of `near_pairs` are joined.

    A component is called by its lowest position. Words that are already joined are not compared, so that thousands of
    words that are all alike do not cost all of their pairs.
    """
    own = np.arange(len(words))
    links = _each_part(partial(_near_neighbours, words, max_distance), len(words), threads)
    group = connected_components(len(words), np.concatenate([np.empty((0, 2), dtype=np.int64), *links]))
    pairs = _each_part(partial(_near_pairs_of_part, words, max_distance, group), len(words), threads)
    links = [part[:, :2] for part in pairs]
    return connected_components(len(words), np.concatenate([np.stack([own, group], axis=1), *links]))


def connected_components(count: int, pairs: np.ndarray) -> np.ndarray:
    """Return the connected component of each of `count` nodes, int64: the number of its lowest node.

    `pairs` is int (P, 2).
    """
    first, second = pairs.reshape(-1, 2).T
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
    component = csgraph.connected_components(graph, directed=False)[1]
    _, lowest = np.unique(component, return_index=True)
    return lowest[component]


def _each_part(search: Callable[[int, int], np.ndarray], count: int, threads: int) -> Iterator[np.ndarray]:
    parts = _PARTS_FOR_FEW if count < _MANY else _PARTS_FOR_MANY
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(partial(search, parts), range(parts if count > 1 else 0))


def _near_neighbours(words: np.ndarray, max_distance: int, parts: int, part: int) -> np.ndarray:
    """Return the near pairs (L, 2) among those that are neighbours in the order of a part."""
    order = np.argsort(_part_keys(words, parts, part), kind="stable")
    pairs = np.stack([order[:-1], order[1:]], axis=1)
    near = [
        np.bitwise_count(words[block[:, 0]] ^ words[block[:, 1]]).sum(axis=1) <= max_distance
        for block in np.array_split(pairs, len(pairs) // _BLOCK + 1)
    ]
    return pairs[np.concatenate(near)]


def _near_pairs_of_part(words: np.ndarray, max_distance: int, group: np.ndarray, parts: int, part: int) -> np.ndarray:
    """Return the near pairs (P, 3) of different groups that are candidates by this part, and by no earlier one."""
    radius = max_distance // parts
    keys = _part_keys(words, parts, part)
    order = np.lexsort((group, keys))
    keys, group = keys[order], group[order]
    # a cell holds the words with the same key, and a run those of a cell that are of the same group
    cells = _starts(keys[1:] != keys[:-1])
    runs = _starts((keys[1:] != keys[:-1]) | (group[1:] != group[:-1]))
    runs_of_cell = np.append(np.searchsorted(runs, cells), len(runs))
    words_of_run = np.append(runs, len(keys))
    several = np.diff(np.append(cells, len(keys))) > 1
    # 128 bits nearly always tell that two words are far apart; one complex number is one access to memory
    heads = words[order, :2].copy().view(np.complex128).ravel()
    earlier = [_part_mask(parts, other) for other in range(part)]
    found = [np.empty((0, 3), dtype=np.int64)]

    def keep_near(first: np.ndarray, second: np.ndarray) -> None:
        bits = np.bitwise_count(heads[first].view(np.uint64) ^ heads[second].view(np.uint64))
        near = np.flatnonzero(bits[::2] + bits[1::2] <= max_distance)
        near = near[group[first[near]] != group[second[near]]]
        if len(near):
            found.append(_exact(words, order[first[near]], order[second[near]], max_distance, earlier, radius))

    def compare_runs(first_cells: np.ndarray, second_cells: np.ndarray) -> None:
        for first, second in _products(first_cells, second_cells, runs_of_cell):
            differ = group[runs[first]] != group[runs[second]]
            for pair in _products(first[differ], second[differ], words_of_run):
                keep_near(*pair)

    compare_runs(np.flatnonzero(several), np.flatnonzero(several))
    for first, second in _near_cells(keys[cells], BITS // parts, radius):
        more = several[first] | several[second]
        keep_near(cells[first[~more]], cells[second[~more]])
        compare_runs(first[more], second[more])
    return np.concatenate(found)


def _starts(changes: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.concatenate([[True], changes]))


def _exact(
    words: np.ndarray, first: np.ndarray, second: np.ndarray, max_distance: int, earlier: list[np.ndarray], radius: int
) -> np.ndarray:
    """Return the candidates within `max_distance` that no `earlier` part has found, as (lower, higher, distance)."""
    differ = words[first] ^ words[second]
    distance = np.bitwise_count(differ).sum(axis=1, dtype=np.int64)
    new = distance <= max_distance
    for mask in earlier:
        new &= np.bitwise_count(differ & mask).sum(axis=1) > radius
    return np.stack([np.minimum(first, second), np.maximum(first, second), distance], axis=1)[new]


def _part_bits(parts: int, part: int) -> range:
    """Return the bits of a part: every `parts`-th, because neighbouring frequencies of a photograph are related."""
    return range(part, BITS, parts)[: BITS // parts]


def _part_mask(parts: int, part: int) -> np.ndarray:
    mask = [0] * (BITS // 64)
    for bit in _part_bits(parts, part):
        mask[bit // 64] |= 1 << bit % 64
    return np.array(mask, dtype=np.uint64)


def _part_keys(words: np.ndarray, parts: int, part: int) -> np.ndarray:
    """Return the bits of a part of each word as one number, uint32 (N,)."""
    keys = np.zeros(len(words), dtype=np.uint32)
    for place, bit in enumerate(_part_bits(parts, part)):
        word, shift = divmod(bit, 64)
        keys |= ((words[:, word] >> np.uint64(shift) & np.uint64(1)) << np.uint64(place)).astype(np.uint32)
    return keys


def _near_cells(keys: np.ndarray, width: int, radius: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pairs of cells, by number, whose keys differ in 1 to `radius` of `width` bits, each once.

    `keys` is sorted, and each key is there once.
    """
    keys = keys.astype(np.intp)
    occupied = np.zeros(1 << width, dtype=bool)
    occupied[keys] = True
    cell_of = np.zeros(1 << width, dtype=np.int32)
    cell_of[keys] = np.arange(len(keys))
    masks = _masks_by_highest_bit(width, radius)
    for start in range(0, len(keys), _CELLS):
        for highest in range(width if radius else 0):
            # the cell without the highest of the bits that differ comes first
            lower = start + np.flatnonzero(keys[start : start + _CELLS] >> highest & 1 == 0)
            for block in np.array_split(masks[highest], len(masks[highest]) * len(lower) // _BLOCK + 1):
                other = (keys[lower] ^ block[:, None]).ravel()
                hits = np.flatnonzero(occupied[other])
                yield lower[hits % max(len(lower), 1)], cell_of[other[hits]]


def _masks_by_highest_bit(width: int, radius: int) -> list[np.ndarray]:
    """Return for each bit the masks of 1 to `radius` bits of which it is the highest."""
    return [
        np.array(
            [
                sum(1 << bit for bit in (highest, *others))
                for count in range(radius)
                for others in itertools.combinations(range(highest), count)
            ],
            dtype=np.intp,
        )
        for highest in range(width)
    ]


def _products(first: np.ndarray, second: np.ndarray, starts: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the pairs of a member of container first[i] with one of second[i], each pair once, in blocks.

    The members of container k are numbered from starts[k] to starts[k + 1].
    """
    columns = starts[second + 1] - starts[second]
    counts = (starts[first + 1] - starts[first]) * columns
    ends = np.cumsum(counts)
    for low in range(0, int(ends[-1]) if len(ends) else 0, _BLOCK):
        places = np.arange(low, min(low + _BLOCK, ends[-1]))
        pair = np.searchsorted(ends, places, side="right")
        row, column = np.divmod(places - ends[pair] + counts[pair], columns[pair])
        a, b = starts[first[pair]] + row, starts[second[pair]] + column
        new = (first[pair] != second[pair]) | (a < b)
        yield a[new], b[new]
