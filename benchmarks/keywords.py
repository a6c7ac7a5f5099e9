"""Keyword search in a large index against BM25 of all its passages: what is found, and how soon.

    python benchmarks/keywords.py PASSAGES.txt QUESTIONS.jsonl [--count 150]

Where more than 15,000 passages have one of the words, those only are scored whose words weigh most
together. Here every question is also answered by FTS5 alone, which scores them all, in turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bertcli.index.chunks import Chunk
from bertcli.index.content import Entry, NewDocument
from bertcli.index.folder import IndexFolder
from bertcli.index.manifest import Chunking, Manifest, ModelIdentity
from bertcli.index.query import Query, any_of, words_of
from bertcli.inputs.records import read_records
from bertcli.inputs.source import InputOptions
from bertcli.records import Record

DIMENSION = 4
DEPTH = 10
ALL = (
    "SELECT row FROM (SELECT rowid, rank FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?) "
    "JOIN chunks ON id = rowid ORDER BY rank, row"
)


def texts(path: str, field: str) -> Iterator[str]:
    """Yield the texts of a file."""
    for one in read_records(InputOptions(inputs=(path,), field=field)):
        if isinstance(one, Record):
            yield one.text


def entries(path: str) -> Iterator[Entry]:
    """Yield the passages of a file, with vectors that mean nothing."""
    vector = np.eye(1, DIMENSION, dtype=np.float32)
    for number, text in enumerate(texts(path, "text"), 1):
        yield Entry(NewDocument("passages", text, number), [Chunk(0, len(text), 1)], vector)


def timed(action: object) -> tuple[float, list[int]]:
    """Return the milliseconds that something takes, and its rows."""
    began = time.perf_counter()
    rows = action()  # type: ignore[operator]
    return (time.perf_counter() - began) * 1000, rows


def main() -> None:
    """Build the index, ask twice, and print the medians and what the two have in common."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("passages")
    parser.add_argument("questions")
    parser.add_argument("--count", type=int, default=150)
    given = parser.parse_args()
    queries: list[Query] = []
    for text in texts(given.questions, "question"):
        queries.append(words_of(text))
        if len(queries) == given.count:
            break
    model = ModelIdentity("none", "0" * 64, "mean", True, DIMENSION, "")
    place = Path(tempfile.mkdtemp()) / "index"
    with IndexFolder.create(place, Manifest(model, Chunking(256, 0))) as index:
        index.add(entries(given.passages))
        documents = index.documents
        print(f"{documents.counts().chunks:,} passages, {len(queries)} questions, top {DEPTH}")
        for name in ("first", "again"):
            pairs = [
                (
                    timed(lambda q=q: [row for row, _ in documents.matching(q.wanted, DEPTH)]),
                    timed(
                        lambda q=q: [
                            row
                            for (row,) in documents.connection.execute(
                                ALL, (any_of(q.wanted), DEPTH)
                            )
                        ]
                    ),
                )
                for q in queries
            ]
            ours, every = (statistics.median(one[i][0] for one in pairs) for i in (0, 1))
            first = statistics.fmean(a[:1] == b[:1] for (_, a), (_, b) in pairs)
            shared = statistics.fmean(
                len(set(a) & set(b)) / max(len(b), 1) for (_, a), (_, b) in pairs
            )
            print(
                f"{name}: {ours:.1f} ms, FTS5 over all {every:.1f} ms; the same first passage for "
                f"{first:.1%}, {shared:.1%} of the {DEPTH} in common"
            )


if __name__ == "__main__":
    main()
