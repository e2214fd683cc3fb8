"""Variants over several cuts: what is run once, the interval over all cuts, and the rule by which a variant enters."""

import csv
import shutil
import sys

import numpy as np
import pytest

from benchmarks import cut_table
from benchmarks.recipe_cuts import RUN_COLUMNS, Verdict, markdown, run_folder, run_missing
from common.csv_files import read_rows, write_rows
from evaluation.intervals import paired_interval_over_cuts
from tests.conftest import TINY, write_pictures
from tests.helpers import run_script
from tools.variants import BASE, Variant


def cut(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["cut_table.py", *map(str, words)])
    cut_table.main()


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return {row["image_id"]: row["label"] for row in csv.DictReader(file)}


def test_draws_are_disjoint_and_test_on_the_rest(tmp_path, monkeypatch):
    write_pictures(tmp_path / "data", [8, 9, 10])
    cut(monkeypatch, "--data", tmp_path / "data", "--name", 4, "--images-per-class", 4, "--draws", 2)
    whole = table(tmp_path / "data" / "train.csv")
    trains = [table(tmp_path / "data" / f"train_4{draw}.csv") for draw in "ab"]
    for draw, train in zip("ab", trains, strict=True):
        assert sorted(train.values()) == ["0"] * 4 + ["1"] * 4 + ["2"] * 4
        assert {**train, **table(tmp_path / "data" / f"test_4{draw}.csv")} == whole
        assert len(train) + len(table(tmp_path / "data" / f"test_4{draw}.csv")) == len(whole)
    assert not trains[0].keys() & trains[1].keys()
    with pytest.raises(SystemExit, match="has 8 images; 2 disjoint draws of 5 need 10"):
        cut(monkeypatch, "--data", tmp_path / "data", "--name", 5, "--images-per-class", 5, "--draws", 2)


@pytest.mark.slow
def test_the_same_command_goes_on_and_the_table_says_who_enters(tmp_path, monkeypatch):
    data, output = tmp_path / "data", tmp_path / "cuts"
    write_pictures(data, [8, 8])
    cut(monkeypatch, "--data", data, "--name", 4, "--images-per-class", 4, "--draws", 2)
    tiny = [word for word in TINY if "epochs" not in word]
    words = ["--data", data, "--cuts", "4a,4b", "--drop", "dropout", "--output", output, *tiny]
    words += ["dataset.val_split=0", "training.warmup_epochs=0"]
    words += ["training.epochs=1", "--variant", "broken: model.architecture=none", "--seeds", "1"]
    first = run_script("benchmarks/recipe_cuts.py", *words)
    assert first.returncode == 1
    assert "4a, broken, seed 0: failed: " in first.stderr
    rows = list(csv.DictReader((output / "runs.csv").open(encoding="utf-8")))
    assert [(row["cut"], row["variant"]) for row in rows if row["status"] == "finished"] == [
        (name, variant) for name in ("4a", "4b") for variant in (BASE, "with dropout")
    ]
    assert not list(output.rglob("*.pt"))
    again = run_script("benchmarks/recipe_cuts.py", *words)
    # the finished runs are not repeated, the failed ones are
    assert again.stdout.count("\nseed 0, cut") == 2
    shown = run_script("benchmarks/recipe_cuts.py", *words, "--table")
    assert "seed 0, cut" not in shown.stdout
    assert (output / "cuts.md").read_text(encoding="utf-8") == shown.stdout
    assert "| rank | variant | 4a | 4b | mean | difference, points | 95 % interval" in shown.stdout
    other = run_script("benchmarks/recipe_cuts.py", *words, "seed=3")
    assert other.returncode == 2
    assert "holds runs of another base" in other.stderr


def finished(output, cut, answers):
    """Write what finished runs of one cut leave: a row and the answers of each variant."""
    rows = []
    for variant, correct in answers.items():
        folder = run_folder(output, cut, variant, "0")
        folder.mkdir(parents=True)
        np.savez(folder / "correct.npz", image_ids=np.arange(len(correct)).astype(str), correct=np.array(correct))
        overrides = "" if variant == BASE else "model.head=pooled"
        rows.append([cut, variant, overrides, "0", f"{np.mean(correct):.4f}", "1.00", "finished"])
    write_rows(output / "runs.csv", RUN_COLUMNS, rows)
    (output / "base.txt").write_text(f"training.epochs={len(cut)}\n", encoding="utf-8")


