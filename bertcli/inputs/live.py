"""Live pipes: answer each line when it comes, not when a batch is full."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from queue import Empty, Queue
from threading import Event, Thread
from typing import BinaryIO

from bertcli.records import PAUSE, BadRecord, Item, Record

WAITING_ITEMS = 1024
GRACE = 0.005  # seconds; a reader that is merely slower than its consumer is not a pause


def is_live(stdin: BinaryIO | None) -> bool:
    """Tell whether stdin is a pipe, a socket or a terminal, rather than a file or memory."""
    try:
        mode = os.fstat(stdin.fileno()).st_mode if stdin else stat.S_IFREG
    except (io.UnsupportedOperation, ValueError, OSError):
        return False
    return not stat.S_ISREG(mode)


def with_pauses(items: Iterator[Record | BadRecord]) -> Iterator[Item]:
    """Yield the items as they come, and `PAUSE` wherever the next one has to be waited for.

    A thread reads ahead, at most 1024 items. There is never a pause before the first item, nor two
    in a row. An exception of `items` comes after everything that was read before it.
    """
    reader = _Reader(items)
    try:
        yield from _paused(reader.waiting)
    finally:
        reader.stop()


class _End:
    """The last thing in the queue: the items are over, or `error` ended them."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


_Waiting = Queue[Record | BadRecord | _End]


class _Reader:
    """A thread that fills a bounded queue; a daemon, since nothing wakes it from a silent pipe."""

    def __init__(self, items: Iterator[Record | BadRecord]) -> None:
        self.waiting: _Waiting = Queue(WAITING_ITEMS)
        self._stopped = Event()
        self._items = items
        Thread(target=self._read, name="bertcli-reader", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end at its next item, and make room for one it may be holding."""
        self._stopped.set()
        while not self.waiting.empty():
            self.waiting.get_nowait()

    def _read(self) -> None:
        try:
            for item in self._items:
                self.waiting.put(item)
                if self._stopped.is_set():
                    return
        except BaseException as error:  # raised again in the consumer, whatever it is
            self.waiting.put(_End(error))
        else:
            self.waiting.put(_End())


def _paused(waiting: _Waiting) -> Iterator[Item]:
    answered = True
    while True:
        try:
            item = waiting.get(timeout=None if answered else GRACE)
        except Empty:
            answered = True
            yield PAUSE
            continue
        if isinstance(item, _End):
            if item.error:
                raise item.error
            return
        answered = False
        yield item
