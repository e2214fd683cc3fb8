"""Image ids behave as a list of str, and travel to workers whole."""

import pickle

import numpy as np
import pytest

from data.image_ids import ImageIds, find_positions, first_repeated

NAMES = ["a.jpg", "花/玫瑰 1.png", " b.jpg ", "", "old\udce9.jpg", "a.jpg"]


def test_they_are_what_a_list_is():
    ids = ImageIds(NAMES)
    assert list(ids) == NAMES == ids
    assert len(ids) == 6
    assert [ids[place] for place in range(-6, 6)] == NAMES * 2
    assert ids[np.int64(1)] == NAMES[1]
    assert ids[4:0:-2] == NAMES[4:0:-2]
    assert " b.jpg " in ids
    assert ids != NAMES[1:]
    assert ids == ImageIds(NAMES) != ImageIds(["".join(NAMES)])
    assert ImageIds([]) == []


@pytest.mark.parametrize("place", [6, -7])
def test_there_is_nothing_beyond_the_end(place):
    with pytest.raises(IndexError):
        ImageIds(NAMES)[place]


def test_they_reach_a_spawned_worker():
    assert pickle.loads(pickle.dumps(ImageIds(NAMES))) == NAMES


@pytest.mark.parametrize("kind", [list, ImageIds])
def test_positions_are_found(kind):
    names = [f"{number}.jpg" for number in range(50)]
    wanted = ["7.jpg", "none.jpg", "0.jpg", "49.jpg", "7.jpg"]
    assert find_positions(kind(names), kind(wanted)).tolist() == [7, -1, 0, 49, 7]
    assert find_positions(kind([]), kind(wanted)).tolist() == [-1] * 5
    assert find_positions(kind(names), kind([])).tolist() == []


def test_the_first_repetition_is_found():
    assert first_repeated(ImageIds(NAMES)) == 5
    assert first_repeated(ImageIds(["c", "b", "b", "c", "a", "a"])) == 2
    assert first_repeated(ImageIds(NAMES[:5])) is None
    assert first_repeated(ImageIds([])) is None
