"""Keyword search over the full-text table, quick in large indexes too."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bertcli.index.query import all_of, any_of
from bertcli.index.words import full_text, table_of
from bertcli.records import sought_text

MANY_HITS = 15_000
"""FTS5 scores so many chunks in the time in which a pool of them is chosen and scored, 20 to 30 ms
(300,000 paragraphs of Wikipedia, search questions, half of which have more than 37,000)."""
POOL = 150
"""How many chunks are looked at closely where more than MANY_HITS have one of the phrases."""
COMMON = 10
"""One chunk in so many has a phrase that is too common to look for chunks by."""
MOST_PHRASES = 16
LOOKED_UP = 4
"""Looking up the rows of one chunk in so many takes as long as reading those of all."""
KEPT, KEPT_COUNTS = 8_000_000, 100_000
"""For how many chunks it is kept that they have a phrase, 4 bytes each, and for how many phrases
how many chunks have them."""
AMONG = "IN (SELECT value FROM json_each(?))"
"""In SQL: one of a list of numbers, which is bound as JSON."""
K1, B = 1.2, 0.75
"""The constants of BM25, as FTS5 has them."""

Match = tuple[int, float]
"""A vector row and its score."""
Live = NDArray[np.bool_] | None
"""Which vector rows may be found; None when all of them may."""


class _Size(NamedTuple):
    """How many chunks there are, the last one's number, and how many words each has in the mean."""

    chunks: int
    last: int
    mean: float


