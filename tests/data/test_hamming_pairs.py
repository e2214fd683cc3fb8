"""The search finds exactly the pairs of the full comparison; large clusters do not cost all of their pairs."""

import tracemalloc

import numpy as np
import pytest

from data import hamming_pairs
from data.hamming_pairs import connected_components, near_groups, near_pairs


def random_words(generator, count):
    return generator.integers(0, 2**64, (count, 4), dtype=np.uint64)


def changed(generator, words, bits):
    """Return a copy of each of `words` in which bits[k] bits differ."""
    whole = np.unpackbits(words.view(np.uint8), axis=1)
    for row, count in zip(whole, bits, strict=True):
        row[generator.permutation(256)[:count]] ^= 1
    return np.packbits(whole, axis=1).view(np.uint64)


def cluster(generator, count, share):
    """Return words that differ from one word in about `share` of their bits."""
    return changed(generator, random_words(generator, 1).repeat(count, axis=0), generator.binomial(256, share, count))


def words_of(kind, generator, count):
    """Return random words; some have copies that differ in up to 44 bits, or in one half, or whole clusters of them."""
    words = random_words(generator, count)
    planted = count // 10
    if kind == "copies":
        words[:planted] = changed(generator, words[-planted:], generator.integers(0, 45, planted))
    elif kind == "cluster":
        words[:planted] = cluster(generator, planted, 0.08)
    elif kind == "sparse":
        words &= random_words(generator, count) & random_words(generator, count)
    elif kind == "equal bands":
        words[: planted // 4, :3] = words[0, :3]
    return words[generator.permutation(count)]


def all_pairs(words, max_distance=32):
    """Compare every word with every other, in blocks."""
    found = []
    for start in range(0, len(words), 512):
        distances = np.bitwise_count(words[start : start + 512, None] ^ words[None, start:]).sum(axis=2)
        first, second = np.nonzero(distances <= max_distance)
        pairs = np.stack([start + first, start + second, distances[first, second].astype(np.int64)], axis=1)
        found.append(pairs[first < second])
    return np.concatenate(found)


def check(words, threads=1):
    expected = all_pairs(words)
    assert np.array_equal(near_pairs(words, 32, threads), expected)
    assert np.array_equal(near_groups(words, 32, threads), connected_components(len(words), expected[:, :2]))
    return len(expected)


KINDS = ("random", "copies", "cluster", "sparse", "equal bands")


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_pairs_are_those_of_the_full_comparison(kind, many, monkeypatch):
    monkeypatch.setattr(hamming_pairs, "_MANY", 1 if many else 10**9)
    assert (check(words_of(kind, np.random.default_rng(3), 300)) > 0) == (kind != "random")


@pytest.mark.slow
@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_pairs_are_those_of_the_full_comparison_at_20000(kind, many, monkeypatch):
    monkeypatch.setattr(hamming_pairs, "_MANY", 1 if many else 10**9)
    # words of few bits that are set are nearly all candidates, so that the search is as slow as the full comparison
    count = 2000 if kind == "sparse" else 20_000
    check(words_of(kind, np.random.default_rng(4), count), threads=2)


def test_a_pair_at_the_limit_is_found_and_one_beyond_is_not():
    word = random_words(np.random.default_rng(0), 1)
    for seed in range(20):
        copies = changed(np.random.default_rng(seed), word.repeat(2, axis=0), [32, 33])
        assert near_pairs(np.concatenate([word, copies]), 32)[0].tolist() == [0, 1, 32]
        assert len(near_pairs(np.concatenate([word, copies[1:]]), 32)) == 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_very_few_words(count):
    words = np.zeros((count, 4), dtype=np.uint64)
    assert near_pairs(words, 32).tolist() == [[0, 1, 0]] * (count == 2)
    assert near_groups(words, 32).tolist() == [0] * count


def test_small_blocks_find_the_same(monkeypatch):
    monkeypatch.setattr(hamming_pairs, "_BLOCK", 7)
    monkeypatch.setattr(hamming_pairs, "_CELLS", 11)
    check(words_of("cluster", np.random.default_rng(5), 60))


def test_the_memory_of_a_large_cluster_is_bounded():
    # all pairs would be 50 million, 1.2 GB
    words = np.unique(cluster(np.random.default_rng(6), 10_000, 0.04), axis=0)
    tracemalloc.start()
    groups = near_groups(words, 32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (groups == 0).mean() > 0.99
    assert peak < 60e6
