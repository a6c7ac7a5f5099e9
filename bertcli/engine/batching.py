"""Windows into batches of similar length, so that little of the work is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertcli.engine.windows import Window


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded windows: ids and types (n, length) int64, mask (n, length) int32, positions (k, 2)."""

    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    mask: NDArray[np.int32]
    positions: NDArray[np.int64]
    lengths: tuple[int, ...]


def plan(lengths: Sequence[int], budget: int, mixed: bool = True) -> list[list[int]]:
    """Return the indices of each batch: sorted by length, `n · longest` within the budget.

    A window longer than the budget is a batch of its own. Without `mixed` all windows of a batch
    have one length, so that nothing is padded. Empty when there is nothing to do.

    >>> plan([5, 1, 2, 5], 10), plan([5, 1, 2, 5], 10, mixed=False)
    ([[1, 2], [0, 3]], [[1], [2], [0, 3]])
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    batches: list[list[int]] = []
    for index in order:
        last = batches[-1] if batches else []
        alike = bool(last) and (mixed or lengths[last[0]] == lengths[index])
        if alike and (len(last) + 1) * lengths[index] <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def pad(windows: Sequence[Window], padding: int) -> Batch:
    """Return windows as one batch, padded on the right."""
    lengths = tuple(len(window) for window in windows)
    shape = (len(windows), max(lengths))
    ids, types = np.full(shape, padding, np.int64), np.zeros(shape, np.int64)
    mask = np.zeros(shape, np.int32)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = window.ids
        types[row, : len(window)] = window.types
        mask[row, : len(window)] = 1
    at = [(row, column) for row, window in enumerate(windows) for column in window.masks]
    return Batch(ids, types, mask, np.array(at, np.int64).reshape(-1, 2), lengths)