class Keywords:
    """The full-text table of an index, and what it told of the phrases that were asked for last.

    That is kept for later queries, as common words come again and again.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._holders: dict[str, NDArray[np.int32]] = {}
        self._counts: dict[str, int] = {}
        self._row_of: NDArray[np.int64] | None = None
        self._looked_up = 0
        self._version: object = None

    def matching(
        self, phrases: Sequence[str], depth: int, live: Live, version: object
    ) -> list[Match]:
        """Return the vector rows of the best chunks with any of the phrases, each with its BM25.

        Best first, the higher the better (Robertson and Zaragoza 2009, as FTS5 computes it). FTS5
        takes time for each chunk that has a phrase: where those are many only a pool of them is
        scored, whose phrases weigh most together. `version` is another one whenever the index has
        changed.
        """
        if not phrases:
            return []
        if version != self._version or len(self._counts) > KEPT_COUNTS:
            self._version, self._holders, self._counts = version, {}, {}
            self._row_of, self._looked_up = None, 0
        size = self._size()
        if len(phrases) > 1 and self._are_many(phrases, size):
            pool, is_all = self._heaviest(phrases, max(depth, POOL), live, size)
            found = self._scored(pool, phrases)
            if len(found) >= depth or is_all:
                return found[:depth]  # else once more: a filter must not empty a result that exists
        among = None if live is None else self._alive(self._having(phrases), live, size)
        best = self._best(any_of(phrases), depth, among)
        rows = dict(self._rows(best))
        every = [(row, best[chunk]) for chunk, row in rows.items()]
        return sorted(every, key=lambda one: (-one[1], one[0]))

    def _are_many(self, phrases: Sequence[str], size: _Size) -> bool:
        """Return whether FTS5 alone would take long for what has one of the phrases."""
        most = size.chunks * len(phrases)  # which says enough in a small index
        return most > MANY_HITS and sum(map(self._count, phrases)) > MANY_HITS

    def _size(self) -> _Size:
        """Return the size of the table, which FTS5 keeps in its record 1."""
        (block,) = self._connection.execute("SELECT block FROM words_data WHERE id = 1").fetchone()
        (last,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()
        numbers = [*_numbers(block), 0, 0]
        return _Size(numbers[0], last, numbers[1] / max(numbers[0], 1))

    def _best(
        self, expression: str, most: int, among: NDArray[np.int32] | None = None
    ) -> dict[int, float]:
        """Return the chunks that an expression of the table holds for with their BM25, best first.

        `among` are those to look at; FTS5 scores no others. `bm25` in an order with a limit takes
        two thirds of the time of `rank`, which sorts all: 21 and 33 ms for 150 of 21,560 chunks.
        """
        there = "" if among is None else f"AND +rowid {AMONG} "
        values = () if among is None else (_listed(among),)
        found = self._connection.execute(
            f"SELECT rowid, -bm25(words) AS score FROM words WHERE words MATCH ? {there}"
            "ORDER BY score DESC, rowid LIMIT ?",
            (expression, *values, most),
        )
        return dict(found)

    def _heaviest(
        self, phrases: Sequence[str], count: int, live: Live, size: _Size
    ) -> tuple[dict[int, int], bool]:
        """Return `count` chunks whose phrases weigh most with their rows, and whether it is all.

        They weigh by their inverse frequency. Of too many chunks with the same phrases those come
        whose BM25 of these is best.
        """
        there = sorted((one for one in set(phrases) if self._count(one)), key=self._count)
        sought, total = list[str](), 0
        has = np.zeros(size.last + 1, np.uint16)  # a bit for each phrase
        for phrase in there[:MOST_PHRASES]:  # the rarest first, common ones where these do not do
            if total >= count and self._count(phrase) >= size.chunks / COMMON:
                break
            holders = self._alive(self._holding(phrase), live, size)
            has[holders] |= np.uint16(1 << len(sought))
            total += len(holders)
            sought.append(phrase)
        self._forget()
        chunks = np.flatnonzero(has != 0)
        kind_of = has[chunks]
        sizes = np.bincount(kind_of)
        kinds = np.flatnonzero(sizes)
        weights = np.array([_inverse_frequency(self._count(one), size.chunks) for one in sought])
        weigh = ((kinds[:, None] >> np.arange(len(sought))) & 1) @ weights
        found: dict[int, int] = {}
        for kind in kinds[np.argsort(-weigh, kind="stable")].tolist():
            room = count - len(found)
            if room <= 0:
                break
            its = chunks[kind_of == kind]
            if sizes[kind] <= room:
                found.update(self._rows(its))
                continue
            expression = all_of(one for bit, one in enumerate(sought) if kind >> bit & 1)
            best = self._best(expression, count, None if live is None else its)
            left = (one for one in best if one not in found)  # those of more phrases came before
            found.update(self._rows(islice(left, room)))
        return found, len(sought) == len(there)

    def _alive(self, chunks: NDArray[np.int32], live: Live, size: _Size) -> NDArray[np.int32]:
        """Return which of some chunks have a row that may be found, as far as that is asked.

        Of a damaged index the table may have words of chunks that there are not.
        """
        chunks = chunks[(chunks >= 0) & (chunks <= size.last)]
        if live is None:
            return chunks
        rows = self._rows_by_chunk(chunks, size.last)
        fitting: NDArray[np.bool_] = (rows >= 0) & live[rows]
        return chunks[fitting]

    def _rows(self, chunks: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield chunks with the rows of their vectors, those that have one."""
        query = f"SELECT id, row FROM chunks WHERE id {AMONG}"
        yield from self._connection.execute(query, (_listed(chunks),))

    def _rows_by_chunk(self, chunks: NDArray[np.int32], last: int) -> NDArray[np.int64]:
        """Return the rows of chunks up to the last one, -1 for a number without a chunk.

        They are looked up one by one until that has taken as long as reading all.
        """
        if self._row_of is None:
            self._looked_up += len(chunks)
            if self._looked_up < last / LOOKED_UP:
                rows = dict(self._rows(chunks))
                return np.array([rows.get(chunk, -1) for chunk in chunks.tolist()], np.int64)
            self._row_of = np.full(last + 1, -1)
            numbers = np.fromiter(
                chain.from_iterable(self._connection.execute("SELECT id, row FROM chunks")),
                np.int64,
            ).reshape(-1, 2)
            self._row_of[numbers[:, 0]] = numbers[:, 1]
        return self._row_of[chunks]

    def _scored(self, chunks: dict[int, int], phrases: Sequence[str]) -> list[Match]:
        """Return the rows of chunks with their BM25, best first.

        A table of their texts alone tells, phrase by phrase, how often each has it, by the formula
        turned round: its own BM25 counts as FTS5 does, and differs in what it knows of the others.
        """
        size, scores = self._size(), dict.fromkeys(chunks, 0.0)
        with table_of(self._texts(chunks)) as table:
            lengths = {
                chunk: next(_numbers(found))
                for chunk, found in table.execute("SELECT id, sz FROM words_docsize")
            }
            mean = sum(lengths.values()) / max(len(lengths), 1)
            for phrase in phrases:
                weight = _inverse_frequency(self._count(phrase), size.chunks)
                holding = table.execute(
                    "SELECT rowid, -rank FROM words WHERE words MATCH ?", (any_of([phrase]),)
                ).fetchall()
                own = _inverse_frequency(len(holding), len(lengths))
                for chunk, score in holding:
                    here, there = (
                        K1 * (1 - B + B * lengths[chunk] / one) for one in (mean, size.mean)
                    )
                    times = round(here * score / own / (K1 + 1 - score / own))
                    scores[chunk] += weight * times * (K1 + 1) / (times + there)
        found = [(chunks[chunk], score) for chunk, score in scores.items()]
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def _texts(self, chunks: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Yield chunks with their texts as the full-text table has them."""
        cut: dict[int, list[tuple[int, int, int, str | None]]] = {}
        query = f'SELECT document, id, start, "end", context FROM chunks WHERE id {AMONG}'
        for document, *part in self._connection.execute(query, (_listed(chunks),)):
            cut.setdefault(document, []).append(tuple(part))
        query = f"SELECT document, text FROM texts WHERE document {AMONG}"
        for document, text in self._connection.execute(query, (_listed(cut),)):
            for chunk, start, end, context in cut[document]:
                yield chunk, full_text(sought_text(text[start:end], context))

    def _count(self, phrase: str) -> int:
        """Return how many chunks have a phrase."""
        if phrase not in self._counts:
            query = "SELECT count(*) FROM words WHERE words MATCH ?"
            (found,) = self._connection.execute(query, (any_of([phrase]),)).fetchone()
            self._counts[phrase] = int(found)
        return self._counts[phrase]

    def _holding(self, phrase: str) -> NDArray[np.int32]:
        """Return the chunks that have a phrase, `(n,)`; one text is read thrice as fast as rows."""
        if phrase not in self._holders:
            query = "SELECT group_concat(rowid) FROM words WHERE words MATCH ?"
            (listed,) = self._connection.execute(query, (any_of([phrase]),)).fetchone()
            self._holders[phrase] = np.fromstring(listed, np.int32, sep=",")
        self._holders[phrase] = self._holders.pop(phrase)  # the last in order is the last used
        return self._holders[phrase]

    def _having(self, phrases: Sequence[str]) -> NDArray[np.int32]:
        """Return the chunks that have one of the phrases, `(n,)`."""
        there = [one for one in dict.fromkeys(phrases) if self._count(one)]
        found = [self._holding(one) for one in there]
        self._forget()
        return np.unique(np.concatenate([np.zeros(0, np.int32), *found]))

    def _forget(self) -> None:
        """Keep no more than there is room for."""
        held = sum(map(len, self._holders.values()))
        for phrase in list(self._holders):
            if held <= KEPT:
                return
            held -= len(self._holders.pop(phrase))


def _listed(numbers: Iterable[int]) -> str:
    """Return numbers as AMONG has them."""
    return json.dumps(numbers.tolist() if isinstance(numbers, np.ndarray) else list(numbers))


def _inverse_frequency(holding: int, chunks: int) -> float:
    """Return the inverse document frequency of a phrase that so many of all chunks have."""
    found = math.log((chunks - holding + 0.5) / (holding + 0.5))
    return found if found > 0 else 1e-6  # as FTS5 has it for what more than half of them have


def _numbers(block: bytes) -> Iterator[int]:
    """Yield the numbers of SQLite's variable length: seven bits a byte, the high bit goes on."""
    number = 0
    for byte in block:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            yield number
            number = 0
