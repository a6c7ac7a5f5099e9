"""What every engine can do, and the part they share: batches in, one array per window out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.batching import Batch, pad, plan
from bertcli.engine.families import Head
from bertcli.engine.windows import Window

Logits = NDArray[np.float32]


LEAST_TOKENS = 64
"""Fewer in a batch are not worth a division of the work."""

Reduce = Callable[[Logits], Logits]
Each = Callable[[Callable[[list[int]], list[Logits]], list[list[int]]], Iterable[list[Logits]]]
"""Computes every batch, in order: `map`, or one that has several at work."""


def unreduced(output: Logits) -> Logits:
    """Return a window's array as it is."""
    return output


class Encoder(Protocol):
    """A loaded model with one head."""

    @property
    def head(self) -> Head:
        """What `encode` computes."""
        ...

    def encode(self, windows: Sequence[Window], reduce: Reduce = unreduced) -> list[Logits]:
        """Return one float32 array per window, in their order.

        A bare encoder gives hidden states (length, d), a sequence head logits (labels,), a token
        head (length, labels), an answer head (length, 2), a masked-LM head (masks, vocabulary).
        `reduce` is applied to each as soon as it is there, so that what nobody needs is not held.
        """
        ...


def encode_in_batches(
    run: Callable[[Batch], Logits],
    windows: Sequence[Window],
    head: Head,
    padding: int | None,
    budget: int,
    reduce: Reduce = unreduced,
    each: Each = map,
    parts: int = 1,
) -> list[Logits]:
    """Return each window's array, reduced, computed in batches within the token budget.

    Without a token for `padding` a batch has windows of one length only. Windows that are the same
    are computed once and share an array. Little work is divided into some `parts` for `each` to
    have at hand; the batches depend on the windows alone, as what int8 computes depends on them.
    """
    keys = [_key(window) for window in windows]
    distinct = dict(zip(keys, windows, strict=True))
    names, lengths = list(distinct), [len(window) for window in distinct.values()]

    def compute(indices: list[int]) -> list[Logits]:
        members = [distinct[names[i]] for i in indices]
        return [reduce(one) for one in _split(run(pad(members, padding or 0)), members, head)]

    if parts > 1:
        budget = min(budget, max(LEAST_TOKENS, -(-sum(lengths) // parts)))
    batches = plan(lengths, budget, mixed=padding is not None)
    batches.reverse()  # the longest first, so that no thread is alone with them at the end
    found: dict[bytes, Logits] = {}
    for indices, outputs in zip(batches, each(compute, batches), strict=True):
        found.update(zip((names[i] for i in indices), outputs, strict=True))
    return [found[key] for key in keys]


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
