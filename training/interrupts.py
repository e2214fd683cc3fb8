"""Interrupts: Ctrl-C and SIGTERM become a request that the training loop handles between two steps."""

import signal
import time
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """While active, the first SIGINT or SIGTERM sets `requested`; a later one has its usual effect.

    Signals within `SECONDS_OF_ONE_INTERRUPT` count as one: torchrun forwards a signal that the terminal or the
    scheduler has already sent to every process.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    SECONDS_OF_ONE_INTERRUPT = 2

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        for number in self.SIGNALS:
            self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.requested:
            self.requested, self._since = True, now
            print("\nInterrupt: finishing this step and saving. Again, in two seconds, to stop at once.", flush=True)
        elif now - self._since > self.SECONDS_OF_ONE_INTERRUPT:
            self._restore()
            # os.kill would end the process on Windows at once, without a word
            signal.raise_signal(number)

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)
