"""What every engine can do, and the part they share: batches in, one array per window out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.batching import Batch, pad, plan
from bertcli.engine.families import Head
from bertcli.engine.windows import Window

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

Logits = NDArray[np.float32]
Reduce = Callable[[Logits], Logits]

LEAST_TOKENS = 32
"""Fewer in a batch are not worth a division of the work, which has a price for each part.

Two texts of 19 tokens took 1.8 times as long with 64, in fp32 on two cores; 16 was no quicker.
"""


def unreduced(output: Logits) -> Logits:
    """Return a window's array as it is."""
    return output


class Encoder(Protocol):
    """A loaded model with one head."""

    @property
    def head(self) -> Head:
        """What `encode` computes."""
        ...

    def encode(self, windows: Sequence[Window], reduce: Reduce = unreduced) -> Iterator[Logits]:
        """Return one float32 array per window, in their order.

        They may still be computed when this returns: each is waited for when it is its turn.

        A bare encoder gives hidden states (length, d), a sequence head logits (labels,), a token
        head (length, labels), an answer head (length, 2), a masked-LM head (masks, vocabulary).
        `reduce` is applied to each as soon as it is there, so that what nobody needs is not held.
        """
        ...


class Coming(Iterator[Logits]):
    """The arrays of windows whose batches a pool computes, in the order of the windows.

    `places` says of each window which batch has its array, and where in it. What has not begun when
    nobody holds the iterator any more is left.
    """

    def __init__(self, batches: Sequence[Future[list[Logits]]], places: Sequence[tuple[int, int]]):
        self._batches = batches
        self._places = iter(places)

    def __next__(self) -> Logits:
        """Return the next array, as soon as its batch has been computed."""
        batch, row = next(self._places)
        return self._batches[batch].result()[row]

    def __del__(self) -> None:
        """Leave the batches that have not begun."""
        for batch in self._batches:
            batch.cancel()


def encode_in_batches(
    run: Callable[[Batch], Logits],
    windows: Sequence[Window],
    head: Head,
    padding: int | None,
    budget: int,
    reduce: Reduce = unreduced,
    pool: Executor | None = None,
    parts: int = 1,
) -> Iterator[Logits]:
    """Return each window's array, reduced, computed in batches within the token budget.

    Without a token for `padding` a batch has windows of one length only. Windows that are the same
    are computed once and share an array. Little work is divided into some `parts` for a `pool` to
    have at hand; the batches depend on the windows alone, so that two runs round in the same way.
    With a pool this returns at once.
    """
    keys = [_key(window) for window in windows]
    distinct = dict(zip(keys, windows, strict=True))
    names, members = list(distinct), list(distinct.values())
    lengths = [len(window) for window in members]

    def compute(indices: list[int]) -> list[Logits]:
        batch = [members[i] for i in indices]
        return [reduce(one) for one in _split(run(pad(batch, padding or 0)), batch, head)]

    if parts > 1:
        budget = min(budget, max(LEAST_TOKENS, -(-sum(lengths) // parts)))
    batches = plan(lengths, budget, mixed=padding is not None)
    batches.reverse()  # the longest first, so that no thread is alone with them at the end
    place = {
        names[i]: (batch, row)
        for batch, indices in enumerate(batches)
        for row, i in enumerate(indices)
    }
    if pool is not None:
        return Coming([pool.submit(compute, one) for one in batches], [place[key] for key in keys])
    computed = [compute(one) for one in batches]
    return iter([computed[batch][row] for batch, row in map(place.__getitem__, keys)])


def _key(window: Window) -> bytes:
    """Return all of a window that the model sees."""
    return b"|".join((window.ids.tobytes(), window.types.tobytes(), repr(window.masks).encode()))


def _split(output: Logits, windows: Sequence[Window], head: Head) -> list[Logits]:
    """Return a batch's output by window, without the padding."""
    if head is Head.MASKED_LM:
        ends = np.cumsum([len(window.masks) for window in windows])
        return list(np.split(output, ends[:-1]))
    if head is Head.SEQUENCE:
        return list(output)
    return [row[: len(window)] for row, window in zip(output, windows, strict=True)]
