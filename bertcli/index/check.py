"""Whether an index is what it says it is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from bertcli.index import ann
from bertcli.index.failures import storage_failures
from bertcli.index.folder import IndexFolder
from bertcli.index.upkeep import Upkeep
from bertcli.index.vectors import checksums

BATCH = 4096


def problems(index: IndexFolder) -> Iterator[str]:
    """Yield what is wrong with an index, nothing where all is well.

    Looked at are SQLite's own structure, that every passage has one vector whose bytes are those
    that were written, that columns and places can be read, that texts are those that were indexed
    and are in passages as a whole, the full-text table, and the file of approximate search.
    """
    with storage_failures(index.path):
        documents = index.documents
        with documents.reading():
            upkeep = Upkeep(documents)
            yield from upkeep.structure_problems()
            committed = documents.committed_rows()
            yield from upkeep.row_problems(committed)
            unreadable = list(upkeep.value_problems())
            yield from unreadable
            if not unreadable:
                yield from upkeep.text_problems()
                yield from upkeep.word_problems()
            yield from _vector_problems(index, committed)
        if wrong := ann.damage(index.path, index.manifest.generation):
            yield wrong


def _vector_problems(index: IndexFolder, committed: int) -> Iterator[str]:
    there = index.rows_in_file()
    if there < committed:
        yield f"{committed - there} of {committed} vectors are missing from the vector file"
    wrong = 0
    rows = (row for row in index.documents.checks() if row.number < there)
    while batch := list(islice(rows, BATCH)):
        found = checksums(index.vectors_of([row.number for row in batch]))
        wrong += sum(row.crc != crc for row, crc in zip(batch, found, strict=True))
    if wrong:
        yield f"{wrong} vectors are not those that were written"
