"""A sweep ranks its runs in a table that stands after each of them."""

import csv

import pytest

from tools.sweep import train_sweep
from training.train import train


def rows_of(root):
    (path,) = root.glob("sweeps/*/sweep.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.integration
def test_the_best_run_stands_first_and_a_failed_one_last(tiny, tmp_path):
    jobs = [["training.learning_rate=1e-6"], ["dataset.batch_size=1"], ["training.learning_rate=0.02"]]
    options = ["training.epochs=6", "training.scheduler=constant"]
    sweep = train_sweep([tiny(*options, *job) for job in jobs], jobs)
    assert (sweep.runs, sweep.failures) == (3, 1)
    assert sweep.table.is_file()
    rows = rows_of(tmp_path / "run")
    assert [row["job"] for row in rows] == ["2", "0", "1"]
    assert float(rows[0]["val_top1"]) > float(rows[1]["val_top1"])
    assert [row["status"].partition(":")[0] for row in rows] == ["finished", "finished", "failed"]
    assert "Give a larger dataset.batch_size" in rows[2]["status"]
    assert rows[0]["overrides"] == "training.learning_rate=0.02"
    assert rows[0]["output_dir"].endswith("2")


@pytest.mark.integration
def test_the_table_stands_after_each_run(tiny, tmp_path, monkeypatch):
    def interrupted(config):
        if config.seed == 1:
            raise KeyboardInterrupt
        return train(config)

    monkeypatch.setattr("tools.sweep.train", interrupted)
    jobs = [["seed=0"], ["seed=1"]]
    with pytest.raises(KeyboardInterrupt):
        train_sweep([tiny("training.epochs=1", *job) for job in jobs], jobs)
    assert [row["overrides"] for row in rows_of(tmp_path / "run")] == ["seed=0"]
