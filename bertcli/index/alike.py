"""Which vectors are alike: pairs above a cosine, groups of near-duplicates, and how cosines lie."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertcli.index.vectors import Vectors

BLOCK = 1024
ROUNDING = 1e-6
BINS = 20


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows, the first the smaller, and their cosine."""

    score: float
    first: int
    second: int


def pairs_above(vectors: Vectors, least: float) -> Iterator[Pair]:
    """Yield every pair of vectors `(n, d)` of length one whose cosine is at least `least`.

    Exact: all pairs are looked at, a block at a time.
    """
    for begin in range(0, len(vectors), BLOCK):
        block = vectors[begin : begin + BLOCK]
        for other in range(begin, len(vectors), BLOCK):
            scores = block @ vectors[other : other + BLOCK].T
            rows, columns = np.nonzero(scores >= least - ROUNDING)  # the same text has 0.9999999
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                if begin + row < other + column:
                    yield Pair(float(scores[row, column]), begin + row, other + column)


def best_pairs(vectors: Vectors, least: float, count: int) -> list[Pair]:
    """Return the pairs of at least this cosine, highest first, at most `count`."""
    return heapq.nsmallest(count, pairs_above(vectors, least), key=_order)


def groups_above(vectors: Vectors, least: float) -> list[list[int]]:
    """Return groups of two and more rows that chains of pairs of at least this cosine connect.

    Rows stand in their order, groups in that of their first.
    """
    root = list(range(len(vectors)))

    def find(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    for pair in pairs_above(vectors, least):
        one, other = sorted((find(pair.first), find(pair.second)))
        root[other] = one
    groups: dict[int, list[int]] = {}
    for row in range(len(vectors)):
        groups.setdefault(find(row), []).append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def standing_for_others(vectors: Vectors, group: Sequence[int], least: float) -> dict[int, int]:
    """Return the rows of a group that are left without near-duplicates, and of how many texts each.

    Chains of pairs leave more than one, and what goes is always like something that stays.
    """
    return Counter(group[number] for number in stand_ins(vectors[list(group)], least))


def stand_ins(vectors: Vectors, least: float) -> list[int]:
    """Return for each vector `(n, d)` the number of the one that stands for it.

    That is the nearest of the earlier ones that are left, where their cosine is at least `least`;
    else it is left, and stands for itself.
    """
    left: list[int] = []
    kept = np.empty_like(vectors)  # the vectors of those that are left, in their order
    found = []
    for number, vector in enumerate(vectors):
        cosines = kept[: len(left)] @ vector
        if left and float(cosines.max()) >= least - ROUNDING:
            found.append(left[int(cosines.argmax())])
        else:
            kept[len(left)] = vector
            left.append(number)
            found.append(number)
    return found


def nearest_cosines(vectors: Vectors) -> NDArray[np.float32]:
    """Return for each vector its highest cosine with another one, `(n,)`; -1 for a single one."""
    best = np.full(len(vectors), -1.0, np.float32)
    for begin in range(0, len(vectors), BLOCK):
        block = vectors[begin : begin + BLOCK]
        for other in range(0, len(vectors), BLOCK):
            scores = block @ vectors[other : other + BLOCK].T
            if begin == other:
                np.fill_diagonal(scores, -1.0)
            here = best[begin : begin + BLOCK]
            np.maximum(here, scores.max(axis=1, initial=-1.0), out=here)
    return best


def distribution(cosines: NDArray[np.float32]) -> list[tuple[float, int]]:
    """Return how many cosines lie in each twentieth of 0…1, with the lower end of each.

    Those below zero count in the lowest.
    """
    counts, edges = np.histogram(np.clip(cosines, 0.0, 1.0), BINS, (0.0, 1.0))
    return [(round(float(edge), 2), int(count)) for edge, count in zip(edges, counts, strict=False)]


def _order(pair: Pair) -> tuple[float, int, int]:
    return -pair.score, pair.first, pair.second
