"""What several processes decide together before a step: in one message, so that eight GPUs do not wait five times."""

from types import SimpleNamespace
from typing import Any

import pytest

from common import distributed
from training import trainer
from training.train import train


@pytest.mark.integration
def test_ranks_exchange_one_message_a_step(tiny, monkeypatch):
    add_up, messages = distributed.add_up, []

    def counted(values):
        messages.append(values)
        return add_up(values)

    monkeypatch.setattr(distributed, "add_up", counted)
    # 12 steps, and a few messages at the end of the epoch
    train(tiny("training.epochs=1", "dataset.batch_size=4", "dataset.val_split=0"))
    assert 12 <= len(messages) <= 12 + 6


def test_what_one_rank_wants_is_done_by_all(monkeypatch):
    def with_another_rank(values):
        # the other rank wants to leave, and has an empty micro-batch
        return [value + other for value, other in zip(values, (1.0, 0.0, 0.0, 1.0, 0.0), strict=True)]

    monkeypatch.setattr(distributed, "add_up", with_another_rank)
    monkeypatch.setattr(trainer, "note_skipped", lambda *_: None)
    monkeypatch.setattr(trainer, "skipped_too_many", lambda *_: False)
    anything: Any = None
    course: Any = SimpleNamespace(
        interrupts=SimpleNamespace(requested=False),
        saver=SimpleNamespace(is_due=lambda at_the_end_of_an_epoch: False),
        limit=None,
    )
    batch: Any = SimpleNamespace(images=[1, 2], skipped=[])
    agreed = trainer.agree(anything, anything, course, [batch])
    assert agreed == trainer.Agreement(leave=True, save=False, empty_somewhere=True, shorten=False)
