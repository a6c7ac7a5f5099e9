"""Keyword search over the full-text table, quick in large indexes too."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from bertcli.index.query import any_of

MANY_CHUNKS = 100_000
RARE, COMMON = 0.002, 0.02
SPARE = 4

Match = tuple[int, float]
"""A vector row and its score."""


def matching(
    connection: sqlite3.Connection, phrases: Sequence[str], count: int, thorough: bool = False
) -> list[Match]:
    """Return the vector rows of the best chunks with any of the phrases, each with its BM25.

    Best first, the higher the better (Robertson and Zaragoza 2009, as FTS5 computes it). Its time
    grows with the chunks that have a phrase, so that in an index of over 100,000 chunks common
    phrases take part only where there are no rarer: those that fewer than 1 chunk in 500 has find
    chunks, others up to 1 in 50 add their weight to what was found. `thorough` leaves none out.
    """
    if not phrases:
        return []
    return [(one.row, one.score) for one in _found(connection, phrases, count, thorough)]


class _Found(NamedTuple):
    """A chunk that was found, with its vector row."""

    chunk: int
    row: int
    score: float


def _found(
    connection: sqlite3.Connection, phrases: Sequence[str], count: int, thorough: bool
) -> list[_Found]:
    (chunks,) = connection.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()
    if thorough or chunks <= MANY_CHUNKS or len(phrases) == 1:
        return _ranked(connection, phrases, count)
    held = {one: _holding(connection, one, int(chunks * COMMON)) for one in phrases}
    for share in (RARE, COMMON):
        seeking = [one for one in phrases if 0 < held[one] < share * chunks]
        if seeking:
            others = [one for one in phrases if one not in seeking and held[one] > 0]
            middling = {one: held[one] for one in others if held[one] < int(COMMON * chunks)}
            found = _ranked(connection, seeking, SPARE * count)
            return _raised(connection, found, seeking, middling, chunks)[:count]
    for most in (chunks // 10, chunks // 3):
        seeking = [one for one in phrases if 0 < _holding(connection, one, most) < most]
        if seeking:
            return _ranked(connection, seeking, count)
    return _ranked(connection, phrases, count)


def _holding(connection: sqlite3.Connection, phrase: str, most: int) -> int:
    """Return how many chunks have a phrase, counting no further than `most`."""
    query = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
    return int(connection.execute(query, (any_of([phrase]), most)).fetchone()[0])


def _ranked(connection: sqlite3.Connection, phrases: Sequence[str], count: int) -> list[_Found]:
    found = connection.execute(
        "SELECT id, row, -rank FROM (SELECT rowid, rank FROM words WHERE words MATCH ? "
        "ORDER BY rank LIMIT ?) JOIN chunks ON id = rowid ORDER BY rank, row",
        (any_of(phrases), count),
    )
    return [_Found(*one) for one in found]


def _raised(
    connection: sqlite3.Connection,
    found: Sequence[_Found],
    sought: Sequence[str],
    phrases: dict[str, int],
    chunks: int,
) -> list[_Found]:
    """Return what was found by some phrases in a new order: each of others adds its weight.

    That is BM25's inverse document frequency, what a phrase adds that a chunk of mean length has
    once. The table is asked for chunks with both, since it then leaps over most of a common
    phrase's: half the time of going through them all.
    """
    scores = {one.chunk: one.score for one in found}
    for phrase, holding in phrases.items():
        weight = math.log((chunks - holding + 0.5) / (holding + 0.5))
        query = "SELECT rowid FROM words WHERE words MATCH ?"
        both = f"({any_of([phrase])}) AND ({any_of(sought)})"
        for (chunk,) in connection.execute(query, (both,)):
            if chunk in scores:
                scores[chunk] += weight
    raised = [one._replace(score=scores[one.chunk]) for one in found]
    return sorted(raised, key=lambda one: (-one.score, one.row))
