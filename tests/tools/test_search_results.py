"""What a search has found: the answers of its best epochs."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.epoch_choice import flattery
from tools.search_results import Trial, flattery_of
from training.run_folder import RunFolder, write_history, write_validation_hits


def trial(root: Path, number: int, epochs: list[int], hits: list[list[bool]], best: int) -> Trial:
    folder = RunFolder(root / str(number))
    folder.root.mkdir()
    write_history(folder.history, [{"epoch": epoch} for epoch in epochs])
    write_validation_hits(folder.validation_hits, [str(k) for k in range(len(hits[0]))], [np.array(h) for h in hits])
    return Trial(number, "finished", (), 0.5, best, len(epochs), 1.0, "", folder.root)


def test_a_run_that_left_out_epochs_has_the_answers_of_its_best_one(tmp_path):
    generator = np.random.default_rng(0)
    hits = (generator.random((2, 3, 40)) < 0.5).tolist()
    # the first was shortened: epochs 3 to 8 are missing
    trials = [trial(tmp_path, 0, [1, 2, 9], hits[0], best=9), trial(tmp_path, 1, [1, 2, 3], hits[1], best=2)]
    expected = flattery(np.array([hits[0][2], hits[1][1]]))
    assert flattery_of(trials) == pytest.approx(expected)
