"""Ctrl-C: the first asks for the end of the step, a later one stops at once, on every system."""

import os
import signal

import pytest

from training.interrupts import Interrupts


def test_a_later_interrupt_stops_at_once_and_not_by_ending_the_process(monkeypatch):
    # on Windows os.kill ends a process for every signal but those of its console
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("the process ends without a word"))
    monkeypatch.setattr(Interrupts, "SECONDS_OF_ONE_INTERRUPT", -1)
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert interrupts.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_signals_close_together_count_as_one():
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert interrupts.requested
