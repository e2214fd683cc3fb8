"""A progress bar on a terminal, a plain line every half minute elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 30

# takes how many images are done, and of how many
Watcher = Callable[[int, int], object]

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Give the progress of what this thread does to `watcher` instead of showing it, as for a bar in a browser."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def progress(description: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show the progress of `total` images, of which `done` are done; yield a function that takes the images just done.

    Shows images/s and the time left. The bar disappears at the end. Of several processes only rank 0 shows it.
    """
    # torchrun sets RANK; asking torch would import it, for which --help must not wait
    if os.environ.get("RANK", "0") != "0":
        yield lambda images: None
        return
    watcher = _watcher.get()
    if watcher is not None:
        yield _told(watcher, total, done)
        return
    # standard output is for results, which may be JSON
    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console) as bar:
            started, count = time.perf_counter(), 0
            task = bar.add_task(description, total=total, completed=done, rate="")

            def advance(images: int) -> None:
                nonlocal count
                count += images
                rate = count / max(time.perf_counter() - started, 1e-9)
                bar.update(task, advance=images, rate=f"{rate:.0f} images/s")

            yield advance
    else:
        yield _plain_lines(description, total, done)


def _told(watcher: Watcher, total: int, done: int) -> Callable[[int], None]:
    count = done

    def advance(images: int) -> None:
        nonlocal count
        count += images
        watcher(count, total)

    return advance


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _plain_lines(description: str, total: int, done: int) -> Callable[[int], None]:
    started = printed = time.perf_counter()
    count = 0

    def advance(images: int) -> None:
        nonlocal printed, count
        count += images
        now = time.perf_counter()
        if now - printed >= SECONDS_BETWEEN_LINES:
            printed = now
            rate = count / (now - started)
            left = clock((total - done - count) / rate) if rate else "?"
            print(
                f"  {description}: {done + count} of {total} images, {rate:.0f} images/s, {left} left",
                file=sys.stderr,
                flush=True,
            )

    return advance
