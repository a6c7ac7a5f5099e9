"""A task over a stream of records: plan, encode, decode, with answers in input order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bertcli.engine.encoder import Encoder, Logits
from bertcli.engine.tokens import Tokens
from bertcli.engine.windows import Window
from bertcli.errors import RecordError
from bertcli.records import BadRecord, Item, Pause, Record
from bertcli.results import Answer, Reading, Result

LOOK_AHEAD_RECORDS = 512
LOOK_AHEAD_CHARACTERS = 400_000
"""How far to read before batching: enough for batches of one length, little enough to hold.

With 128 records 4,000 texts took 1.17 of the time in int8, with 2,048 they took 0.99.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one record asks of the encoder, and what its decoding needs afterwards."""

    windows: tuple[Window, ...]
    tokens: Tokens
    reading: Reading


class Task(Protocol):
    """The plain functions of a task: the engine's work comes between them."""

    @property
    def encoder(self) -> Encoder:
        """The model that computes the windows."""
        ...

    def reduce(self, output: Logits) -> Logits:
        """Return of a window's array what `decode` needs; nothing else is held."""
        ...

    def plan(self, records: Sequence[Record]) -> list[Plan | RecordError]:
        """Return every record's windows, or why it cannot be answered."""
        ...

    def decode(self, record: Record, plan: Plan, outputs: Sequence[Logits]) -> Result:
        """Return the result of a record from its windows' arrays."""
        ...


@dataclass(frozen=True, slots=True)
class _Begun:
    """A group of which the windows are with the encoder."""

    items: Sequence[Record | BadRecord]
    plans: Iterator[Plan | RecordError]
    outputs: Iterator[Logits]


def answers(task: Task, items: Iterable[Item]) -> Iterator[Answer]:
    """Yield one answer per item in input order; memory holds two look-aheads of records.

    While the encoder computes a group, the next one is read and planned, and the one before is
    decoded. Before a pause of the stream all that was read is answered.
    """
    begun: _Begun | None = None
    for group in _groups(items):
        before, begun = begun, None if isinstance(group, Pause) else _begin(task, group)
        if before is not None:
            yield from _answered(task, before)
    if begun is not None:
        yield from _answered(task, begun)


def look_ahead(items: Iterable[Item]) -> Iterator[list[Record | BadRecord]]:
    """Yield groups of items: as many as may be held at once, or fewer when the stream pauses."""
    return (group for group in _groups(items) if not isinstance(group, Pause))


def _groups(items: Iterable[Item]) -> Iterator[list[Record | BadRecord] | Pause]:
    """Yield groups of items, and the pauses between them."""
    group: list[Record | BadRecord] = []
    characters = 0
    for item in items:
        if not isinstance(item, Pause):
            group.append(item)
            characters += len(item.text + (item.second or "")) if isinstance(item, Record) else 0
        full = len(group) >= LOOK_AHEAD_RECORDS or characters >= LOOK_AHEAD_CHARACTERS
        if group and (full or isinstance(item, Pause)):
            yield group
            group, characters = [], 0
        if isinstance(item, Pause):
            yield item
    if group:
        yield group


def count_read(tokens: int, windows: Sequence[Window]) -> Reading:
    """Return how much of a text its windows show: tokens in none of them were cut."""
    covered, last = 0, 0
    for start, end in sorted((window.start, window.end) for window in windows):
        covered += max(0, end - max(start, last))
        last = max(last, end)
    return Reading(tokens, len(windows), tokens - covered)


def _begin(task: Task, group: Sequence[Record | BadRecord]) -> _Begun:
    plans = task.plan([item for item in group if isinstance(item, Record)])
    windows = [window for plan in plans if isinstance(plan, Plan) for window in plan.windows]
    return _Begun(group, iter(plans), task.encoder.encode(windows, task.reduce))


def _answered(task: Task, group: _Begun) -> Iterator[Answer]:
    for item in group.items:
        if isinstance(item, BadRecord):
            yield Answer(item, error=item.error)
            continue
        plan = next(group.plans)
        if isinstance(plan, RecordError):
            yield Answer(item, error=str(plan))
            continue
        mine = [next(group.outputs) for _ in plan.windows]
        yield _decoded(task, item, plan, mine)


def _decoded(task: Task, record: Record, plan: Plan, outputs: Sequence[Logits]) -> Answer:
    if not all(bool(np.isfinite(array).all()) for array in outputs):
        return Answer(record, error="the model computed no finite numbers for this text")
    try:
        return Answer(record, task.decode(record, plan, outputs))
    except RecordError as error:
        return Answer(record, error=str(error))