def test_cuts_with_other_epochs_stand_in_one_table(tmp_path):
    data, output, other = tmp_path / "data", tmp_path / "five", tmp_path / "ten"
    write_pictures(data, [8, 8])
    for name in ("train_5a.csv", "test_5a.csv"):
        shutil.copy(data / "train.csv", data / name)
    finished(output, "5a", {BASE: [True] * 6 + [False] * 4, "pooled": [True] * 4 + [False] * 6})
    finished(other, "10a", {BASE: [True] * 9 + [False], "pooled": [True] * 8 + [False] * 2})
    words = ["--data", data, "--cuts", "5a", "--variant", "pooled: model.head=pooled", "--table", "--output", output]
    words.append("training.epochs=2")
    alone = run_script("benchmarks/recipe_cuts.py", *words)
    both = run_script("benchmarks/recipe_cuts.py", *words, "--also", other)
    assert "| 2 | pooled | 40.00 | 40.00 | -20.00 |" in alone.stdout
    assert "| rank | variant | 5a | 10a |" in both.stdout
    assert "| 2 | pooled | 40.00 | 80.00 | 60.00 | -15.00 |" in both.stdout
    assert both.stdout.splitlines()[-1].endswith("| 2 |")
    finished(tmp_path / "twenty", "20a", {BASE: [True] * 10, "pooled": [True] * 9 + [False]})
    three = run_script("benchmarks/recipe_cuts.py", *words, "--also", other, "--also", tmp_path / "twenty")
    assert "| 2 | pooled | 40.00 | 80.00 | 90.00 | 70.00 | -13.33 |" in three.stdout
    same = run_script("benchmarks/recipe_cuts.py", *words, "--also", output)
    assert same.returncode == 2
    assert "cut '5a' is in another folder too" in same.stderr
    (other / "base.txt").write_text("training.epochs=3 model.head=stages\n", encoding="utf-8")
    base = run_script("benchmarks/recipe_cuts.py", *words, "--also", other)
    assert base.returncode == 2
    assert "holds runs of another base: training.epochs=3 model.head=stages" in base.stderr
    write_rows(
        tmp_path / "twenty" / "runs.csv",
        RUN_COLUMNS,
        [
            ["20a", BASE, "", "0", "1", "1", "finished"],
            ["20a", "pooled", "model.head=stages", "0", "0.9", "1", "finished"],
        ],
    )
    named = run_script("benchmarks/recipe_cuts.py", *words, "--also", tmp_path / "twenty")
    assert "'pooled' is model.head=stages there" in named.stderr
    absent = run_script("benchmarks/recipe_cuts.py", *words, "--also", tmp_path / "none")
    assert absent.returncode == 2
    assert "none" in absent.stderr
    assert "not found. --also takes the --output" in absent.stderr


def test_rows_of_another_process_on_the_same_folder_are_kept(tmp_path, monkeypatch):
    def meanwhile(config, data):
        finished(tmp_path, "5b", {BASE: [True, False]})
        return {"top1": "0.9000", "minutes": "1.00", "status": "failed: no memory"}

    monkeypatch.setattr("benchmarks.recipe_cuts.train_and_measure", meanwhile)
    rows = {}
    run_missing(tmp_path, tmp_path, [], [Variant(BASE, ())], ["5a"], 1, rows)
    assert [(cut, row["status"]) for (cut, _, _), row in rows.items()] == [
        ("5b", "finished"),
        ("5a", "failed: no memory"),
    ]
    assert [row["cut"] for row in read_rows(tmp_path / "runs.csv", RUN_COLUMNS)] == ["5b", "5a"]


def pairs(generator, effect, seed_effects, images):
    """One cut: each seed's answers; the variant is right more often by `effect` and its seed's own effect."""
    names = [f"{number}.jpg" for number in images]
    found = []
    for own in seed_effects:
        base = generator.random(len(names)) < 0.7
        flips = generator.random(len(names))
        method = np.where(base, flips > 0.1, flips < 0.1 * 7 / 3 + (effect + own) / 0.3)
        found.append((dict(zip(names, method, strict=True)), dict(zip(names, base, strict=True))))
    return found


def test_the_interval_over_cuts_holds_the_truth_as_often_as_it_says():
    generator, inside, width = np.random.default_rng(0), 0, []
    for _ in range(100):
        cuts = [pairs(generator, 0.02, generator.normal(0, 0.01, 3), range(200)) for _ in range(3)]
        gain, (low, high) = paired_interval_over_cuts(cuts)
        assert low < gain < high
        inside += low <= 0.02 <= high
        width.append(high - low)
    # of 100 intervals of 95 %, 89 to 100 hold it with probability 0.99
    assert inside >= 89
    assert 0.02 < np.mean(width) < 0.06


def test_cuts_weigh_the_same_and_images_that_a_cut_lacks_do_not_count():
    right, wrong = {"a": True, "b": False}, {"a": False, "b": False}
    gain, (low, high) = paired_interval_over_cuts([[(right, wrong)], [({"c": True}, {"c": True})]])
    assert gain == 0.25
    assert low < 0.25 < high


def verdict(interval, cut_intervals):
    return Verdict(Variant("a", ("b=c",)), 6, {"5a": 0.8}, cut_intervals, 0.01, interval)


@pytest.mark.parametrize(
    ("interval", "of_cuts", "enters"),
    [
        ((0.001, 0.02), {"5a": (-0.01, 0.02), "5b": (0.0, 0.03)}, "yes"),
        ((-0.001, 0.02), {"5a": (0.01, 0.02)}, "no"),
        ((0.001, 0.02), {"5a": (-0.03, -0.001), "5b": (0.01, 0.05)}, "no"),
    ],
    ids=["gains", "perhaps chance", "loses on one"],
)
def test_a_variant_enters_if_it_gains_over_all_and_loses_on_none(interval, of_cuts, enters):
    row = markdown([verdict(interval, of_cuts)], ["5a", "5b"]).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[8] == enters
    assert cells[7] == ("5a" if of_cuts["5a"][1] < 0 else "none")
    assert verdict(interval, of_cuts).enters is (enters == "yes")
