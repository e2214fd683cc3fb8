"""The drawn data set: complete, repeatable, and made of pairs of kinds that differ in one fine trait."""

import dataclasses
import json

import numpy as np
import pytest

from data.demo import draw_demo
from data.flower_blossom import draw_blossom
from data.flower_kinds import TRAITS, species_of
from data.images import read_image
from data.listing import list_images
from data.table import read_table


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    draw_demo(root, classes=5, images_per_class=6, image_size=96, seed=0)
    return root


def test_it_is_a_prepared_data_set(demo):
    table = read_table(demo / "train.csv", demo / "train", demo / "classes.csv")
    assert np.bincount(table.labels).tolist() == [6] * 5
    assert all("petals" in image_class.name for image_class in table.classes)
    assert all(read_image(demo / "train" / name).pixels.shape == (96, 96, 3) for name in table.image_ids)


def test_the_table_is_not_in_the_order_of_classes(demo):
    labels = read_table(demo / "train.csv", demo / "train").labels
    assert (np.diff(labels) != 0).sum() > 10


@pytest.mark.integration
def test_it_is_a_function_of_its_parameters(demo, tmp_path):
    draw_demo(tmp_path / "again", 5, 6, 96, seed=0)
    draw_demo(tmp_path / "other", 5, 6, 96, seed=1)
    contents = [
        {name: path.read_bytes() for name, path in list_images(root / "train").items()}
        for root in (demo, tmp_path / "again", tmp_path / "other")
    ]
    assert contents[0] == contents[1]
    assert not set(contents[0].values()) & set(contents[2].values())


def test_further_pictures_stand_apart_as_a_test_folder(demo):
    table = read_table(demo / "test.csv", demo / "test", demo / "classes.csv")
    assert np.bincount(table.labels).tolist() == [1] * 5
    assert list(list_images(demo / "test")) == list(table.image_ids)
    assert not set(table.image_ids) & set(list_images(demo / "train"))


def test_a_complete_set_is_left_alone_and_a_broken_one_redrawn(tmp_path):
    draw_demo(tmp_path, 2, 3, 48, seed=0)
    victim = tmp_path / "train" / next(iter(list_images(tmp_path / "train")))
    before, times = victim.read_bytes(), [path.stat().st_mtime_ns for path in (tmp_path / "train").iterdir()]
    draw_demo(tmp_path, 2, 3, 48, seed=0)
    assert [path.stat().st_mtime_ns for path in (tmp_path / "train").iterdir()] == times
    victim.unlink()
    draw_demo(tmp_path, 2, 3, 48, seed=0)
    assert victim.read_bytes() == before


@pytest.mark.integration
def test_other_parameters_draw_anew(tmp_path):
    draw_demo(tmp_path, 2, 3, 48, seed=0)
    draw_demo(tmp_path, 3, 3, 48, seed=0)
    assert json.loads((tmp_path / "demo.json").read_text(encoding="utf-8"))["classes"] == 3
    assert len(read_table(tmp_path / "train.csv", tmp_path / "train").image_ids) == 9


def test_as_many_kinds_differ_as_the_config_allows():
    names = {kind.name for kind in species_of(150, np.random.default_rng(0))}
    assert len(names) == 150
    # figures show them
    assert max(map(len, names)) <= 45


def pairs_of(kinds):
    return list(zip(kinds[::2], kinds[1::2], strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_the_kinds_of_a_pair_differ_in_one_trait(seed):
    for one, other in pairs_of(species_of(150, np.random.default_rng(seed))):
        first, second = dataclasses.asdict(one), dataclasses.asdict(other)
        differences = {key for key in first if first[key] != second[key]}
        assert differences in ({"petals"}, {"mark"}), (one, other)


def test_the_first_pairs_show_every_trait_and_are_told_apart_by_colour_and_shape():
    pairs = pairs_of(species_of(2 * len(TRAITS), np.random.default_rng(0)))
    assert len({other.mark for _, other in pairs}) == len(TRAITS)
    assert len({(one.colour, one.shape) for one, _ in pairs}) == len(TRAITS)


def blossom(kind):
    canvas = np.zeros((200, 200, 3), np.uint8)
    draw_blossom(canvas, kind, np.array([100.0, 100.0]), 70.0, np.random.default_rng(0))
    return canvas


def test_every_trait_can_be_seen_and_none_changes_most_of_the_flower():
    for one, other in pairs_of(species_of(2 * len(TRAITS), np.random.default_rng(0))):
        plain, marked = blossom(one).astype(int), blossom(other).astype(int)
        flower = (plain.max(axis=2) > 0) | (marked.max(axis=2) > 0)
        changed = np.abs(plain - marked).max(axis=2) > 25
        assert changed[flower].mean() > 0.01, other
        assert np.abs(plain[flower].mean(axis=0) - marked[flower].mean(axis=0)).max() < 40, other
