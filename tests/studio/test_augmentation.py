"""A changed copy of an augmentation: what it does, what is saved, and what is refused."""

import pytest
import yaml

from common.errors import InputError
from configs.options import option_names
from studio.augmentation import FOLDER, augmented_sheet, chances_of, save_augmentation, steps_of, with_chances

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", option_names("augmentation"))
def test_every_option_has_steps_with_probabilities(name):
    chances = chances_of(steps_of(name))
    assert chances
    assert all(0 <= chance <= 1 for chance in chances.values())


def test_a_step_that_is_never_applied_changes_the_sheet(studio):
    steps = steps_of("light")
    never = with_chances(steps, dict.fromkeys(steps, 0.0))
    changed, same = augmented_sheet(studio.table, steps), augmented_sheet(studio.table, never)
    assert changed.shape == same.shape == (3 * 160, 7 * 160, 3)
    assert (same[:, :160] == same[:, 160:320]).all()
    assert (changed[:, :160] != changed[:, 160:320]).any()


def test_a_saved_copy_is_an_option_with_the_new_probabilities(tmp_path, monkeypatch):
    chances = {**chances_of(steps_of("medium")), "Rotate": 0.85}
    path = save_augmentation("mine", "medium", chances, tmp_path)
    saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    original = yaml.safe_load((FOLDER / "medium.yaml").read_text(encoding="utf-8"))
    assert saved["train"].pop("Rotate")["p"] == 0.85
    assert original["train"].pop("Rotate")["p"] == 0.3
    assert saved == {**original, "name": "mine"}


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", "Mine", "con", "1a", "a b", "x" * 50, "花"])
def test_a_bad_name_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="a name has small letters"):
        save_augmentation(name, "light", chances_of(steps_of("light")), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_option_that_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "Mine.yaml").write_text("precious", encoding="utf-8")
    for name, folder in (("mine", tmp_path), ("strong", FOLDER)):
        with pytest.raises(InputError, match="is there already"):
            save_augmentation(name, "light", chances_of(steps_of("light")), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["Mine.yaml"]


def test_a_probability_beyond_the_ends_is_refused():
    with pytest.raises(InputError, match="Rotate: expected a probability from 0 to 1"):
        with_chances({"Rotate": {}}, {"Rotate": 1.5})
