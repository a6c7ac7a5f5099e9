"""What is done with found passages: feedback, a least score, so many per file, near-duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from bertcli.index.alike import stand_ins
from bertcli.index.vectors import Vectors
from bertcli.results import Hit

MORE, LESS = 0.75, 0.15
SAME = 0.95
"""Passages whose cosine reaches this count as the same with `--dedupe`; no probability."""
GROWTH = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many passages are wanted, and which of those that are found.

    `per_file` is how many may come from one document, `dedupe` the cosine from which two passages
    count as the same; None for no bound. `but` is a document that is left out. With `once` each
    document is wanted once, by its name in a run.
    """

    count: int
    min_score: float | None = None
    per_file: int | None = None
    dedupe: float | None = None
    but: str | None = None
    once: bool = False

    @property
    def plain(self) -> bool:
        """Whether the first passages found are those wanted, or most of them with `once`."""
        return (self.min_score, self.per_file, self.dedupe, self.but) == (None,) * 4


def rocchio(query: Vectors, more: Vectors, less: Vectors) -> Vectors:
    """Return a query `(d,)` moved towards passages `(m, d)` and away from others, length one.

    Rocchio's formula with the weights of Manning, Raghavan and Schütze, Introduction to Information
    Retrieval (2008), section 9.1.1: 1, 0.75 and 0.15.
    """
    moved = query.astype(np.float64)
    if len(more):
        moved = moved + MORE * more.mean(axis=0)
    if len(less):
        moved = moved - LESS * less.mean(axis=0)
    length = float(np.linalg.norm(moved))
    return (moved / length if length else moved).astype(np.float32)


def refined(
    fetch: Callable[[int], Sequence[Hit]],
    wanted: Wanted,
    vectors_of: Callable[[Sequence[Hit]], Vectors],
    ordered: bool = False,
) -> list[Hit]:
    """Return the passages wanted, asking for more and more until there are enough or no others.

    Where what is fetched is `ordered` by its score, none follows one below the least score.
    """
    depth = wanted.count if wanted.plain else wanted.count * GROWTH
    while True:
        found = fetch(depth)
        kept = _chosen(found, wanted, vectors_of)
        least = wanted.min_score if ordered else None
        over = len(found) < depth or (least is not None and found[-1].score < least)
        if len(kept) >= wanted.count or over:
            return kept[: wanted.count]
        depth *= GROWTH


def _chosen(
    found: Sequence[Hit], wanted: Wanted, vectors_of: Callable[[Sequence[Hit]], Vectors]
) -> list[Hit]:
    kept = [hit for hit in found if hit.document != wanted.but]
    if wanted.min_score is not None:
        kept = [hit for hit in kept if hit.score >= wanted.min_score]
    if wanted.dedupe is not None:
        kept = _collapsed(kept, vectors_of(kept), wanted.dedupe)
    return spread(kept, wanted)


def spread(hits: Sequence[Hit], wanted: Wanted) -> list[Hit]:
    """Return passages without those of a document, or of a name in a run, that has enough."""
    if wanted.per_file is not None:
        hits = _at_most(wanted.per_file, hits, attrgetter("document"))
    return _at_most(1, hits, attrgetter("run_name")) if wanted.once else list(hits)


def _at_most(count: int, hits: Sequence[Hit], name_of: Callable[[Hit], str | None]) -> list[Hit]:
    """Return the first so many passages of each name."""
    seen = Counter[str | None]()
    few = []
    for hit in hits:
        seen[name_of(hit)] += 1
        if seen[name_of(hit)] <= count:
            few.append(hit)
    return few


def _collapsed(hits: Sequence[Hit], vectors: Vectors, least: float) -> list[Hit]:
    """Return passages without those that are like a better one, which is told where they are."""
    copies: dict[int, list[str]] = {}
    for number, stand_in in enumerate(stand_ins(vectors, least)):
        same = copies.setdefault(stand_in, [])
        if number != stand_in:
            same.append(hits[number].place)
    return [replace(hits[number], copies=tuple(same)) for number, same in copies.items()]
