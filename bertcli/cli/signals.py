"""Signals that ask the program to end."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

ENDED = 128
"""A process that a signal ended has this and the signal's number as its exit code."""

AGAIN_SECONDS = 1.0
"""What comes so soon after another asks for the same: to a process and to its group, say."""

_asked: list[tuple[int, float]] = []
"""The signals that have come, and when, in seconds of a clock that never goes back."""


def heed_signals() -> None:
    """From now on, end as an exception does, so that temporary files are removed on the way out."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has SIGHUP ignored
            signal.signal(number, _leave)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def asked_to_end() -> int | None:
    """Return the exit code for the signal that has come; None where none has.

    A library that is just being loaded may turn the exception into one of its own.
    """
    return ENDED + _asked[-1][0] if _asked else None


def _leave(number: int, frame: FrameType | None) -> None:
    if _is_new(number):
        sys.exit(ENDED + number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _is_new(number):
        raise KeyboardInterrupt


def _is_new(number: int) -> bool:
    """Note a signal and tell whether it is one of its own, which may interrupt the cleaning up."""
    now = time.monotonic()
    if _asked and now - _asked[-1][1] < AGAIN_SECONDS:
        return False
    _asked.append((number, now))
    return True
