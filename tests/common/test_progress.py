"""Progress on standard error: of several processes only rank 0 shows it."""

import pytest

from common import progress as module
from common.progress import progress


@pytest.mark.parametrize(("rank", "shown"), [(None, True), ("0", True), ("1", False)])
def test_only_rank_0_shows_progress(monkeypatch, capsys, rank, shown):
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0)
    with progress("epoch 1", total=10) as advance:
        advance(4)
    assert ("epoch 1: 4 of 10 images" in capsys.readouterr().err) is shown
