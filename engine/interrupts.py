"""Ctrl-C and a scheduler's SIGTERM as a request that the training loop answers between two steps."""

import signal
from types import FrameType, TracebackType


class Interrupts:
    """While entered, the first SIGINT or SIGTERM sets `requested`; the second acts as if this did not exist."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interrupts":
        for number in self.SIGNALS:
            self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        print("\nInterrupt: finishing this step and saving. Again to stop at once.", flush=True)
        self._restore()

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)
