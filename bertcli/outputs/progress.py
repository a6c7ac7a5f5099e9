"""A line on stderr that says how far a run is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

PAUSE_SECONDS = 0.2  # between two drawings
ERASE = "\r\x1b[K"


class Progress:
    """Counts records and redraws one line, at most five times a second."""

    def __init__(
        self, total: int | None, stream: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total, self._stream, self._clock = total, stream, clock
        self._done = 0
        self._start = self._drawn = clock()

    def advance(self, records: int = 1) -> None:
        """Count records as done."""
        self._done += records
        now = self._clock()
        if now - self._drawn >= PAUSE_SECONDS:
            self._drawn = now
            line = progress_line(self._done, self._total, now - self._start)
            self._stream.write(f"{ERASE}{line}")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away, so that something else can be said."""
        if self._drawn != self._start:
            self._stream.write(ERASE)
            self._stream.flush()


@contextmanager
def progress(enabled: bool, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yield a function to be told of every few records done; silent unless enabled.

    Enable it only where stderr is a terminal and the answers do not go to the same one.
    """
    if not enabled:
        yield lambda records: None
        return
    shown = Progress(total, sys.stderr)
    try:
        yield shown.advance
    finally:
        shown.clear()


def progress_line(done: int, total: int | None, seconds: float) -> str:
    """Return how many records are done, how fast, and how long the rest will take.

    >>> progress_line(1500, 4500, 30.0)
    '1,500 of 4,500 records  50.0/s  1:00 left'
    """
    rate = done / seconds if seconds > 0 else 0.0
    count = f"{done:,} of {total:,} records" if total is not None else f"{done:,} records"
    speed = f"{rate:.1f}/s" if rate < 100 else f"{rate:,.0f}/s"
    if total is None or not rate:
        return f"{count}  {speed}"
    return f"{count}  {speed}  {clock_time((total - done) / rate)} left"


def clock_time(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds.

    >>> clock_time(3725)
    '1:02:05'
    """
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
